"""What somebody should know of a snapshot before they trust a figure: in sentences."""

from collections.abc import Iterator, Mapping
from typing import Any

from components.shared.artifacts.snapshot import CROSS_VALIDATION
from components.shared.errors import quote_all

_SHOWN = 8
_BECAME = {"keep": "They are kept", "drop": "They are left out", "merge": "They are merged into 'other'"}


def warnings_of(content: Mapping[str, Any], unlabelled: int) -> list[str]:
    """Returns the warnings.

    Args:
        content: Of `snapshot.json`.
        unlabelled: How many rows are held back.
    """
    return [*_small(content), *_rare(content), *_untested(content), *_near(content), *_unlabelled(unlabelled)]


def _small(content: Mapping[str, Any]) -> Iterator[str]:
    rows = content["rows"]
    if content["evaluation"] == CROSS_VALIDATION:
        yield (
            f"{sum(rows.values())} examples are few: a test split of {rows['test']} tells little, so that a "
            "cross-validation over all of them is called for."
        )


def _rare(content: Mapping[str, Any]) -> Iterator[str]:
    told = content["rare_classes"]
    counts: Mapping[str, int] = told["classes"]
    if not counts:
        return
    least = sorted(counts, key=lambda label: (counts[label], label))
    named = ", ".join(f"{label[:80]!r} ({counts[label]})" for label in least[:_SHOWN])
    more = f", and {len(least) - _SHOWN} more" if len(least) > _SHOWN else ""
    way = " Label more of them, or set data.rare_classes to drop or merge." if told["rule"] == "keep" else ""
    yield (
        f"{_classes(len(least), 'has', 'have')} fewer than {told['min_per_class']} training examples: {named}{more}. "
        f"{_BECAME[told['rule']]}.{way}"
    )


def _untested(content: Mapping[str, Any]) -> Iterator[str]:
    counts = content["classes"]
    untested = [label for label in content["labels"] if not counts["test"].get(label)]
    if untested:
        yield (
            f"{_classes(len(untested), 'has', 'have')} no test example: {quote_all(untested, _SHOWN)}. "
            "How well they are told is not measured."
        )


def _near(content: Mapping[str, Any]) -> Iterator[str]:
    near, rows = content["near_duplicates"], content["rows"]
    if near["test"] or near["validation"]:
        yield (
            f"{near['test']:,} of {rows['test']:,} test and {near['validation']:,} of {rows['validation']:,} "
            "validation examples have near-duplicates among what is learned from: their figures are too good."
        )


def _unlabelled(count: int) -> Iterator[str]:
    if count:
        yield f"{count:,} rows have no label: they are held back, in notes/unlabelled.csv of the snapshot."


def _classes(count: int, one: str, several: str) -> str:
    return f"1 class {one}" if count == 1 else f"{count:,} classes {several}"
