"""Question answering: the answer to a question is a part of a text, or is not there.

What ingest, transform and evaluate ask of it is here; what is lacking yet is a head that learns it.
"""
