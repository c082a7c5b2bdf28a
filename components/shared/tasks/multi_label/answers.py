"""What a multi-label classification answers."""

import pyarrow as pa

PREDICTION = pa.schema({"labels": pa.list_(pa.string()), "probabilities": pa.list_(pa.float64())})
"""The labels that are given, and the probability of each label that there is, in the order of the metadata's labels."""
