"""What a regression answers."""

import pyarrow as pa

PREDICTION = pa.schema({"value": pa.float64()})
"""One number, in the unit of the data."""
