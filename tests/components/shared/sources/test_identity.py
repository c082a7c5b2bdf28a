"""Many identities at once are those that are made one by one."""

import pyarrow as pa
import pytest

from components.shared.artifacts.inventory import Content
from components.shared.artifacts.snapshot import draw_of, draws_of
from components.shared.sources.identity import halves_of, hex_of, identities, identity

TEXTS = ["", "a", "zwölf", "取引", "x" * 1000, "a\0b", " a"]
FILES = [b"", b"\xff\xd8", bytes(range(256))]


def test_of_texts_of_files_and_of_pairs() -> None:
    assert hex_of(identities([pa.array(TEXTS)])).to_pylist() == [identity([text]) for text in TEXTS]
    assert hex_of(identities([pa.array(FILES)])).to_pylist() == [identity([file]) for file in FILES]
    pairs = list(zip(TEXTS, reversed(TEXTS), strict=True))
    columns = [pa.array(column) for column in zip(*pairs, strict=True)]
    assert hex_of(identities(columns)).to_pylist() == [identity(pair) for pair in pairs]


def test_of_a_part_of_an_array() -> None:
    found = identities([pa.array(TEXTS)[2:5]])[1:]
    assert hex_of(found).to_pylist() == [identity([text]) for text in TEXTS[3:5]]
    assert [f"{high:016x}{low:016x}" for high, low in halves_of(found).tolist()] == hex_of(found).to_pylist()
    assert hex_of(identities([pa.array([], pa.string())])).to_pylist() == []


def test_their_draws() -> None:
    ids = [identity([text]) for text in TEXTS]
    assert draws_of([id_.encode() for id_ in ids]).tolist() == [draw_of(id_) for id_ in ids]


@pytest.mark.parametrize("labels", [["a", "b", "a", 'quo"te', "ä", "b", "a"]])
def test_the_digest_of_a_content(labels: list[str]) -> None:
    ids, splits = [identity([text]) for text in TEXTS], ["", "test", "", "train", "", "", ""]
    one, many = Content(), Content()
    for told in zip(ids, splits, labels, strict=True):
        one.add(*told)
    for start in (0, 3):
        some = slice(start, start + 3 if start == 0 else None)
        named = (pa.array(column[some]).dictionary_encode() for column in (splits, labels))
        many.extend(
            pa.array(ids[some]), *((column.indices.to_numpy(), column.dictionary.to_pylist()) for column in named)
        )
    assert (many.digest, many.examples) == (one.digest, one.examples)
