"""What a token classification answers."""

import pyarrow as pa

_ENTITY = {
    "entity_group": pa.string(),
    "score": pa.float64(),
    "word": pa.string(),
    "start": pa.int64(),
    "end": pa.int64(),
}
PREDICTION = pa.schema({"entities": pa.list_(pa.struct(_ENTITY))})
"""The entities of a text in order: type, probability, text, first character and the one after the last."""
