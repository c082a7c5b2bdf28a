"""Words and their neighbours as columns of tokens: the same however a text is cut, kept as JSON, added to logits."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from components.shared.backbones.head import Encoded
from components.shared.backbones.network import WIDE_IDS, WIDE_SIZES, WIDE_WEIGHTS, Network, pad_wide, wide_columns
from components.shared.columns import load_columns, save_columns
from components.shared.lexical.tokens import TokenTerms, features_of, terms_of
from components.shared.tasks.token_classification.encoder import TokenEncoder
from components.shared.tasks.token_classification.head import Head
from tests.components.shared.tasks.tokenizers import ALPHABET, KINDS, folder_of

TEXT = "the DBInstance-id of Oslo."
WORDS = [(0, 3), (4, 14), (14, 15), (15, 17), (18, 20), (21, 25), (25, 26)]


def rows_of(encoder: TokenEncoder, texts: list[str]) -> dict[str, Any]:
    found = dict(zip(encoder.schema.names, encoder.encode([texts]), strict=True))
    return {name: found[name].to_pylist() for name in ("example", "starts", "ends")}


def by_word(terms: TokenTerms, texts: list[str], rows: dict[str, Any]) -> dict[tuple[int, int], list[int]]:
    """The columns of each word, by its text and its first character."""
    made, found, token = terms.columns([texts], rows), {}, 0
    for example, starts in zip(rows["example"], rows["starts"], strict=True):
        for start in starts:
            columns = made.indices[made.indptr[token] : made.indptr[token + 1]].tolist()
            assert start >= 0 or not columns
            if start >= 0:
                found[example, start] = columns
            token += 1
    assert made.shape == (token, terms.width)
    return found


def test_a_word_is_told_by_its_look_its_parts_and_its_neighbours() -> None:
    features = list(features_of(TEXT, WORDS))
    assert {"w=dbinstance", "W=DBInstance", "shape=XXxx", "first=db", "last=instance", "end=ance"} <= set(features[1])
    assert {"-1w=the", "+1w=-", "+2w=id", "-2w=<s>", "touching=01"} <= set(features[1])
    assert {"+1w=</s>", "touching=10", "shape=."} <= set(features[6])
    terms = TokenTerms(("-1w=the", "end=ance", "w=a=b", "touching=01"))
    assert terms.names() == ["after the", "…ance", "a=b", "touches its neighbours 01"]
    (alone,) = features_of("(Oslo),", [(0, 7)])  # as a tokenizer by blanks has it
    assert {"W=Oslo", "before=(", "after=),"} <= set(alone)
    (blank,) = features_of(" Oslo", [(0, 5)])  # as one of bytes has it
    assert "W=Oslo" in blank


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@given(words=st.lists(st.sampled_from(ALPHABET), min_size=1, max_size=40), blank=st.sampled_from(["", " "]))
def test_windows_of_a_text_have_the_columns_that_it_has_as_a_whole(
    kind: str, words: list[str], blank: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = folder_of(kind, tmp_path_factory.getbasetemp() / kind)
    texts = ["a first one", blank.join(words)]
    short, long = (TokenEncoder(folder, size, {"labels": ["x"]}) for size in (9, 0))
    long.tokenizer.no_truncation()
    parts, whole = rows_of(short, texts), rows_of(long, texts)
    terms = terms_of([(texts, whole)], 1, 10_000)
    assert by_word(terms, texts, parts) == by_word(terms, texts, whole)


def test_what_few_words_have_is_left_out() -> None:
    rows = {"example": [0, 1], "starts": [[-1, 0, 2, -1], [0]], "ends": [[-1, 1, 3, -1], [1]]}
    texts = ["a b", "a"]
    every, common, three = (terms_of([(texts, rows)], *limits) for limits in ((1, 99), (2, 99), (1, 3)))
    assert common.width < every.width
    assert set(common.vocabulary) < set(every.vocabulary)
    assert list(three.vocabulary) == sorted(three.vocabulary)
    assert three.width == 3
    assert terms_of([([""], {"example": [0], "starts": [[]], "ends": [[]]})], 1, 9).width == 0


def test_they_are_kept_as_json(tmp_path: Path) -> None:
    rows = {"example": [0], "starts": [[-1, 0]], "ends": [[-1, 6]]}
    terms = terms_of([(["Zoë 👩\u200d🔬"], rows)], 1, 99)
    save_columns(terms, tmp_path)
    loaded = load_columns(tmp_path)
    assert loaded == terms
    assert loaded is not None
    assert (loaded.kind, loaded.level, loaded.width) == ("lexical", "tokens", terms.width)


def test_a_branch_adds_to_the_logits_of_each_token() -> None:
    texts = ["Oslo port", "a"]
    rows = {"example": [0, 1, 0], "starts": [[-1, 0, 5, -1], [0], []], "ends": [[-1, 4, 9, -1], [1], []]}
    terms = terms_of([(texts, rows)], 1, 99)
    network = Network(torch.nn.Identity(), 4, lambda width: Head(width, {"labels": ["x"]}), 0.5).eval()
    weight = torch.randn(terms.width, 3, generator=torch.Generator().manual_seed(0))
    network.widen(terms, weight)
    columns = wide_columns(terms, [texts], rows)
    assert [len(row) for row in columns[WIDE_SIZES]] == [4, 1, 0]
    batch = pad_wide(columns)
    assert batch[WIDE_IDS].shape == batch[WIDE_WEIGHTS].shape
    encoded = Encoded(tokens=torch.randn(3, 4, 4), mask=torch.ones(3, 4, dtype=torch.bool))
    with torch.no_grad():
        found = network.answer(encoded, **batch)["logits"] - network.deep(encoded)
    made = torch.from_numpy(terms.columns([texts], rows).toarray()) @ weight
    torch.testing.assert_close(found[0], made[:4])
    torch.testing.assert_close(found[1], torch.cat([made[4:], torch.zeros(3, 3)]))
    assert not found[2].any()
    assert np.abs(made.numpy()).sum() > 0
