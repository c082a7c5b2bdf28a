"""Folders as BEIR has them: passages, queries, and judgements of which passage fits which query, a file a split.

`corpus.jsonl` (`_id`, `title`, `text`), `queries.jsonl` (`_id`, `text`), `qrels/train.tsv` (`query-id`, `corpus-id`,
`score`). Thakur et al. 2021, 2104.08663. Of the corpus only passages that are judged stay in memory.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from components.shared.errors import InputError
from components.shared.sources.columns import Batch, check_columns
from components.shared.sources.parts import Part
from components.shared.sources.splits import given_split
from components.shared.storage import storage
from components.shared.storage.storage import File

COLUMNS = ("query", "passage", "score", "query_id", "passage_id")

_CORPUS, _QUERIES, _FOLDER = "corpus.jsonl", "queries.jsonl", "qrels/"
_ROWS = 4096


@dataclass(frozen=True, slots=True)
class Judgements(File):
    """A file of judgements; it changes with the texts that it names.

    Attributes:
        corpus: The file of passages.
        queries: That of queries.
    """

    corpus: File = dataclasses.field(default=File("", "", 0), kw_only=True)
    queries: File = dataclasses.field(default=File("", "", 0), kw_only=True)


def find_judgements(files: Sequence[File]) -> list[Judgements]:
    """Returns the judgements of a folder, each with its texts; [] where it is no such folder."""
    named = {file.name: file for file in files}
    found = []
    for file in files:
        base, folder, last = file.name.rpartition(_FOLDER)
        texts = [named.get(base + name) for name in (_CORPUS, _QUERIES)]
        if not folder or "/" in last or not last.endswith((".tsv", ".txt", ".qrels")) or None in texts:
            continue
        corpus, queries = (text for text in texts if text is not None)
        stamps = [one.stamp for one in (file, corpus, queries)]
        stamp = hashlib.sha256("\n".join(stamps).encode()).hexdigest() if all(stamps) else ""
        size = file.size + corpus.size + queries.size
        found.append(Judgements(file.uri, file.name, size, stamp, corpus=corpus, queries=queries))
    return found


def read_judgements(file: Judgements, columns: Sequence[str], splits: Mapping[str, str]) -> Iterator[Part]:
    """Reads judgements as rows of query, passage and score.

    Raises:
        InputError: A line is none, or a text is missing.
    """
    check_columns(file.name, COLUMNS, columns)
    judged = [line for number, text in enumerate(_lines(file), 1) if (line := _judgement(file, number, text))]
    if not judged:
        raise InputError(f"{file.name} holds no judgements. Remove it, or write it again.")
    queries = _texts(file.queries, {query for _, query, _, _ in judged})
    passages = _texts(file.corpus, {passage for _, _, passage, _ in judged})
    place, split = storage.printable(file.name), given_split(file.name, splits)
    for start in range(0, len(judged), _ROWS):
        some = judged[start : start + _ROWS]
        values: dict[str, list[object]] = {
            "query": [queries.get(query) for _, query, _, _ in some],
            "passage": [passages.get(passage) for _, _, passage, _ in some],
            "score": [score for *_, score in some],
            "query_id": [query for _, query, _, _ in some],
            "passage_id": [passage for _, _, passage, _ in some],
        }
        faults = {
            at: f"there is no {what} {name!r} in {of.name}"
            for what, known, of, column in (("query", queries, file.queries, 1), ("passage", passages, file.corpus, 2))
            for at, line in enumerate(some)
            if (name := str(line[column])) not in known
        }
        numbers = [number for number, *_ in some]
        yield Part(place, place, split, Batch(numbers, {name: values[name] for name in columns or COLUMNS}, faults))


def _judgement(file: File, number: int, text: str) -> tuple[int, str, str, str] | None:
    """Returns line, query, passage and score; None of the header, and of an empty line. TREC's lines have one more."""
    parts = text.split("\t") if "\t" in text else text.split()
    if not text.strip() or (number == 1 and "query" in parts[0].lower() and not _is_number(parts[-1])):
        return None
    if len(parts) not in (3, 4) or not _is_number(parts[-1]):
        raise InputError(
            f"{file.name}:{number}: {text[:80]!r} is no judgement; query-id, corpus-id and a score were expected, with "
            "tabs between them."
        )
    return number, parts[0].strip(), parts[-2].strip(), parts[-1].strip()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _texts(file: File, wanted: Iterable[str]) -> dict[str, str]:
    """Returns the texts of those names that are wanted; a title stands before its text."""
    names, found = set(wanted), {}
    for number, line in enumerate(_lines(file), 1):
        if not line.strip():
            continue
        try:
            told = json.loads(line)
            name = str(told["_id"] if "_id" in told else told["id"])
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise InputError(
                f"{file.name}:{number} is no JSON object with `_id` and `text`. Write it again."
            ) from error
        if name in names:
            parts = (str(told.get(key) or "").strip() for key in ("title", "text"))
            found[name] = " ".join(part for part in parts if part)
    return found


def _lines(file: File) -> Iterator[str]:
    with storage.open_stream(file) as stream:
        for line in stream:
            yield line.decode("utf-8-sig", "surrogateescape").rstrip("\r\n")
