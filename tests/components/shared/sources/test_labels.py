"""What a label is, and which columns of labels are no classes."""

import datetime
import re
from typing import Any

import pytest

from components.shared.errors import InputError
from components.shared.sources.labels import LabelReader, check_classes, text_of
from components.shared.sources.times import time_of


def reader(**settings: Any) -> LabelReader:
    return LabelReader("label", "text-classification", **settings)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"), (1.0, "1"), ("1.0", "1"), ("-0.50", "-0.50"), ("1.5", "1.5"), ("007", "007"), ("00.0", "00.0"),
        (True, "true"), ("yes", "yes"), (" billing ", "billing"), ("Cafe\u0301", "Caf\u00e9"), ("NA", "NA"),
        (float("nan"), None), ("  ", None), (None, None), ("v2.0", "v2.0"),
    ],
)  # fmt: skip
def test_a_label_is_one_text_however_it_was_written(value: object, text: str | None) -> None:
    assert text_of(value) == text


@pytest.mark.parametrize(
    "value",
    [["a", "b"], ("a", "b"), {"x": 1, "y": 2}, "['a', 'b']", '["a", "b"]', "('a', 'b')", '{"choices": ["a", "b"]}'],
)
def test_several_labels_in_a_row_are_refused_with_the_way_out(value: object) -> None:
    with pytest.raises(InputError, match="d.csv:7: the label column 'label' holds several labels(?s:.*)data.label"):
        reader().read(value, "d.csv:7")


@pytest.mark.parametrize(
    ("value", "label"), [(["a"], "a"), ([], None), ("[a]", "[a]"), ("(other)", "(other)"), ("[" * 900 + "]" * 90, None)]
)
def test_a_list_of_one_is_that_one_and_brackets_are_no_list(value: object, label: str | None) -> None:
    assert reader().read(value, "d.csv:7")[0] == (label if label or value == [] else value)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("x" * 1001, "label longer than 1,000 characters"),
        ("a\udce7", "invalid UTF-8 in the label"),
        (None, "missing label"),
    ],
)
def test_a_label_that_cannot_be_used_says_why(value: object, reason: str) -> None:
    assert reader().read(value, "d.csv:7") == (None, reason)


def test_codes_stand_for_labels() -> None:
    mapped = reader(allowed=["spam", "ham"], codes={"1": "spam", "yes": "spam", "0": "ham"})
    assert [mapped.read(value, "")[0] for value in (1, "1.0", "yes", 0, "ham")] == ["spam"] * 3 + ["ham"] * 2
    assert mapped.read("2", "") == (None, "unknown label")


def test_spellings_are_merged_when_asked_into_lower_case_or_into_those_given() -> None:
    values = ["Credit  Card", "credit card", "CREDIT CARD"]
    assert {reader(normalize=True).read(value, "")[0] for value in values} == {"credit card"}
    assert {reader(normalize=True, allowed=["Credit Card"]).read(value, "")[0] for value in values} == {"Credit Card"}


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"Spam": 120, "spam": 3, "ham": 50}, r"'Spam' \(120 rows\) and 'spam' \(3 rows\)(?s:.*)data.normalize_labels"),
        ({"a b": 12, "a  b": 3}, "2 rows|3 rows"),
        ({"spam": 12, "spam\u200b": 3}, r"'spam' \(12 rows\) and 'spam\\u200b' \(3 rows\)"),
        ({"Ship it": 12, "ship\u00a0it": 3}, r"and 'ship\\xa0it' \(3 rows\)"),
        ({f"{number / 7:.3f}": 1 for number in range(20)}, "holds numbers such as"),
        ({f"2026-01-{day:02d}": 3 for day in range(1, 29)}, "holds dates such as 2026-01-01"),
        ({f"{day}.01.2026": 3 for day in range(1, 29)}, "holds dates"),
        ({"a|b": 12, "a": 5, "b": 5}, r"1 labels in 'label' are several in one cell \(12 rows\), such as 'a\|b'"),
        ({"Drama;Comedy": 9, "Drama;Crime": 9, "Comedy;Crime": 9}, "3 labels in 'label' are several"),
        ({"a, c": 12, "a,b": 3, "a": 9, "b": 9, "c": 9}, "2 labels in 'label' are several"),
        ({f"T-{number}": 1 for number in range(40)}, "40 different values in 40 rows(?s:.*)identifier"),
    ],
)
def test_what_is_no_class_is_refused_in_words(counts: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_classes(counts, sum(counts.values()), reader())


def test_a_few_dates_versions_and_many_classes_are_classes() -> None:
    names = {"Korea, Republic of": 9, "Iran, Islamic Republic of": 9, "Sci/Tech": 9, "World": 9, "C++": 9, "R&D; IT": 9}
    for counts in (names, {"2025-01-01": 9, "2026-01-01": 9}, {f"v{n}": 3 for n in range(40)}, {"1.5": 30, "2.5": 30}):
        check_classes(counts, sum(counts.values()), reader())


@pytest.mark.parametrize(
    ("value", "time"),
    [
        ("2026-01-02", 1767312000.0), ("2026-01-02T01:00:00+01:00", 1767312000.0),
        (datetime.date(2026, 1, 2), 1767312000.0),
        (17, 17.0), ("17.5", 17.5), ("yesterday", None), (True, None), ("nan", None), (None, None), ("1e400", None),
    ],
)  # fmt: skip
def test_a_time_is_a_date_or_a_number(value: object, time: float | None) -> None:
    found = time_of(value)
    assert (found and found[0]) == time


def test_the_message_of_variants_names_few() -> None:
    counts = {f"{spelling}{number}": 5 for number in range(30) for spelling in ("a", "A")}
    with pytest.raises(InputError) as found:
        check_classes(counts, 300, reader())
    assert len(re.findall("rows", str(found.value))) == 20
    assert "and 20 more" in str(found.value)
