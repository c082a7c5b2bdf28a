from typing import Any

import pytest

from components.notify.template import DEFAULT, PLACEHOLDERS, faults, fill


def test_every_placeholder_is_filled_in() -> None:
    template = {"texts": [f"${name}" for name in PLACEHOLDERS], "together": "${model}-${version}s"}
    assert list(faults(template)) == []
    filled = fill(template, {name: name.upper() for name in PLACEHOLDERS})
    assert filled == {"texts": [name.upper() for name in PLACEHOLDERS], "together": "MODEL-VERSIONs"}


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ({"text": "$modl"}, ["text: there is no placeholder $modl; there are $sentence, $model, "]),
        ({"a": [{"b": "costs $5"}]}, ["a.0.b: a $ stands alone; write $$ where the notice is to have one"]),
        ({"a": "{{workflow.name}}"}, ["a: '{{' means something to Kubeflow; write it otherwise"]),
        (
            {"a": "$x ${y}", "b": "$"},
            ["a: there is no placeholder $x", "a: there is no placeholder $y", "b: a $ stands"],
        ),
        ({"text": "$$5 for $model", "number": 5, "flag": True}, []),
        (DEFAULT, []),
    ],
)
def test_faults_are_told_with_their_path(template: dict[str, Any], told: list[str]) -> None:
    found = list(faults(template))
    assert len(found) == len(told)
    for fault, start in zip(found, told, strict=True):
        assert fault.startswith(start)
    if "modl" in str(template):
        assert found[0].endswith("Did you mean 'model'?")
