"""Retrieval in pieces: its loss, ranks and metrics beside those of other libraries, targets, encoder, BM25."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from components.finetune.learning.batches import Batches
from components.finetune.learning.learned import dealt_out
from components.shared.backbones.head import Encoded
from components.shared.baselines import Labelled, Terms
from components.shared.errors import InputError
from components.shared.statistics import measure
from components.shared.tasks.target import Asked
from components.shared.tasks.text_retrieval.baselines import text_baselines
from components.shared.tasks.text_retrieval.encoder import PairEncoder
from components.shared.tasks.text_retrieval.head import SCALE, Head
from components.shared.tasks.text_retrieval.metrics import METRICS, statistics_of
from components.shared.tasks.text_retrieval.objective import Objective
from components.shared.tasks.text_retrieval.ranking import BLOCK, ranks_of_vectors
from components.shared.tasks.text_retrieval.samples import notes
from components.shared.tasks.text_retrieval.scoring import RetrievalScoring
from components.shared.tasks.text_retrieval.target import Options, Relevance
from tests.components.shared.tasks.tokenizers import folder_of

NOTHING: Any = Labelled([[], []], np.zeros(0, bool))


def unit(rows: np.ndarray) -> np.ndarray:
    found: np.ndarray = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return found


def columns_of(pairs: list[tuple[int, int]], relevant: list[int] | None = None) -> dict[str, list[int]]:
    """Target columns of pairs of texts, which are told by their numbers."""
    flags = relevant or [1] * len(pairs)
    return {
        "side": [0, 1] * len(pairs),
        "relevant": [flag for flag in flags for _ in (0, 1)],
        "text": [text for pair in pairs for text in pair],
    }


def loss_of(vectors: torch.Tensor, columns: dict[str, list[int]]) -> tuple[float, int]:
    head = Head(vectors.shape[1], {})
    total, count = head.loss(head(Encoded(pooled=vectors)), head.targets(columns))
    return float(total), int(count)


def test_the_loss_is_cross_entropy_over_the_passages_of_the_batch() -> None:
    vectors = torch.randn(8, 6, generator=torch.Generator().manual_seed(0))
    total, count = loss_of(vectors, columns_of([(1, 2), (3, 4), (5, 6), (7, 8)]))
    whole = torch.nn.functional.normalize(vectors, dim=-1)
    scores = SCALE * whole[::2] @ whole[1::2].T
    expected = torch.nn.functional.cross_entropy(scores, torch.arange(4), reduction="sum")
    assert (total, count) == (pytest.approx(float(expected), rel=1e-5), 4)
    columns = columns_of([(1, 2), (3, 4), (5, 6), (7, 8)])
    told = Objective({}).scores({"embedding": whole.numpy()}, columns)
    assert told["validation_loss"] == pytest.approx(total / 4, rel=1e-5)


def test_what_is_right_too_is_no_negative_and_what_is_not_relevant_is_one() -> None:
    vectors = torch.randn(8, 6, generator=torch.Generator().manual_seed(0))
    whole = torch.nn.functional.normalize(vectors, dim=-1)
    scores = SCALE * whole[::2] @ whole[1::2].T
    # The second pair asks what the first does; the third has the first one's passage; the fourth is not relevant.
    total, count = loss_of(vectors, columns_of([(1, 2), (1, 4), (5, 2), (7, 8)], [1, 1, 1, 0]))
    allowed = [[0, 3], [1, 3], [2, 1, 3]]
    expected = sum(float(torch.logsumexp(scores[row, seen], 0) - scores[row, row]) for row, seen in enumerate(allowed))
    assert count == 3
    assert total == pytest.approx(expected, rel=1e-5)
    assert loss_of(vectors[:2], columns_of([(1, 2)], [0]))[1] == 0


def test_ranks_are_those_of_scikit_learn() -> None:
    from sklearn.metrics import label_ranking_average_precision_score, ndcg_score

    draw = np.random.default_rng(1)
    passages = unit(draw.normal(size=(300, 12)))
    queries = unit(passages + draw.normal(0, 0.5, passages.shape))
    ranks, truth = ranks_of_vectors(queries, passages), np.eye(300)
    found = measure(METRICS, statistics_of(ranks, np.ones(300, bool)))
    scores = queries @ passages.T
    assert found["ndcg_at_10"] == pytest.approx(ndcg_score(truth, scores, k=10))
    assert found["reciprocal_rank"] == pytest.approx(label_ranking_average_precision_score(truth, scores))
    assert found["recall_at_1"] == (scores.argmax(1) == np.arange(300)).mean()
    assert 0.1 < (found["recall_at_1"] or 0) < (found["recall_at_10"] or 0) < 1


def test_equal_passages_are_one_and_those_of_one_query_do_not_compete() -> None:
    a, b, c = unit(np.eye(3) + 0.1)
    close = unit(np.array([a + 0.05 * b]))[0]
    assert ranks_of_vectors(np.array([close, close]), np.array([b, a])).tolist() == [1, 1]
    assert ranks_of_vectors(np.array([close, b, b, c]), np.array([c, a, a, c])).tolist()[0] == 2
    assert not len(ranks_of_vectors(np.zeros((0, 3)), np.zeros((0, 3))))


def test_pairs_that_are_not_relevant_count_in_no_metric() -> None:
    found = measure(METRICS, statistics_of(np.array([1, 50, 2]), np.array([True, False, True])))
    assert found["recall_at_1"] == 0.5
    assert found["recall_at_10"] == 1.0
    none = measure(METRICS, statistics_of(np.array([1]), np.array([False])))
    assert none["ndcg_at_10"] is None


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (1, "1"), (0, "0"), (0.7, "1"), (0.2, "0"), (True, "1"), (False, "0"), ("1.0", "1"), ("no", "0"), ("True", "1"),
        (None, "1"), ("", "1"), (float("nan"), "1"),
    ],
)  # fmt: skip
def test_scores_and_flags_tell_what_belongs_together(value: Any, found: str) -> None:
    assert Relevance().reader(Asked(["score"], "text-retrieval")).read(value, "a:1") == (found, None)


def test_what_is_no_score_is_rejected() -> None:
    reader = Relevance(Options(relevant_from=4, empty_is_relevant=False)).reader(Asked(["score"], "text-retrieval"))
    assert reader.read("perhaps", "a:1") == (None, "label is no score ('perhaps')")
    assert reader.read(None, "a:1") == (None, "missing label")
    assert reader.read(float("inf"), "a:1") == (None, "label is no finite number")
    assert (reader.read(3.9, "a:1"), reader.read(4, "a:1")) == (("0", None), ("1", None))
    assert Relevance().merge(["1", "0"]) is None
    with pytest.raises(InputError, match="1 training pairs belong together by 'score'; two at least"):
        Relevance().check_learnable({"train": {"relevant": 1}, "test": {}}, "score")


def test_both_texts_of_a_pair_are_read_apart(tmp_path: Path) -> None:
    encoder = PairEncoder(folder_of("pieces", tmp_path), 16)
    arrays = encoder.encode([["the pan", "the old"], ["some oven " * 30, "the pan"]], pa.array([True, False]))
    columns = dict(zip([*encoder.schema.names, *encoder.targets.names], map(pa.Array.to_pylist, arrays), strict=True))
    assert columns["example"] == [0, 0, 1, 1]
    assert columns["side"] == [0, 1, 0, 1]
    assert columns["relevant"] == [1, 1, 0, 0]
    assert columns["text"][0] == columns["text"][3] != columns["text"][1]
    assert columns["input_ids"][0] == columns["input_ids"][3]
    assert columns["length"][1] == 16


def test_rows_of_a_pair_stay_in_one_batch() -> None:
    lengths = np.arange(40, dtype=np.int32)
    batches = list(Batches(lengths, 2, 6, seed=1).of(0))
    assert sorted(np.concatenate(batches).tolist()) == list(range(40))
    assert all((batch[::2] % 2 == 0).all() and (batch[1::2] == batch[::2] + 1).all() for batch in batches)
    assert max(map(len, batches)) == 12


def test_the_passages_of_a_query_stay_in_one_batch() -> None:
    """What a query must not find is told apart from its own passage only where both are there."""
    queries = np.repeat(np.arange(20), 3)
    texts = np.column_stack([queries, 100 + np.arange(60)]).ravel()
    columns = {"side": np.tile([0, 1], 60), "relevant": np.tile([1, 1, 0, 0, 0, 0], 20), "text": texts}
    groups = Objective({}).groups(columns)
    dealt = Batches(np.ones(120, np.int32), 2, 12, seed=1, groups=groups)
    batches = list(dealt.of(0))
    assert dealt.steps == len(batches) == 5
    assert sorted(np.concatenate(batches).tolist()) == list(range(120))
    assert all(np.unique(queries[batch[::2] // 2], return_counts=True)[1].tolist() == [3] * 4 for batch in batches)


def test_what_is_dealt_blindly_finds_little() -> None:
    draw = np.random.default_rng(1)
    vectors = unit(draw.normal(size=(200, 12))).repeat(2, axis=0)
    columns = {"side": np.tile([0, 1], 200), "relevant": np.ones(400, int), "text": np.arange(400)}
    verdict = dealt_out(Objective({}), {"embedding": vectors}, columns, "ndcg_at_10", 1)
    assert verdict.learned
    mixed = unit(draw.normal(size=(400, 12)))
    assert not dealt_out(Objective({}), {"embedding": mixed}, columns, "ndcg_at_10", 1).learned


def test_bm25_finds_what_shares_rare_words() -> None:
    rows = [row for row in notes(400, 1) if row["label"]]
    inputs = [[row[name] for row in rows] for name in ("input_1", "input_2")]
    (found,) = text_baselines(NOTHING, NOTHING, inputs, Terms(0))
    assert RetrievalScoring().fault(found.predictions, len(rows), {}) is None
    assert (found.predictions <= 10).mean() > 0.9
    blind = RetrievalScoring().constant(np.ones(2000, bool), {}, {}, 2000)
    assert blind.predictions[0] == (BLOCK + 1) // 2
    (none,) = text_baselines(NOTHING, NOTHING, [["…", "the"], ["!", "?"]], Terms(0))
    assert none.predictions.min() >= 1


def test_a_query_finds_nothing_that_shares_no_word_with_it() -> None:
    (found,) = text_baselines(NOTHING, NOTHING, [["b b", "a"], ["a", "b"]], Terms(0))
    assert found.predictions.tolist() == [2, 2]
