"""Entities: however tools write them, up to the tags of tokens and back."""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from components.shared.errors import InputError
from components.shared.tasks.strata import NONE
from components.shared.tasks.target import Asked
from components.shared.tasks.token_classification.encoder import TokenEncoder
from components.shared.tasks.token_classification.schemes import spans_of_tags
from components.shared.tasks.token_classification.tags import likely_tags, spans_of, tags_of
from components.shared.tasks.token_classification.target import Entities, Options
from tests.components.shared.tasks.tokenizers import ALPHABET, KINDS, folder_of

TASK = "token-classification"
TEXT = "Ada met Zoë in São Paulo 👩\u200d🔬 today"
WORDS = TEXT.split()
SPANS = '[[0, 3, "PER"], [8, 11, "PER"], [15, 24, "LOC"]]'
TAGS = ["B-PER", "O", "B-PER", "O", "B-LOC", "I-LOC", "O", "O"]


def read(value: Any, text: Any = TEXT, options: Options = Options(), **asked: Any) -> Any:  # noqa: B008
    return Entities(options).reader(Asked(["spans"], TASK, **asked)).read(value, "a:1", [text])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (TAGS, WORDS),
        (TAGS, TEXT),
        (" ".join(TAGS), TEXT),
        (json.dumps(TAGS), str(WORDS)),
        (["U-PER", "O", "U-PER", "O", "B-LOC", "L-LOC", "O", "O"], WORDS),
        (["S-PER", "O", "S-PER", "O", "B-LOC", "E-LOC", "O", "O"], WORDS),
        (["I-PER", "O", "I-PER", "O", "I-LOC", "I-LOC", "O", "O"], WORDS),
        (["PER", "O", "PER", "O", "LOC", "LOC", "O", "O"], WORDS),
        ([[0, 3, "PER"], [8, 11, "PER"], [15, 24, "LOC"]], TEXT),
        ({"entities": [(15, 25, "LOC"), (0, 3, "PER"), (8, 11, "PER")]}, TEXT),  # with the blank behind it
        ([{"start": 0, "end": 3, "label": "PER"}, {"start": 8, "end": 11, "label": "PER"},
          {"start": 15, "end": 24, "label": "LOC", "token_start": 4}], TEXT),
        ([{"start_offset": 0, "end_offset": 3, "label": "PER", "id": 1}, {"start_offset": 8, "end_offset": 11,
          "label": "PER"}, {"start_offset": 15, "end_offset": 24, "label": "LOC"}], TEXT),
        ([{"value": {"start": 0, "end": 3, "text": "Ada", "labels": ["PER"]}, "type": "labels"},
          {"value": {"start": 8, "end": 11, "text": "Zoë", "labels": ["PER"]}, "type": "labels"},
          {"from_id": "a", "to_id": "b", "type": "relation", "value": {}},
          {"value": {"start": 15, "end": 24, "text": "São Paulo", "labels": ["LOC"]}, "type": "labels"}], TEXT),
        ('[{"start": 0, "end": 3, "entity_group": "PER"}, {"start": 8, "end": 11, "entity_group": "PER"}, '
         '{"start": 15, "end": 24, "entity_group": "LOC"}]', TEXT),
    ],
)  # fmt: skip
def test_whatever_tool_wrote_them_entities_are_the_same(value: Any, text: Any) -> None:
    assert read(value, text) == (SPANS, None)


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        (["B-X", "B-X", "I-X"], [(0, 1, "X"), (1, 3, "X")]),
        (["I-X", "B-X"], [(0, 1, "X"), (1, 2, "X")]),  # IOB1
        (["B-X", "I-Y"], [(0, 1, "X"), (1, 2, "Y")]),
        (["O", "I-X", "O"], [(1, 2, "X")]),
        (["U-X", "U-X"], [(0, 1, "X"), (1, 2, "X")]),
        (["B-X", "L-X", "I-X"], [(0, 2, "X"), (2, 3, "X")]),
        (["WORK-OF-ART", "WORK-OF-ART", "0"], [(0, 2, "WORK-OF-ART")]),
        (["b-X", "i-X", "o"], [(0, 2, "X")]),
        ([], []),
    ],
)
def test_tags_that_contradict_their_scheme_are_read_as_seqeval_does(tags: list[str], spans: list[Any]) -> None:
    assert list(spans_of_tags(tags)) == spans


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "missing label"),
        ("", "missing label"),
        (float("nan"), "missing label"),
        ([[0, 5, "X"], [3, 8, "Y"]],
         "spans overlap ([0, 5, 'X'] and [4, 7, 'Y']; task_args.overlaps: longest keeps the longer)"),
        ([[0, 3, "X"], [0, 3, "Y"]],
         "spans overlap ([0, 3, 'X'] and [0, 3, 'Y']; task_args.overlaps: longest keeps the longer)"),
        ([[3, 4, "X"]], "a span is empty (3 to 4)"),
        ([[5, 2, "X"]], "a span is empty (5 to 2)"),
        ([[0, 99, "X"]], f"a span leaves the text (0 to 99; the text has {len(TEXT)} characters)"),
        ([[-1, 3, "X"]], f"a span leaves the text (-1 to 3; the text has {len(TEXT)} characters)"),
        ([[0, 3, ""]], "a span has no label"),
        ([[0, 3, ["X", "Y"]]], "a span has several labels (['X', 'Y'])"),
        ([["a", 3, "X"]], "a span's end is no number ('a')"),
        ([[0.5, 3, "X"]], "a span's end is no whole number (0.5)"),
        ([{"label": "X"}], "a span has no start and end ({'label': 'X'})"),
        ([{"start": 0, "end": 3, "label": "X", "text": "Bob"}],
         "a span's own text does not stand where it says ('Bob' at 0)"),
        (TAGS[:-1], "tags and words differ in number (7 tags, 8 words)"),
        (3, "label holds neither tags nor spans (int)"),
    ],
)  # fmt: skip
def test_a_row_is_rejected_for_a_reason(value: Any, reason: str) -> None:
    assert read(value) == (None, reason)


def test_a_text_without_entities_is_an_example() -> None:
    assert read([]) == ("[]", None)
    assert read(["O"] * 8, WORDS) == ("[]", None)
    assert Entities().strata("[]", {}) == (NONE,)
    assert read([[0, 3, "X"], [0, 3, "X"]]) == ('[[0, 3, "X"]]', None)


def test_offsets_of_other_units_are_found_by_the_spans_own_text() -> None:
    text = "👩\u200d🔬 met Ada"  # 8 characters before Ada, 10 units of UTF-16, 16 bytes
    for start in (8, 10, 16, 3):
        span = {"start": start, "end": start + 3, "label": "PER", "text": "Ada"}
        assert read([span], text) == ('[[8, 11, "PER"]]', None)
    assert read([[10, 13, "PER"]], text, Options(offsets="utf-16")) == ('[[8, 11, "PER"]]', None)
    assert read([[16, 19, "PER"]], text, Options(offsets="bytes")) == ('[[8, 11, "PER"]]', None)
    assert read([[1, 19, "PER"]], text, Options(offsets="bytes"))[1] is not None  # within a character
    with pytest.raises(InputError, match=r"task_args\.offsets .* Did you mean 'utf-16'"):
        Options(offsets="utf16")


def test_tags_by_number_have_names_or_are_refused() -> None:
    codes = {"0": "O", "1": "B-PER", "2": "I-PER"}
    assert read([1, 0], ["Ada", "met"], codes=codes, allowed=list(codes.values())) == ('[[0, 3, "PER"]]', None)
    with pytest.raises(InputError, match=r"a:1: 'spans' holds tags by number, such as 1.*data\.labels"):
        read([1, 0], ["Ada", "met"])
    assert read([[0, 3, "ORG"]], allowed=["B-PER"]) == (None, "unknown label")


def test_words_are_joined_as_the_job_says() -> None:
    assert read(["B-LOC", "I-LOC"], ["東", "京"], Options(joiner="")) == ('[[0, 2, "LOC"]]', None)
    assert read(["O", "B-X", "B-X"], ["a", "a", "a"]) == ('[[2, 3, "X"], [4, 5, "X"]]', None)


def test_types_are_counted_renamed_and_told() -> None:
    target = Entities()
    assert target.strata(SPANS, {}) == ("LOC", "PER")
    assert target.rename(SPANS, {"PER": "PER"}.get) == '[[0, 3, "PER"], [8, 11, "PER"]]'
    assert target.rename(SPANS, {"PER": "other", "LOC": "other"}.get) == SPANS.replace("PER", "other").replace(
        "LOC", "other"
    )
    array = pa.array([target.value(SPANS), []], target.type)
    assert [target.text(value) for value in array.to_pylist()] == [SPANS, "[]"]
    census = target.census(Asked(["spans"], TASK))
    census.add({'[[0, 3, "PER"]]': 2, '[[0, 3, "per"]]': 1})
    with pytest.raises(InputError, match="normalize_labels"):
        census.check(3)


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TokenEncoder]:
    folders = {kind: folder_of(kind, tmp_path_factory.mktemp(kind)) for kind in KINDS}
    return {kind: TokenEncoder(folder, 24, {"labels": ["A", "B"]}) for kind, folder in folders.items()}


def words_of(encoder: TokenEncoder, text: str) -> list[tuple[int, int]]:
    """The words that a text is asked about, in whichever window."""
    arrays = dict(zip(encoder.schema.names, encoder.encode([[text]]), strict=True))
    pairs = zip(arrays["starts"].flatten().to_pylist(), arrays["ends"].flatten().to_pylist(), strict=True)
    return sorted((start, end) for start, end in pairs if start >= 0)


def decoded(encoder: TokenEncoder, text: str, spans: Sequence[Any]) -> list[tuple[int, int, str]]:
    """What comes back of spans by way of tags: the words of all windows put together again."""
    target = Entities()
    answers = pa.array([target.value(json.dumps(spans))], target.type)
    names = [*encoder.schema.names, *encoder.targets.names]
    arrays = dict(zip(names, encoder.encode([[text]], answers), strict=True))
    told = zip(*(arrays[name].flatten().to_pylist() for name in ("starts", "ends", "tags")), strict=True)
    words = sorted(word for word in told if word[0] >= 0)
    found = spans_of([tags_of(["A", "B"])[tag] for _, _, tag in words])
    inside = [(words[first][0], words[last - 1][1], kind) for first, last, kind in found]
    return [
        (start + len(text[start:end]) - len(text[start:end].lstrip()), start + len(text[start:end].rstrip()), kind)
        for start, end, kind in inside
    ]


texts = st.lists(st.sampled_from(ALPHABET) | st.text(max_size=4), max_size=30).map(" ".join) | st.lists(
    st.sampled_from(ALPHABET), max_size=30
).map("".join)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=120)
@given(text=texts, data=st.data())
def test_any_text_gives_back_its_entities(
    kind: str, encoders: dict[str, TokenEncoder], text: str, data: st.DataObject
) -> None:
    encoder = encoders[kind]
    words = [
        (start + len(text[start:end]) - len(text[start:end].lstrip()), start + len(text[start:end].rstrip()))
        for start, end in words_of(encoder, text)
        if text[start:end].strip()
    ]
    assert all(one[1] <= other[0] for one, other in itertools.pairwise(words))  # each word once, in order
    bounds = sorted(data.draw(st.sets(st.integers(0, len(words)), max_size=8)))
    pairs = list(itertools.pairwise(bounds))
    kinds = data.draw(st.lists(st.sampled_from(["A", "B", None]), min_size=len(pairs), max_size=len(pairs)))
    spans = [(words[a][0], words[b - 1][1], name) for (a, b), name in zip(pairs, kinds, strict=True) if name]
    assert decoded(encoder, text, spans) == spans


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=80)
@given(text=texts, ends=st.sets(st.integers(0, 60), max_size=8))
def test_what_begins_within_a_word_is_widened_to_it(
    kind: str, encoders: dict[str, TokenEncoder], text: str, ends: set[int]
) -> None:
    places = sorted(end for end in ends if end <= len(text))
    given_spans = [(a, b, "A") for a, b in zip(places[::2], places[1::2], strict=False) if text[a:b].strip()]
    found = decoded(encoders[kind], text, given_spans)
    assert len(found) <= len(given_spans)
    words = words_of(encoders[kind], text)
    for start, end, _ in given_spans:  # no character of an entity that is of some word is lost
        for low, high in words:
            if low < end and high > start and text[low:high].strip():
                assert any(one[0] < high and one[1] > low for one in found)


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_text_is_read_in_windows_that_answer_for_each_word_once(
    kind: str, encoders: dict[str, TokenEncoder], tmp_path: Path
) -> None:
    encoder = encoders[kind]
    text = " ".join(f"w{n}" for n in range(100))
    arrays = dict(zip(encoder.schema.names, encoder.encode([["short", text]]), strict=True))
    assert arrays["length"].to_numpy().max() <= 24
    assert set(arrays["example"].to_pylist()) == {0, 1}
    assert arrays["example"].to_pylist().count(1) > 4
    rows = zip(arrays["example"].to_pylist(), arrays["starts"].to_pylist(), strict=True)
    found = [start for example, starts in rows if example == 1 for start in starts if start >= 0]
    assert len(found) == len(set(found))
    assert {text.index(f"w{n}", 0) for n in (0, 50, 99)} <= {s + (text[s] == " ") for s in found}
    encoder.save(tmp_path)
    assert '"stride"' in (tmp_path / "tokenizer.json").read_text()


@pytest.mark.parametrize("kind", ["sentences", "bytes"])
def test_entities_within_a_sentence_without_blanks_are_reached(kind: str, tmp_path: Path) -> None:
    """Where a tokenizer takes all up to the next blank for a word, as sentencepiece's do, each token is one."""
    folder = folder_of("bytes", tmp_path)
    if kind == "sentences":
        pieces = [("<unk>", 0.0), *((piece, -1.0) for piece in ("▁", "ผม", "ไป", "กรุงเทพ", "我在", "北京", "a", "b"))]
        tokenizer = Tokenizer(models.Unigram(pieces, unk_id=0))
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        tokenizer.save(str(folder / "tokenizer.json"))
    encoder = TokenEncoder(folder, 64, {"labels": ["A", "B"]})
    for text, place in (("ผมไปกรุงเทพ", "กรุงเทพ"), ("a 我在北京 b", "北京")):
        start = text.index(place)
        spans = [(start, start + len(place), "A")]
        assert decoded(encoder, text, spans) == spans
    assert encoder.told() == []
    words = [("a bab ab"[a:b]) for a, b in words_of(encoder, "a bab ab")]
    assert [word.strip() for word in words] == ["a", "bab", "ab"]  # elsewhere a word stays one


@pytest.mark.parametrize("kind", KINDS)
def test_entities_that_no_word_makes_up_are_counted_and_told(kind: str, tmp_path: Path) -> None:
    encoder = TokenEncoder(folder_of(kind, tmp_path), 24, {"labels": ["A", "B"]})
    answers = pa.array([[{"start": 0, "end": 3, "label": "A"}, {"start": 6, "end": 9, "label": "B"}]] * 3)
    encoder.encode([["Tokyo won"] * 3], answers)
    [sentence] = encoder.told()
    assert sentence.startswith("3 of 6 entities (50.0%) begin or end within")
    assert "such as 'Tok' in 'Tokyo': no model" in sentence


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.integers(0, 5), min_size=1, max_size=5), st.integers(0, 2))
def test_the_likeliest_tags_are_those_of_the_best_valid_text(seed: int, sizes: list[int], types: int) -> None:
    tags = tags_of("XYZ"[:types])
    logits = np.random.default_rng(seed).normal(size=(sum(sizes), len(tags)))
    found, start = likely_tags(logits, sizes), 0
    for size in sizes:
        rows, start = logits[start : start + size], start + size
        valid = (path for path in itertools.product(range(len(tags)), repeat=size) if is_valid(path))
        best = max(valid, key=lambda path: sum(rows[place, tag] for place, tag in enumerate(path)))
        assert found[start - size : start].tolist() == list(best)


def is_valid(path: tuple[int, ...]) -> bool:
    return all(tag % 2 or not tag or before in (tag, tag - 1) for before, tag in itertools.pairwise((0, *path)))
