"""Parts of a text that are marked on the page."""

import pytest

from components.evaluate.page.marks import FOUND, RIGHT, pieces_of


def test_marks_may_overlap() -> None:
    found = pieces_of("the old pan is red", [("old pan", RIGHT), ("pan is", FOUND)], 100)
    assert found == [("the ", ""), ("old ", "right"), ("pan", "found right"), (" is", "found"), (" red", "")]
    assert pieces_of("as it is", [], 100) == [("as it is", "")]
    assert pieces_of("none of it", [("", FOUND), ("elsewhere", RIGHT)], 100) == [("none of it", "")]


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
