"""Baselines of texts: none below the recipe that everybody knows, on texts made for what each of them is good at."""

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import LinearSVC

from components.shared.baselines import Baseline, Labelled, Terms, texts
from components.shared.baselines.texts import text_baselines
from components.shared.baselines.vectors import Characters, Words, side_by_side

SYLLABLES = [a + b for a in "bdfgklmnprst" for b in "aeiou"]


def words_of(count: int, seed: int) -> list[str]:
    draw = np.random.default_rng(seed)
    return ["".join(draw.choice(SYLLABLES, draw.integers(2, 4))) for _ in range(count)]


def topics(count: int, seed: int, classes: int = 5) -> tuple[list[str], np.ndarray]:
    """Texts of common words, in which one or two words of the class' own stand; large classes and small ones."""
    draw = np.random.default_rng(seed)
    common, own = words_of(200, 0), [words_of(15, 1 + number) for number in range(classes)]
    shares = np.arange(1, classes + 1) ** 2.0
    labels = draw.choice(classes, count, p=shares / shares.sum())
    labels[:classes] = np.arange(classes)
    made = [[*draw.choice(common, 12), *draw.choice(own[label], draw.integers(1, 3))] for label in labels]
    return [" ".join(draw.permutation(row)) for row in made], labels


def fit(
    make: Callable[[int, int], tuple[list[str], np.ndarray]], *counts: int
) -> tuple[dict[str, Baseline], np.ndarray]:
    """Returns the baselines by name, and the classes of the test examples."""
    (train, labels), (held, truth), (test, answers) = (make(count, seed) for seed, count in enumerate(counts))
    terms = Terms(int(labels.max()) + 1)
    found = text_baselines(Labelled([train], labels), Labelled([held], truth), [test], terms)
    return {baseline.name: baseline for baseline in found}, answers


def accuracy(baseline: Baseline, answers: np.ndarray) -> float:
    return float((baseline.predictions.argmax(1) == answers).mean())


def test_the_best_is_not_below_the_recipe_that_everybody_knows() -> None:
    found, answers = fit(topics, 400, 120, 1000)
    (train, labels), (test, _) = topics(400, 0), topics(1000, 2)
    vectors = TfidfVectorizer(sublinear_tf=True, stop_words="english", min_df=2)
    recipe = LinearSVC(class_weight="balanced", random_state=0).fit(vectors.fit_transform(train), labels)
    theirs = (recipe.predict(vectors.transform(test)) == answers).mean()
    assert theirs > 0.8
    assert max(accuracy(baseline, answers) for baseline in found.values()) >= theirs - 0.01


def test_probabilities_are_calibrated_on_validation() -> None:
    found, answers = fit(topics, 400, 200, 1000)
    for baseline in found.values():
        assert baseline.predictions.max(1).mean() == pytest.approx(accuracy(baseline, answers), abs=0.06)


def test_characters_tell_what_no_whole_word_does() -> None:
    def endings(count: int, seed: int) -> tuple[list[str], np.ndarray]:
        """Every word is new; its end tells the class."""
        stems, labels = words_of(4 * count, seed), np.arange(count) % 3
        ends = ("ing", "ung", "tion")
        made = [" ".join(stem + ends[labels[n]] for stem in stems[4 * n : 4 * n + 4]) for n in range(count)]
        return made, labels

    found, answers = fit(endings, 150, 60, 200)
    assert accuracy(found["SVM on characters"], answers) > 0.95 > accuracy(found["SVM on words"], answers)


def test_texts_without_a_word_are_told_apart_by_their_signs() -> None:
    def signs(count: int, seed: int) -> tuple[list[str], np.ndarray]:
        draw, labels = np.random.default_rng(seed), np.arange(count) % 2
        return ["".join(draw.permutation(list("?!.,;" + "☀🌧"[label]))) for label in labels], labels

    found, answers = fit(signs, 60, 20, 40)
    assert set(found) == {"SVM on characters"}
    assert accuracy(found["SVM on characters"], answers) > 0.9


@pytest.mark.parametrize("held", [0, 1])
def test_few_texts_need_no_validation(held: int) -> None:
    nothing = Labelled([["a text"][:held]], np.zeros(held, np.int64))
    train, labels = topics(30, 0, 2)
    for baseline in text_baselines(Labelled([train], labels), nothing, [["a text", ""]], Terms(2)):
        assert np.isfinite(baseline.predictions).all()


def test_pairs_are_compared_beside_the_words_of_each() -> None:
    def same(count: int, seed: int) -> tuple[list[str], list[str], np.ndarray]:
        """Do both texts have the same words? What each says for itself tells nothing."""
        draw, words, labels = np.random.default_rng(seed), words_of(60, 0), np.arange(count) % 2
        left = [draw.choice(words, 6, replace=False) for _ in labels]
        right = [
            draw.permutation(row) if label else draw.choice(words, 6) for row, label in zip(left, labels, strict=True)
        ]
        return [" ".join(row) for row in left], [" ".join(row) for row in right], labels

    (*train, labels), (*held, truth), (*test, answers) = (
        same(count, seed) for seed, count in enumerate((200, 80, 200))
    )
    found = list(text_baselines(Labelled(train, labels), Labelled(held, truth), test, Terms(2)))
    assert {baseline.name for baseline in found} >= {"SVM on words", "SVM on characters"}
    assert min(accuracy(baseline, answers) for baseline in found) > 0.9


def test_work_is_bounded_and_every_class_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "_LEAST", 20)
    monkeypatch.setattr(texts, "_WORK", 1)
    monkeypatch.setattr(texts, "_SEARCH_WORK", 1)
    found, answers = fit(topics, 400, 100, 200)
    assert 20 <= found["SVM on words"].examples <= 25
    assert found["SVM on characters"].examples == 400
    assert np.isfinite(found["SVM on words"].predictions).all()
    assert len(set(found["SVM on words"].predictions.argmax(1))) > 1
    assert len(answers) == len(found["SVM on words"].predictions)


def test_same_texts_same_baselines() -> None:
    first, second = (fit(topics, 150, 50, 50)[0] for _ in range(2))
    for name, baseline in first.items():
        assert baseline.what == second[name].what
        np.testing.assert_array_equal(baseline.predictions, second[name].predictions)


def test_characters_are_counted_as_scikit_learn_does() -> None:
    train, _ = topics(50, 0)
    test = [*topics(20, 1)[0], "É  a\tnew one, ", "x"]
    ours, theirs = (
        Characters(10**6),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), min_df=2, sublinear_tf=True),
    )
    ours.fit(train)
    theirs.fit(train)
    np.testing.assert_allclose(ours.transform(test).toarray(), theirs.transform(test).toarray(), atol=1e-6)


def test_a_large_vocabulary_is_hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.shared.baselines.vectors._HASHED", 100)
    train, _ = topics(50, 0)
    words = Words(1024, pairs=True, stop_words=False)
    words.fit(train)
    assert words.transform(train).shape == (50, 1024)
    assert words.bytes == 4 * 1024


def test_two_texts_stand_beside_what_they_share() -> None:
    words = Words(1000, pairs=False, stop_words=False)
    words.fit(["red ship", "red pan", "ship pan"])
    left, right = words.transform(["red ship"]), words.transform(["red pan"])
    row = side_by_side([left, right]).toarray()[0]
    assert row[-1] == pytest.approx((left @ right.T).toarray()[0, 0])
    np.testing.assert_allclose(row[6:9], (left.toarray() * right.toarray())[0])
    np.testing.assert_allclose(row[9:12], abs(left.toarray() - right.toarray())[0])
