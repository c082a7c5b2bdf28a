"""No step names a task, or a metric of one: what differs between tasks is in their folders."""

import re
from pathlib import Path

import pytest

from components.shared import tasks

ROOT = Path(__file__).parent.parent
ACCURACY = re.compile(r"\baccuracy\b|\bmacro[_-]f1\b", re.IGNORECASE)
TRAINING = {
    *(
        f"components/finetune/{name}.py"
        for name in (
            "linear/alone", "linear/calibration", "linear/classical", "linear/fitters", "linear/gradients",
            "linear/joint", "linear/probe", "search",
        )
    ),
    "components/shared/linear.py",
    "components/shared/metrics.py",
    "components/shared/selection.py",
}  # fmt: skip
"""What is done for classes alone: words and gradients beside a network, the probe of classes. Nothing comes to it."""
OWN = {"components/shared/drift.py", "components/evaluate/page/changes.html.j2"}
"""Speak of another classifier: that which tells today's inputs from those of before."""


def sources() -> list[Path]:
    """All files of the program that are in no task's folder."""
    found = [
        path
        for folder in ("components", "pipelines")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".j2") and ROOT / "components/shared/tasks" not in path.parents
    ]
    assert len(found) > 200
    return found


def lines_with(pattern: re.Pattern[str], allowed: set[str]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sources()
        if str(path.relative_to(ROOT)) not in allowed
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_step_names_a_metric_of_a_task() -> None:
    assert lines_with(ACCURACY, TRAINING | OWN) == []


def test_what_is_still_allowed_is_needed() -> None:
    named = {line.split(":")[0] for line in lines_with(ACCURACY, set())}
    assert named & (TRAINING | OWN) == TRAINING | OWN, "take from the list what names none any more"


@pytest.mark.parametrize("task", tasks.names())
def test_no_step_asks_for_a_task_by_its_name(task: str) -> None:
    """Defaults of a setting and examples in a docstring may name one; a comparison may not."""
    asked = re.compile(rf"""(==|!=|\bin\b|\bis\b)[^#]*["']{task}["']|["']{task}["']\s*(==|!=|:)""")
    assert lines_with(asked, set()) == []
