"""What else is trained on request: arms that tell whether transfer helped, and points of a learning curve.

Nothing is chosen by the test split here: of each arm and point its predictions for the test examples are kept, which
`evaluate` scores beside the model's. Source of the arms: Wang et al. 2019, 1811.09751.
"""

import dataclasses
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.finetune.answers import Answers
from components.finetune.learning.examples import Examples
from components.finetune.learning.history import in_words, measured
from components.finetune.learning.learners import Direct, predict
from components.finetune.linear.words import WideColumns
from components.finetune.study import Study, Trained
from components.shared.backbones.network import Network
from components.shared.example_scores import Outcome, join, outcome_of
from components.shared.selection import rank

PREDICTIONS, SUMMARY = "notes/comparison.parquet", "notes/comparison.json"
FROZEN = "Frozen backbone, linear head"
"""The arm that is a baseline: evaluate reads it by `baseline`."""
_CHUNK = 65536  # test examples predicted at once
_LEAST_STEPS = 50  # of an epoch on few examples: they come several times in it
_FACTORS = (1.0, 10.0)  # from scratch a network wants a higher learning rate: both are tried, with the same budget


@dataclass(frozen=True)
class Comparisons:
    """What comparisons are made from.

    Attributes:
        study: Of the backbone.
        random: Of the same architecture without its weights; None where no arms are asked for.
        test: The test examples.
        strategy: Of the model, which the points of the curve learn by, too.
        frozen: Whether the frozen backbone with a linear head is an arm, to be beaten.
        predict: What an arm makes of the examples that are measured on; None: of the test examples.
        answers: Where an example has not one class of several: what makes predictions, which are kept as they are.
    """

    study: Study
    random: Study | None
    test: Examples
    strategy: str
    frozen: bool = False
    predict: Callable[[Trained], Outcome] | None = None
    answers: Answers | None = None

    def write(self, folder: Path, points: list[int]) -> dict[str, Any]:
        """Trains arms and points; writes what they predict, and returns the summary.

        Args:
            folder: Of the model.
            points: Labels a class for each point of the learning curve.
        """
        told: dict[str, Any] = {"arms": [], "reference": None, "curve": []}
        (folder / "notes").mkdir(parents=True, exist_ok=True)
        with pq.ParquetWriter(folder / PREDICTIONS, self._schema) as writer:
            for name, entry, trained in self._arms():
                told["arms"].append({"name": name, **entry})
                self._write(writer, name, trained)
            for count, entry, trained in self._points(points):
                told["curve"].append({"labels_per_class": count, **entry})
                self._write(writer, f"curve {count}", trained)
        without = [arm for arm in told["arms"] if not arm["pretrained"]]
        if without:
            told["reference"] = max(without, key=lambda arm: rank(arm["validation"], self.study.selection))["name"]
        return told

    @property
    def _schema(self) -> pa.Schema:
        if self.answers is None:
            return _SCHEMA
        return pa.schema([pa.field("arm", pa.string()), *self.answers.schema])

    def _write(self, writer: pq.ParquetWriter, arm: str, trained: Trained) -> None:
        """Writes what an arm makes of the examples that are measured on."""
        if self.answers is None:
            writer.write_table(_table(arm, self._predict(trained)))
            return
        network, study = trained.network, self.study
        assert isinstance(network, Network), "it has a head"
        test = dataclasses.replace(self.test, columns=self._columns(network))
        for table in self.answers.tables(network, test, 2 * study.settings.batch_size, study.autocast):
            writer.write_table(table.add_column(0, "arm", pa.array([arm] * len(table), pa.string())))

    def _arms(self) -> Iterator[tuple[str, dict[str, Any], Trained]]:
        if self.frozen:
            yield self._frozen()
        if self.random is None:
            return
        for name, study in (("probe, pretrained", self.study), ("probe, random", self.random)):
            entry, trained = _train(name, dataclasses.replace(study, raw=None), "probe")  # words are not transferred
            yield name, {"pretrained": study is self.study, **entry}, trained
        tried = [self._from_scratch(factor) for factor in _FACTORS]
        entry, trained = max(tried, key=lambda item: rank(item[0]["validation"], self.study.selection))
        seconds = sum(item["seconds"] for item, _ in tried)
        yield "from scratch", {"pretrained": False, **entry, "seconds": seconds}, trained

    def _frozen(self) -> tuple[str, dict[str, Any], Trained]:
        """Returns the baseline that a trained backbone is to beat: the same one, frozen, with a linear head."""
        began, study = time.perf_counter(), self.study
        study.prepare(["probe"])
        trained = study.probed(study.heads.probe, silent=True)
        validation = measured(trained.history.best)
        told = {"pretrained": True, "baseline": True, "strategy": "probe", "learning_rate": 0.0}
        seconds = max(time.perf_counter() - began, trained.history.seconds)
        return FROZEN, {**told, "validation": validation, "seconds": seconds}, trained

    def _from_scratch(self, factor: float) -> tuple[dict[str, Any], Trained]:
        assert self.random is not None
        rate = factor * self.random.settings.learning_rate
        settings = dataclasses.replace(self.random.settings, learning_rate=rate, layer_decay=1.0, head_factor=1.0)
        name = f"from scratch, learning rate {rate:g}"
        return _train(name, dataclasses.replace(self.random, settings=settings, raw=None), "full")

    def _points(self, points: list[int]) -> Iterator[tuple[int, dict[str, Any], Trained]]:
        for count in points:
            few = self.study.train.few(count, 0)
            if len(few) == len(self.study.train):
                self.study.tell(f"learning curve: {count} labels a class are all there are")
                continue
            repeated = self.study.train.few(count, _LEAST_STEPS * self.study.settings.batch_size)
            used = few if self.strategy == "probe" else repeated
            name = f"{count} labels a class"
            entry, trained = _train(name, dataclasses.replace(self.study, train=used), self.strategy)
            yield count, {**entry, "examples": len(few)}, trained

    def _predict(self, trained: Trained) -> Outcome:
        if self.predict is not None:
            return self.predict(trained)
        network, autocast, outcomes = trained.network, self.study.autocast, []
        assert isinstance(network, Network), "no comparison is made without a backbone"
        columns = self._columns(network)
        for start in range(0, len(self.test), _CHUNK):
            part = dataclasses.replace(self.test, numbers=self.test.numbers[start : start + _CHUNK], columns=columns)
            found = predict(network, Direct(part), 2 * self.study.settings.batch_size, autocast)
            outcomes.append(outcome_of(found, part.labels))
        return join(outcomes)

    def _columns(self, network: Network) -> WideColumns | None:
        """Returns the columns of the test examples, where a network has a branch for them."""
        raw, maker = self.study.raw, network.beside
        return raw.columns(maker, "test") if raw is not None and maker is not None else None


_SCHEMA = pa.schema(
    {
        "arm": pa.string(),
        "predicted": pa.int32(),
        "confidence": pa.float32(),
        "loss": pa.float64(),
        "score": pa.float32(),
    }
)


def _train(name: str, study: Study, strategy: str) -> tuple[dict[str, Any], Trained]:
    """Trains apart from the model: what happens stays out of its curves, and is told in one line."""
    began = time.perf_counter()
    silent = dataclasses.replace(study, listener=lambda *_: None, tell=lambda _: None, attached=False)
    trained = silent.run([strategy])
    validation = measured(trained.history.best)
    study.tell(f"compared: {name}: {in_words(validation)}")
    entry = {"strategy": strategy, "learning_rate": study.settings.learning_rate, "validation": validation}
    return {**entry, "seconds": time.perf_counter() - began}, trained


def _table(name: str, outcome: Outcome) -> pa.Table:
    columns = {field: getattr(outcome, field) for field in _SCHEMA.names if field != "arm"}
    return pa.table({"arm": [name] * len(outcome.labels), **columns}, schema=_SCHEMA)
