"""What question answering answers."""

import pyarrow as pa

PREDICTION = pa.schema({"answer": pa.string(), "score": pa.float64(), "start": pa.int64(), "end": pa.int64()})
"""The answer, "" for none; its probability; its first character in the context, and the one after the last."""
