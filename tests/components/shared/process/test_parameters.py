"""Parameters on their way through Kubeflow: protobuf's numbers are doubles, a step's settings are not."""

from typing import Any

import pytest
from google.protobuf import json_format, struct_pb2

from components.shared.process.parameters import restore


def sent(value: Any) -> Any:
    """Sends a list or mapping through protobuf, as KFP does."""
    return json_format.MessageToDict(json_format.ParseDict(value, struct_pb2.Value()))


@pytest.mark.parametrize(
    "value",
    [
        {"img_size": 32, "channels": [8, 8, 16], "nested": {"depth": [1, [2]]}, "drop_path_rate": 0.1},
        {"pretrained": True, "act_layer": "gelu", "name": "3", "empty": {}},
        [8, 32, 128],
        [],
        [True, False],
        [2**53, -(2**53), 0],
    ],
)
def test_what_protobuf_made_of_whole_numbers_is_undone(value: Any) -> None:
    restored = restore({"value": sent(value)})["value"]
    assert repr(restored) == repr(ordered(value))  # by repr: 1 == 1.0 == True


def ordered(value: Any) -> Any:
    """Returns a mapping with its keys sorted: protobuf keeps no order, and messages are to be the same each time."""
    return {key: ordered(item) for key, item in sorted(value.items())} if isinstance(value, dict) else value


def test_protobuf_does_make_floats_of_them() -> None:
    assert repr(sent([8, {"img_size": 32}])) == "[8.0, {'img_size': 32.0}]"


def test_parameters_of_their_own_have_their_types_already() -> None:
    given = {"learning_rate": 1.0, "epochs": 3, "strategy": "full", "transfer_check": False}
    assert repr(restore(given)) == repr(given)


def test_what_was_given_is_not_changed() -> None:
    given = {"backbone_args": {"channels": [8.0]}}
    assert repr(restore(given)) == "{'backbone_args': {'channels': [8]}}"
    assert repr(given) == "{'backbone_args': {'channels': [8.0]}}"
