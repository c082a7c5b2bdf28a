"""Heads to put on backbones."""

from collections.abc import Sequence
from functools import partial

from components.shared.backbones.network import MakeHead
from components.shared.tasks.classification.head import Head


def head_for(labels: Sequence[str]) -> MakeHead:
    """Returns what makes the head of a classification."""
    return partial(Head, spec={"labels": list(labels)})
