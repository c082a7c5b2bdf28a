"""What is fitted on words: which texts it reads, and which terms it finds by itself."""

import numpy as np

from components.finetune.linear.classical import drawn
from components.finetune.linear.joint import fit_joint
from components.finetune.linear.lexical import fit_lexical, top_words
from components.finetune.linear.words import Words


def words_of(texts: list[str], labels: list[int]) -> Words:
    """Every third text is for validation."""
    given, numbers = np.array(labels), np.arange(len(texts))
    unseen = numbers % 3 == 0
    train, validation = ([[texts[number] for number in numbers[part]]] for part in (~unseen, unseen))
    return Words(
        train=train, labels=given[~unseen], numbers=np.arange(len(train[0])), validation=validation,
        truth=given[unseen], validation_numbers=np.arange(len(validation[0])), classes=max(labels) + 1,
        total=len(train[0]),
    )  # fmt: skip


def test_small_classes_are_in_every_sample() -> None:
    labels = np.repeat([0, 1, 2], [5000, 4990, 10])
    kept = drawn(np.arange(10_000), labels, 1000, seed=3)
    assert 1000 <= len(kept) <= 1010
    assert (labels[kept] == 2).sum() == 10
    assert (np.diff(kept) > 0).all()
    assert drawn(np.arange(10), labels[:10], 10, seed=3).tolist() == list(range(10))


def test_texts_without_blanks_are_told_apart_by_their_characters() -> None:
    """No two of them share a word as scikit-learn cuts it."""
    draw = np.random.default_rng(0)
    filler = [chr(code) for code in range(0x4E00, 0x4E60)]
    texts = [
        "".join(draw.choice(filler, 9)) + ("退款" if number % 2 else "发票") + filler[number % 90]
        for number in range(120)
    ]
    fit = fit_lexical(words_of(texts, [number % 2 for number in range(120)]), seed=0)
    assert fit is not None
    assert fit.reading == "characters, 2 to 4"
    assert fit.validation["accuracy"] > 0.9
    assert "“退款”" in [word for word, _ in top_words(fit.maker, fit.linear.weight, ["invoice", "refund"])["refund"]]


def test_nothing_is_fitted_where_there_is_nothing_to_read() -> None:
    assert fit_lexical(words_of([""] * 30, [0, 1, 2] * 10), seed=0) is None


def test_vectors_and_words_together_know_what_neither_knows_alone() -> None:
    """The class is two bits: one is told by a word, the other by the vector."""
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 4, 300)
    texts = [f"{'red' if label % 2 else 'blue'} thing {number}" for number, label in enumerate(labels)]
    vectors = draw.normal(size=(300, 8)).astype(np.float32)
    vectors[:, 0] += np.where(labels // 2 == 1, 4, -4)
    words = words_of(texts, labels.tolist())
    fit = fit_lexical(words, seed=0)
    assert fit is not None
    unseen = np.arange(300) % 3 == 0
    joint = fit_joint(vectors[~unseen], vectors[unseen], fit, words, seed=0)
    assert fit.validation["accuracy"] < 0.7
    assert joint.validation["accuracy"] > 0.95
    assert sum(side["share"] for side in joint.sides.values()) > 0.99
    assert all(0.2 < side["share"] < 0.8 for side in joint.sides.values())
