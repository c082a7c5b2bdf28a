"""Texts by their words: columns out of raw text.

`terms.py` and `vectorizer.py` serve: they need nothing else of graft, nothing of torch and nothing of
scikit-learn, and `register` puts copies of them beside the model. `corpus.py` finds the terms when a model is fitted.
"""
