"""Pictures without a network: which way their edges run, their colours and pixels, as columns of a linear model.

`hog.py` and `look.py` serve: they need Pillow, nothing else of graft but `backbones/pixels.py`, nothing of torch and
nothing of scikit-learn, and `register` puts copies of them beside the model.
"""
