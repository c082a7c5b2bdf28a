"""Entities and answers from files as people have them to features: whatever wrote them, snapshots are the same."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.detect.comparison import compare
from components.ingest.ingest import IngestSettings, ingest
from components.shared import tasks
from components.shared.artifacts.artifact import open_artifact
from components.shared.artifacts.features import FeatureSplit
from components.shared.artifacts.inventory import open_inventory
from components.shared.errors import InputError
from components.shared.profile.reading import read as read_columns
from components.shared.profile.table import task_of
from components.shared.sources.rows import data_files, read_rows
from components.shared.sources.source import SourceSettings
from components.shared.tasks.question_answering import QuestionAnswering
from components.transform.transform import TransformSettings, transform
from tests.components.shared.tasks.tokenizers import folder_of

NER, QA = "token-classification", "question-answering"


def run(source: Path, snapshot: Path, task: str, inputs: list[str], label: str, **settings: Any) -> Path:
    ingest(snapshot, IngestSettings(str(source), inputs, label, task=task, **settings))
    return snapshot


def told(snapshot: Path) -> Any:
    return json.loads((snapshot / "snapshot.json").read_text())


def split_rows(snapshot: Path, split: str = "*") -> list[dict[str, Any]]:
    paths = sorted(path for path in snapshot.glob(f"{split}-*.parquet"))
    return [row for path in paths for row in pq.read_table(path).to_pylist()]


SHIPS = ("Aurora", "Beagle", "Calypso", "Dunbar", "Endeavour", "Fram")
PORTS = ("Oslo", "Porto", "Cádiz", "Riga", "Genoa")
NAMES = {"ship": SHIPS, "port": PORTS}
FRAMES = (["the", "", "left", "", "at", "dawn"], ["", "reached", "", "late"], ["nothing", "came", "to", ""])


def reports(count: int, seed: int) -> list[dict[str, Any]]:
    """Short reports on ships and ports, told by their names and what stands around them; some with none."""
    draw = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        text, spans, kinds = f"{number}:", list[dict[str, Any]](), iter(("ship", "port"))
        frame = FRAMES[number % len(FRAMES)] if number % 5 else ["no", "news"]
        for word in frame:
            kind = "" if word else next(kinds)
            word = word or str(draw.choice(NAMES[kind]))
            if kind:
                spans.append({"start": len(text) + 1, "end": len(text) + 1 + len(word), "label": kind})
            text += f" {word}"
        rows.append({"input_1": text, "label": spans})
    return rows


SAMPLE = reports(240, 1)


def tags_of(row: dict[str, Any]) -> list[str]:
    """The tag of each word of a sample row, whose entities are single words."""
    at, tags = 0, []
    for word in row["input_1"].split():
        start = row["input_1"].index(word, at)
        at = start + len(word)
        tags.append(next((f"B-{span['label']}" for span in row["label"] if span["start"] == start), "O"))
    return tags


def write_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


def as_spans(folder: Path) -> tuple[Path, str, str]:
    return write_lines(folder / "a.jsonl", SAMPLE), "input_1", "label"


def as_doccano(folder: Path) -> tuple[Path, str, str]:
    rows = [
        {"id": n, "text": row["input_1"], "label": [[s["start"], s["end"], s["label"]] for s in row["label"]]}
        for n, row in enumerate(SAMPLE)
    ]
    return write_lines(folder / "a.jsonl", rows), "text", "label"


def as_prodigy(folder: Path) -> tuple[Path, str, str]:
    rows = [
        {"text": row["input_1"], "spans": row["label"], "answer": "accept", "_task_hash": n, "_input_hash": n}
        for n, row in enumerate(SAMPLE)
    ]
    rejected = {"text": "no use", "spans": [], "answer": "reject", "_task_hash": 999, "_input_hash": 999}
    return write_lines(folder / "a.jsonl", [*rows, rejected]), "text", "spans"


def as_label_studio(folder: Path) -> tuple[Path, str, str]:
    rows = []
    for row in SAMPLE:
        spans = [{**{k: s[k] for k in ("start", "end")}, "text": row["input_1"][s["start"] : s["end"]],
                  "labels": [s["label"]]} for s in row["label"]]  # fmt: skip
        result = [{"from_name": "kind", "to_name": "text", "type": "labels", "value": span} for span in spans]
        rows.append({"data": {"text": row["input_1"]}, "annotations": [{"result": result, "was_cancelled": False}]})
    (folder / "a.json").write_text(json.dumps(rows), "utf-8")
    return folder / "a.json", "text", "label"


def as_conll(folder: Path) -> tuple[Path, str, str]:
    lines = ["-DOCSTART- -X- O O", ""]
    for row in SAMPLE:
        lines += [*(f"{word} NN X {tag}" for word, tag in zip(row["input_1"].split(), tags_of(row), strict=True)), ""]
    (folder / "all.txt").write_text("\r\n".join(lines), "utf-8")
    return folder / "all.txt", "tokens", "ner_tags"


def as_numbers(folder: Path) -> tuple[Path, str, str]:
    """As Hugging Face's datasets write them: numbers, and in the file's metadata what these mean."""
    names = ["O", "B-port", "B-ship"]
    table = pa.table(
        {
            "tokens": [row["input_1"].split() for row in SAMPLE],
            "ner_tags": [[names.index(tag) for tag in tags_of(row)] for row in SAMPLE],
        }
    )
    feature = {"feature": {"names": names, "_type": "ClassLabel"}, "_type": "Sequence"}
    info = {"info": {"features": {"ner_tags": feature}}}
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(info)}), folder / "a.parquet")
    return folder / "a.parquet", "tokens", "ner_tags"


def as_csv(folder: Path) -> tuple[Path, str, str]:
    lines = ["words,tags", *(f'"{row["input_1"]}","{" ".join(tags_of(row))}"' for row in SAMPLE)]
    (folder / "a.csv").write_text("\n".join(lines) + "\n", "utf-8")
    return folder / "a.csv", "words", "tags"


@pytest.fixture(scope="module")
def entities(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("entities")
    source, text, label = as_spans(folder)
    return run(source, folder / "snapshot", NER, [text], label)


WRITERS: list[Callable[[Path], tuple[Path, str, str]]] = [
    *(as_doccano, as_prodigy, as_label_studio, as_conll, as_numbers, as_csv)
]


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_whatever_wrote_entities_the_snapshot_is_the_same(
    write: Callable[[Path], tuple[Path, str, str]], entities: Path, tmp_path: Path
) -> None:
    source, text, label = write(tmp_path)
    snapshot = run(source, tmp_path / "snapshot", NER, [text], label)
    for split in ("train", "validation", "test"):
        name = f"{split}-00000.parquet"
        assert pq.read_table(snapshot / name).equals(pq.read_table(entities / name))
    assert told(snapshot)["labels"] == ["port", "ship"]


def test_a_snapshot_counts_texts_by_type(entities: Path) -> None:
    found = told(entities)
    rows = split_rows(entities)
    assert sum(counts["ship"] for counts in found["classes"].values()) == sum(
        any(span["label"] == "ship" for span in row["label"]) for row in rows
    )
    assert all(found["classes"][split]["(none)"] for split in found["classes"])
    profile = json.loads((entities / "notes/profile.json").read_text())
    assert {label for label, _ in profile["classes"]} == {"(none)", "port", "ship"}


def test_features_of_entities_have_a_tag_for_each_word(entities: Path, tmp_path: Path) -> None:
    backbone = folder_of("pieces", tmp_path / "backbone")
    transform(entities, tmp_path / "features", TransformSettings(str(backbone), max_length=12))
    features = open_artifact(tmp_path / "features", "features")
    content = features.read_json("features.json")
    assert content["columns"] == ["input_ids"]
    assert content["targets"] == ["tags"]
    assert content["decoding"] == ["starts", "ends"]
    split = FeatureSplit(features, "train", "validation")
    rows = [*split_rows(entities, "train"), *split_rows(entities, "validation")]
    assert len(split) > len(rows)  # windows
    assert split.examples.tolist() == sorted(split.examples.tolist())
    assert [split[place] for place in range(len(split))] == [rows[n]["id"] for n in split.examples]
    lists = split.take_lists(np.arange(len(split)))
    tagged = sum(int((row == 1).sum() + (row == 3).sum()) for row in lists["tags"])  # B-port, B-ship
    assert tagged == sum(len(row["label"]) for row in rows)


def test_features_of_tokens_want_a_language_model(entities: Path, tmp_path: Path) -> None:
    from tests.backbones import make_timm_backbone

    backbone = make_timm_backbone("vit_tiny_patch16_224", tmp_path / "backbone")
    with pytest.raises(InputError, match="it has no tokenizer"):
        transform(entities, tmp_path / "features", TransformSettings(str(backbone)))


QUESTIONS = QuestionAnswering().sample(300, 2)


def as_squad(folder: Path) -> Path:
    """As SQuAD 2.0 is: articles, paragraphs, questions; impossible ones have what looks like an answer."""
    contexts: dict[str, list[dict[str, Any]]] = {}
    for number, row in enumerate(QUESTIONS):
        answers = [{"text": t, "answer_start": s} for t, s in zip(*row["label"].values(), strict=True)]
        asked = {"id": str(number), "question": row["input_1"], "answers": answers, "is_impossible": not answers}
        asked |= {"plausible_answers": [{"text": "x", "answer_start": 0}]} if not answers else {}
        contexts.setdefault(row["input_2"], []).append(asked)
    paragraphs = [{"context": context, "qas": asked} for context, asked in contexts.items()]
    articles = [{"title": "a", "paragraphs": paragraphs[:30]}, {"title": "b", "paragraphs": paragraphs[30:]}]
    (folder / "squad.json").write_text(json.dumps({"version": "v2.0", "data": articles}), "utf-8")
    return folder / "squad.json"


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("answers")
    return run(as_squad(folder), folder / "snapshot", QA, ["question", "context"], "answers")


def test_a_table_of_questions_gives_the_same_snapshot(answers: Path, tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(QUESTIONS), tmp_path / "a.parquet")
    snapshot = run(tmp_path / "a.parquet", tmp_path / "snapshot", QA, ["input_1", "input_2"], "label")
    for split in ("train", "validation", "test"):
        name = f"{split}-00000.parquet"
        assert pq.read_table(snapshot / name).equals(pq.read_table(answers / name))
    assert told(snapshot)["target"] == {"max_answer_tokens": 64, "unanswerable": True}


def test_questions_on_one_text_stay_in_one_split(answers: Path) -> None:
    where: dict[str, set[str]] = {}
    for split in ("train", "validation", "test"):
        for row in split_rows(answers, split):
            where.setdefault(row["input_2"], set()).add(split)
    assert len(where) > 90
    assert all(len(splits) == 1 for splits in where.values())
    assert sum(told(answers)["rows"].values()) == 300
    assert all(told(answers)["rows"].values())


def test_no_answer_lies_in_the_inventory(answers: Path) -> None:
    table = pq.read_table(answers / "notes/inventory/rows.parquet")
    kept = json.dumps(table["label"].to_pylist())
    assert all(one["text"] not in kept for row in split_rows(answers) for one in row["label"])
    inventory = open_inventory(answers / "notes/inventory")
    found = compare(inventory.rows(), [inventory.rows()], tasks.get(QA), inventory.answers)
    assert not found.differs
    assert found.content.digest == inventory.data_digest
    assert set(found.after) == {"answered", "(none)"}


def test_features_of_answers_point_at_them(answers: Path, tmp_path: Path) -> None:
    backbone = folder_of("pieces", tmp_path / "backbone")
    transform(answers, tmp_path / "features", TransformSettings(str(backbone), max_length=32))
    features = open_artifact(tmp_path / "features", "features")
    split, rows = FeatureSplit(features, "test"), split_rows(answers, "test")
    lists = split.take_lists(np.arange(len(split)))
    found: dict[int, set[str]] = {}
    for place, (example, start, end) in enumerate(
        zip(split.examples.tolist(), split.targets["start"], split.targets["end"], strict=True)
    ):
        if start:
            text = rows[example]["input_2"][lists["starts"][place][start] : lists["ends"][place][end]]
            found.setdefault(example, set()).add(text)
    expected = {n: {row["label"][0]["text"]} for n, row in enumerate(rows) if row["label"]}
    assert found == expected


class TestConll:
    def read(self, path: Path) -> list[Any]:
        return list(read_rows(data_files(str(path)), [], {}))

    def test_sentences_are_rows_with_their_own_faults(self, tmp_path: Path) -> None:
        text = "# a comment\nAda\tB-PER\nmet\tO\n\n#\tO\nx\tO\n\nbroken\tO\tO\nline\tO\n\n"
        (tmp_path / "a.conll").write_text(text)
        rows = self.read(tmp_path / "a.conll")
        assert [row.place for row in rows] == ["a.conll:2", "a.conll:5", "a.conll:8"]
        assert rows[0].values == {"tokens": ["Ada", "met"], "ner_tags": ["B-PER", "O"]}
        assert rows[1].values["tokens"] == ["#", "x"]
        assert rows[2].fault == "lines of a sentence have different numbers of fields (2 to 3)"

    def test_columns_between_have_numbers(self, tmp_path: Path) -> None:
        (tmp_path / "train.txt").write_text("EU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\nPeter NNP B-NP B-PER\n")
        rows = self.read(tmp_path / "train.txt")
        assert list(rows[0].values) == ["tokens", "column_2", "column_3", "ner_tags"]
        assert rows[0].split == "train"
        with pytest.raises(InputError, match="has no column 'tags'.*Did you mean 'ner_tags'"):
            list(read_rows(data_files(str(tmp_path / "train.txt")), ["tags"], {}))

    def test_universal_dependencies_begin_with_numbers(self, tmp_path: Path) -> None:
        line = "{n}\t{word}\t_\tNOUN\t_\t_\t0\troot\t_\t{tag}\n"
        text = line.format(n=1, word="Ada", tag="B-PER") + line.format(n=2, word="met", tag="O") + "\n"
        (tmp_path / "a.conll").write_text(text)
        assert self.read(tmp_path / "a.conll")[0].values["tokens"] == ["Ada", "met"]

    @pytest.mark.parametrize(
        "text", ["text,label\nI O,a\n\nyou O,b\n", "text\tlabel\ngood O\tB-X\n", "a b\n\nc d\n", "I am O\n\nyou O\n"]
    )
    def test_other_texts_are_not_taken_for_it(self, text: str, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text(text)
        assert all("ner_tags" not in row.values for row in self.read(tmp_path / "a.csv"))


class TestColumns:
    """Which task a table is made for, and which columns it takes, where a job leaves them out."""

    TEXTS = [f"a sentence on the number {n} of many others" for n in range(60)]  # noqa: RUF012

    @pytest.mark.parametrize(
        ("columns", "task", "inputs", "label"),
        [
            ({"text": TEXTS, "label": ["a", "b", "c"] * 20}, "text-classification", ["text"], "label"),
            ({"text": TEXTS, "labels": [["a", "b"], [], ["c"]] * 20}, "multi-label-classification", ["text"], "labels"),
            ({"text": TEXTS, "score": [n / 7 for n in range(60)]}, "text-regression", ["text"], "score"),
            ({"text": TEXTS, "score": [0.5, 1.0] * 30}, "text-classification", ["text"], "score"),
            (
                {
                    "tokens": [text.split() for text in TEXTS],
                    "pos_tags": [["X"] * 9] * 60,
                    "ner_tags": [["O"] * 9] * 60,
                },
                NER,
                ["tokens"],
                "ner_tags",
            ),
            ({"text": TEXTS, "spans": [[{"start": 0, "end": 1, "label": "A"}]] * 60}, NER, ["text"], "spans"),
            (
                {
                    "question": [f"what is {n}?" for n in range(60)],
                    "context": TEXTS,
                    "title": ["t"] * 60,
                    "answers": [{"text": ["a"], "answer_start": [0]}] * 60,
                },
                QA,
                ["question", "context"],
                "answers",
            ),
        ],
    )
    def test_a_table_tells_its_task(
        self, columns: dict[str, Any], task: str, inputs: list[str], label: str, tmp_path: Path
    ) -> None:
        pq.write_table(pa.table(columns), tmp_path / "a.parquet")
        settings = SourceSettings(str(tmp_path / "a.parquet"))
        assert task_of(settings) == task
        reading = read_columns(SourceSettings(settings.source, task=task))
        assert (reading.inputs, reading.label) == (inputs, label)

    def test_a_table_without_such_a_column_is_shown(self, tmp_path: Path) -> None:
        pq.write_table(pa.table({"text": self.TEXTS, "label": ["a", "b"] * 30}), tmp_path / "a.parquet")
        with pytest.raises(InputError, match="no column that can be the label of text-regression"):
            read_columns(SourceSettings(str(tmp_path / "a.parquet"), task="text-regression"))
