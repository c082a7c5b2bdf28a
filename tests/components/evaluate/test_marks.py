"""Parts of a text that are marked on the page."""

import pytest

from components.evaluate.page.marks import FOUND, RIGHT, pieces_of
from components.evaluate.page.report import _said
from components.shared.tasks.scoring import Part


def test_marks_may_overlap() -> None:
    found = pieces_of("the old pan is red", [("old pan", RIGHT), ("pan is", FOUND)], 100)
    assert found == [("the ", ""), ("old ", "right"), ("pan", "found right"), (" is", "found"), (" red", "")]
    assert pieces_of("as it is", [], 100) == [("as it is", "")]
    assert pieces_of("none of it", [("", FOUND), ("elsewhere", RIGHT)], 100) == [("none of it", "")]


def test_marks_may_tell_where_they_are() -> None:
    found = pieces_of("a pan, a pan", [((9, 12), RIGHT), ((7, 12), FOUND), ((9, 99), FOUND), ((3, 3), FOUND)], 100)
    assert found == [("a pan, ", ""), ("a ", "found"), ("pan", "found right")]


def test_parts_of_texts_are_said_in_their_own_words() -> None:
    inputs = ["Ada met\nZoë"]
    assert _said([Part("PER", 0, 0, 3), Part("PER", 0, 4, 11)], inputs) == "PER “Ada”, PER “met Zoë”"
    assert _said([], inputs) == "nothing"
    assert _said("a label", inputs) == "a label"


@pytest.mark.parametrize("before", [0, 10, 500])
def test_of_a_long_text_the_part_around_a_mark_is_shown(before: int) -> None:
    text = "a " * before + "answer" + " b" * 500
    found = pieces_of(text, [("answer", RIGHT)], 100)
    assert ("answer", "right") in found
    shown = "".join(piece for piece, _ in found)
    assert shown.strip("…") in text
    assert len(shown.strip("…")) == 100
    assert shown.endswith("…")
    assert shown.startswith("…") == (before > 12)
