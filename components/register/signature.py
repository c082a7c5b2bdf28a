"""A model's signature for MLflow, from what its task says: inputs, and the columns of a prediction."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from mlflow.models import ModelSignature
    from mlflow.types.schema import Array, DataType, Object


def signature_of(inputs: Sequence[str], input_type: pa.DataType, prediction: pa.Schema) -> "ModelSignature":
    """Returns the signature.

    Args:
        inputs: Names of the input columns.
        input_type: What an input is: `pa.string()`, or `pa.binary()` (bytes in Python, base64 in a server's JSON).
        prediction: The columns of a prediction, as the task says.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    columns: list[Any] = [ColSpec(_type(input_type), name) for name in inputs]
    answers: list[Any] = [ColSpec(_type(field.type), field.name) for field in prediction]
    return ModelSignature(Schema(columns), Schema(answers))


def _type(kind: pa.DataType) -> "DataType | Array | Object":
    """Returns MLflow's type for one of Arrow's.

    Raises:
        TypeError: It has none.
    """
    from mlflow.types import DataType
    from mlflow.types.schema import Array, Object, Property

    if pa.types.is_list(kind):
        return Array(_type(kind.value_type))
    if pa.types.is_struct(kind):
        return Object([Property(field.name, _type(field.type)) for field in kind])
    for is_kind, name in _SIMPLE:
        if is_kind(kind):
            return DataType[name]
    raise TypeError(f"MLflow has no type for Arrow's {kind}; a task's prediction has another one.")


_SIMPLE = (
    (pa.types.is_string, "string"),
    (pa.types.is_binary, "binary"),
    (pa.types.is_boolean, "boolean"),
    (pa.types.is_int32, "integer"),
    (pa.types.is_int64, "long"),
    (pa.types.is_float32, "float"),
    (pa.types.is_float64, "double"),
)
