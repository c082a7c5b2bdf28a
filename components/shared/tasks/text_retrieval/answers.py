"""What retrieval answers."""

import pyarrow as pa

_VECTOR = pa.list_(pa.float64())
PREDICTION = pa.schema({"embedding": _VECTOR, "passage_embedding": _VECTOR, "score": pa.float64()})
"""Vectors of length 1 of the query and of the passage, each made apart, and their cosine."""
