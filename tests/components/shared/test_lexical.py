import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, TfidfVectorizer

from components.shared.columns import Predictor, save_columns, save_weights
from components.shared.lexical.corpus import Corpus, Reading
from components.shared.lexical.vectorizer import Vectorizer

TEXTS = [
    "The printer is broken again, the printer!",
    "My invoice was paid twice; please refund the invoice.",
    "Ünïcode words, 中文 文本 and x y z",
    "",
    "please refund my broken printer",
    "a\u00a0printer   with  wide\tgaps I",
]

READINGS = {
    "words": (Reading(), {}),
    "pairs": (Reading(longest=2), {"ngram_range": (1, 2)}),
    "stop words": (
        Reading(longest=2, stop_words=ENGLISH_STOP_WORDS),
        {"ngram_range": (1, 2), "stop_words": "english"},
    ),
    "characters": (Reading("characters", 5), {"analyzer": "char_wb", "ngram_range": (2, 5)}),
}


@pytest.mark.parametrize("name", READINGS)
@pytest.mark.parametrize("least", [1, 2])
def test_terms_are_those_of_scikit_learn(name: str, least: int) -> None:
    reading, options = READINGS[name]
    theirs = TfidfVectorizer(sublinear_tf=True, min_df=least, **options)
    expected = theirs.fit_transform(TEXTS).toarray()
    terms, found = Corpus(TEXTS).terms(reading, least, 10_000)
    assert list(terms.vocabulary) == theirs.get_feature_names_out().tolist()
    np.testing.assert_allclose(found.toarray(), expected, atol=1e-6)
    np.testing.assert_allclose(terms.columns(TEXTS).toarray(), expected, atol=1e-6)
    unseen = ["the broken invoice of another printer", "nothing known here: qqq", "printer printer printer"]
    np.testing.assert_allclose(terms.columns(unseen).toarray(), theirs.transform(unseen).toarray(), atol=1e-6)


def test_the_vocabulary_is_bounded_by_how_many_documents_hold_a_term() -> None:
    terms, found = Corpus(TEXTS).terms(Reading(), 1, 3)
    assert {"printer", "broken"} < set(terms.vocabulary)
    assert found.shape == (6, 3)


def test_a_pair_is_told_by_each_side_and_by_what_both_share() -> None:
    terms, _ = Corpus(["red apple", "green apple", "red pear"]).terms(Reading(), 1, 10)
    vectorizer = Vectorizer((terms,), 2)
    found = vectorizer.columns([["red apple", "red apple"], ["red apple", "green pear"]]).toarray()
    told = dict(zip(vectorizer.names(), found.T.tolist(), strict=True))
    assert told["green (second)"][0] == 0 < told["green (second)"][1]
    np.testing.assert_allclose(told["red (both)"], [told["red (first)"][0], 0], atol=1e-6)
    np.testing.assert_allclose(told["how alike they are"], [2.0, 0.0], atol=1e-6)


def test_what_is_saved_predicts_as_before(tmp_path: Path) -> None:
    terms, columns = Corpus(TEXTS).terms(Reading(longest=2), 1, 1000)
    draw = np.random.default_rng(0)
    weight, bias = draw.normal(size=(len(terms), 3)).astype(np.float16), draw.normal(size=3)
    save_columns(Vectorizer((terms,), 1), tmp_path)
    save_weights("lexical", weight, bias, tmp_path)
    (tmp_path / "model.json").write_text(
        json.dumps({"family": "lexical", "labels": ["a", "b", "c"], "inputs": ["text"]})
    )
    logits = columns @ weight.astype(np.float32) + bias
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    model = Predictor(tmp_path)
    np.testing.assert_allclose(model.probabilities([(text,) for text in TEXTS]), expected, atol=1e-5)
    assert model.probabilities([]).shape == (0, 3)
