"""Texts by their words: columns out of raw text, a linear model on them, what it is kept in.

`terms.py`, `vectorizer.py` and `predictor.py` serve: they need nothing else of graft, nothing of torch and nothing of
scikit-learn, and `register` puts copies of them beside the model. `corpus.py` finds the terms when a model is fitted.
"""
