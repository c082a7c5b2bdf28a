"""Near-duplicates: inputs that say the same in nearly the same words, or show the same picture in another size.

Texts: MinHash over runs of 5 bytes of the lower-case words (Broder 1997), by one permutation whose empty
bins borrow from their neighbours (Li, Owen and Zhang 2012; Shrivastava and Li 2014). Images: gradients of a thumbnail
(a difference hash) find candidates, the thumbnails themselves decide. Both: bands of the signature lie on disk, and who
shares one is compared (locality-sensitive hashing); one band at a time is in memory, 8 bytes an input.
"""

import contextlib
import io
import itertools
import math
import mmap
import queue
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.shared.cores import cores
from components.shared.storage.prefetch import map_ahead

BINS, BANDS = 64, 16
_RUN = 5  # bytes of a shingle
_CHUNK = 128 << 10  # bytes of text at once: what is made of them stays in a core's cache
_SIDE = 16  # pixels of a thumbnail
_PICTURE_BANDS = 4
_FLAT = 8  # gradients below this are noise of the compression
_CLOSE = 3.0  # mean difference of two thumbnails of one picture, of 255
_AT_ONCE = 1 << 16  # keys looked at
_COMPARED = 16 << 20  # bytes of signatures compared at once, of each side
_MAPPED = 64 << 20  # bytes of signatures that are mapped at once
_HELD = 64 << 20  # bytes of keys that may be in memory, but for those of one band
_EMPTY = np.iinfo(np.uint32).max
_HALF = np.uint64(32)  # bits

_BLANKS = b"\t\n\v\f\r "
_LOWER = bytes(range(256)).lower().translate(bytes.maketrans(_BLANKS, b" " * len(_BLANKS)))
_NO_WORDS = bytes(byte for byte in range(128) if not chr(byte).isalnum() and byte not in _BLANKS)
_END, _BETWEEN = b"\xff", b"\xfe"  # of a text, and of its inputs: no byte of UTF-8

# Odd numbers whose products are well mixed in their high bits: out of MurmurHash3, xxHash and SplitMix64.
_PAIR, _FOUR, _FIVE, _MIXED = (np.uint32(number) for number in (0xCC9E2D51, 0x85EBCA6B, 0xC2B2AE35, 0x9E3779B1))
_LEFT, _RIGHT, _LAST = (np.uint64(number) for number in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


class Sketch(NamedTuple):
    """What of some inputs tells whether they are alike.

    Attributes:
        signatures: uint8 [inputs, bins or pixels].
        bands: uint32 [inputs, bands].
        is_empty: bool [inputs], those that are too short to be compared.
    """

    signatures: np.ndarray
    bands: np.ndarray
    is_empty: np.ndarray


def sketch(columns: Sequence[pa.Array]) -> Sketch:
    """Returns the sketches of inputs, an array for each input column: texts, or image files."""
    of = _of_pictures if columns[0].type == pa.binary() else _of_texts
    parts = list(of(columns))
    return parts[0] if len(parts) == 1 else Sketch(*(np.concatenate(part) for part in zip(*parts, strict=True)))


class NearDuplicates:
    """Collects sketches and finds which inputs are nearly the same.

    Args:
        folder: On disk, for bands and signatures.
        input_type: `pa.string()` or `pa.binary()` (image files).
        similarity: From which two texts are nearly the same: the part of shingles that they share, 0 to 1.
    """

    def __init__(self, folder: Path, input_type: pa.DataType, similarity: float) -> None:
        folder.mkdir()
        self._pictures = input_type == pa.binary()
        self._similarity, self._folder = similarity, folder
        self._bands = _PICTURE_BANDS if self._pictures else BANDS
        self._width = 3 * _SIDE * _SIDE if self._pictures else BINS
        names = ["signatures", *(f"band-{number}" for number in range(self._bands))]
        self._files = [(folder / name).open("w+b") for name in names]
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            file.close()

    def add(self, found: Sketch) -> None:
        """Adds inputs."""
        signatures, bands, is_empty = found
        if is_empty.any():  # like no other
            places = self._count + np.flatnonzero(is_empty)
            signatures[is_empty] = _drawn(places, self._width)
            bands[is_empty] = _drawn(places, 4 * self._bands).view(np.uint32)
        columns = (signatures, *(bands[:, number] for number in range(self._bands)))
        for file, values in zip(self._files, columns, strict=True):
            np.ascontiguousarray(values).tofile(file)
        self._count += len(signatures)

    def pairs(self, labels: np.ndarray) -> Iterator[np.ndarray]:
        """Yields pairs of inputs of one class that are nearly the same, int [pairs, 2]; some come several times.

        Args:
            labels: int [inputs], their classes, in the order in which they were added.
        """
        for file in self._files:
            file.flush()
        if self._count < 2:
            return
        shape = (self._count, self._width)
        signatures = np.memmap(self._folder / "signatures", np.uint8, "r", shape=shape)
        threads = max(1, min(cores(), _HELD // (8 * self._count)))
        desks: queue.SimpleQueue[np.ndarray] = queue.SimpleQueue()  # what is sorted at, time after time
        for _ in range(threads):
            desks.put(np.empty(self._count, np.uint64))

        def shared(number: int) -> np.ndarray:
            desk = desks.get()
            try:
                with (self._folder / f"band-{number}").open("rb") as file:
                    for start in range(0, self._count, _AT_ONCE):
                        some = desk[start : start + _AT_ONCE]
                        some[:] = np.fromfile(file, np.uint32, len(some))
                        some <<= _HALF
                        some |= np.arange(start, start + len(some), dtype=np.uint64)
                return _shared(desk)
            finally:
                desks.put(desk)

        for found in map_ahead(shared, range(self._bands), threads, lambda _: 1):
            for pairs in _candidates(found, labels, max(1, _COMPARED // self._width)):
                yield pairs[self._alike(signatures, pairs)]

    def _alike(self, signatures: np.memmap[Any, Any], pairs: np.ndarray) -> np.ndarray:
        both = self._read(signatures, pairs.reshape(-1)).reshape(-1, 2, self._width)
        left, right = both[:, 0], both[:, 1]
        if self._pictures:
            close: np.ndarray = np.abs(left.astype(np.int16) - right).mean(1) <= _CLOSE
            return close
        same: np.ndarray = (left == right).mean(1) >= self._similarity
        return same

    def _read(self, signatures: np.memmap[Any, Any], rows: np.ndarray) -> np.ndarray:
        """Returns some signatures, uint8 [rows, width]: in the file's order, and what was mapped is let go of again."""
        found = np.empty((len(rows), self._width), np.uint8)
        order = np.argsort(rows)
        ranked = rows[order]
        step = max(1, _MAPPED // self._width)
        bounds = np.searchsorted(ranked, np.arange(0, self._count + step, step))
        for start, end in itertools.pairwise(bounds.tolist()):
            if start < end:
                found[order[start:end]] = signatures[ranked[start:end]]
                signatures._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]  # the pages are on disk
        return found


def _shared(desk: np.ndarray) -> np.ndarray:
    """Returns those entries (a key above, an input below) whose key another one has, too, in order: uint64; sorts."""
    desk.sort()
    same = np.zeros(len(desk) + 1, bool)  # as the one before
    for start in range(1, len(desk), _AT_ONCE):
        here = desk[start : start + _AT_ONCE]
        same[start : start + len(here)] = (here ^ desk[start - 1 : start - 1 + len(here)]) >> _HALF == 0
    found: np.ndarray = desk[same[1:] | same[:-1]]
    return found


def _candidates(shared: np.ndarray, labels: np.ndarray, most: int) -> Iterator[np.ndarray]:
    """Yields pairs of one class with the same key: each with the next one, and with the first one.

    Args:
        shared: As `_shared` returns them.
        labels: Of all inputs.
        most: How many pairs come at once.
    """
    inputs = shared.astype(np.uint32)
    told = (shared >> _HALF << _HALF) | labels[inputs].astype(np.uint64)
    ranks = np.argsort(told, kind="stable")  # in order already, but for the classes
    inputs, told = inputs[ranks].astype(np.int64), told[ranks]
    same = told[1:] == told[:-1]
    where = np.flatnonzero(same)
    begins = np.concatenate([[0], np.flatnonzero(~same) + 1])
    first = begins[np.searchsorted(begins, where, "right") - 1]
    for start in range(0, len(where), most):
        some = slice(start, start + most)
        later = inputs[where[some] + 1]
        yield np.stack([inputs[where[some]], later], 1)
        further = first[some] != where[some]
        yield np.stack([inputs[first[some]], later], 1)[further]


def _of_texts(columns: Sequence[pa.Array]) -> Iterator[Sketch]:
    """Yields the sketches of texts."""
    lengths = [pc.binary_length(column).to_numpy(zero_copy_only=False).astype(np.int64) for column in columns]
    ends, room = np.cumsum(np.sum(lengths, 0)), _Room()
    count, start = len(ends), 0
    signatures, bands = np.empty((count, BINS), np.uint8), np.empty((count, BANDS), np.uint32)
    is_empty = np.empty(count, bool)
    while start < count:
        before = ends[start - 1] if start else 0
        some = slice(start, max(start + 1, int(np.searchsorted(ends, before + _CHUNK))))
        texts = _letters([column[some] for column in columns])
        _min_hash(texts, room, signatures[some], bands[some], is_empty[some])
        start = some.stop
    yield Sketch(signatures, bands, is_empty)


class _Room:
    """Arrays to compute in: new ones, of pages that the system has to bring, would take ten times as long."""

    def __init__(self) -> None:
        self._held: dict[str, np.ndarray] = {}

    def array(self, name: str, kind: type[np.generic], *shape: int) -> np.ndarray:
        """Returns an array of that name, with whatever is in it."""
        size = math.prod(shape)
        if name not in self._held or len(self._held[name]) < size:
            self._held[name] = np.empty(size, kind)
        return self._held[name][:size].reshape(shape)


def _min_hash(plain: np.ndarray, room: _Room, signatures: np.ndarray, bands: np.ndarray, is_empty: np.ndarray) -> None:
    """Writes the sketches of some texts, from `_letters`."""
    count = len(signatures)
    values = room.array("values", np.uint32, count, BINS)
    values.fill(_EMPTY)
    hashes, cells = _shingles(plain, room)
    np.minimum.at(values.reshape(-1), cells, hashes)
    _fill_up(values, is_empty)
    signatures[:] = values.view(np.uint8)[:, ::4]
    halves = values.view(np.uint64).reshape(count, BANDS, BINS // BANDS // 2)
    keys = halves[:, :, 0] * _LEFT + halves[:, :, 1] * _RIGHT
    keys ^= keys >> np.uint64(31)
    keys *= _LAST
    bands[:] = keys >> np.uint64(32)


def _letters(columns: Sequence[pa.Array]) -> np.ndarray:
    """Returns the words of texts in lower case, a blank between them, the mark of an end behind each text: uint8."""
    texts = [_lower(column).cast(pa.binary()) for column in columns]
    one = pc.binary_join_element_wise(*texts, pa.scalar(_BETWEEN, pa.binary())) if len(texts) > 1 else texts[0]
    offsets = pa.array(np.array([0, len(one)], np.int32))
    joined = pc.binary_join(pa.ListArray.from_arrays(offsets, one), pa.scalar(_END, pa.binary()))[0].as_py()
    plain = joined.translate(_LOWER, _NO_WORDS) + _END
    letters = np.frombuffer(plain, np.uint8)
    blank, edge = letters == _BLANKS[-1], letters == _END[0]
    odd = blank.copy()  # those at the edge of a text, and all but the last one between words
    edge |= blank
    odd[:-1] &= edge[1:]
    odd[1:] |= blank[1:] & (letters[:-1] == _END[0])
    odd[:1] |= blank[:1]
    words: np.ndarray = letters[~odd] if odd.any() else letters
    return words


def _lower(texts: pa.StringArray) -> pa.StringArray:
    """Makes letters beyond ASCII small; the others are as they come by."""
    begin, end = np.frombuffer(texts.buffers()[1], np.int32)[[texts.offset, texts.offset + len(texts)]]
    data = np.frombuffer(texts.buffers()[2] or b"", np.uint8)[begin:end]
    return pc.utf8_lower(texts) if data.max(initial=0) > 127 else texts


def _shingles(plain: np.ndarray, room: _Room) -> tuple[np.ndarray, np.ndarray]:
    """Returns a hash of each run of bytes in a text, uint32, and its cell, by text and bin: int64."""
    count = max(0, len(plain) - _RUN + 1)
    letters, sums, runs = (room.array(name, np.uint32, len(plain)) for name in ("letters", "sums", "runs"))
    letters[:] = plain
    np.multiply(letters[:-1], _PAIR, out=sums[:-1])
    sums[:-1] += letters[1:]
    np.multiply(sums[:count], _FOUR, out=runs[:count])
    runs[:count] += sums[2 : 2 + count]
    runs[:count] *= _FIVE
    runs = runs[:count]
    runs += letters[_RUN - 1 :]
    np.right_shift(runs, np.uint32(15), out=sums[:count])
    runs ^= sums[:count]
    runs *= _MIXED
    is_end = np.equal(plain, _END[0], out=room.array("is_end", np.bool_, len(plain)))
    cells = np.cumsum(is_end[:count], dtype=np.int64, out=room.array("cells", np.int64, count))
    cells <<= np.int64(BINS.bit_length() - 1)
    np.right_shift(runs, np.uint32(26), out=sums[:count])
    cells += sums[:count]
    if count:
        across = np.flatnonzero(is_end)[:, None] - np.arange(_RUN)
        runs[np.clip(across, 0, count - 1)] = _EMPTY
    return runs, cells


def _fill_up(values: np.ndarray, is_empty: np.ndarray) -> None:
    """Gives each empty bin the value of the next one that is not, told apart by how far it is away.

    Args:
        values: uint32 [texts, bins]; it is changed.
        is_empty: bool [texts]; becomes whether all bins of a text are.
    """
    cells = values.reshape(-1)
    empty = np.flatnonzero(cells == _EMPTY)
    step = 1
    while step < BINS and len(empty):
        behind = cells[(empty & -BINS) | ((empty + step) & (BINS - 1))]
        found = behind != _EMPTY
        cells[empty[found]] = behind[found] + np.uint32(step * int(_MIXED) % 2**32)
        empty = empty[~found]
        step *= 2
    is_empty[:] = False
    is_empty[empty // BINS] = True


def _drawn(places: np.ndarray, width: int) -> np.ndarray:
    """Returns numbers of their own for inputs that are like no other: uint8 [inputs, width]."""
    values = places.astype(np.uint64)[:, None] * _LEFT + np.arange(width // 8, dtype=np.uint64) * _RIGHT
    values = (values ^ (values >> np.uint64(27))) * _LAST
    drawn: np.ndarray = (values ^ (values >> np.uint64(31))).view(np.uint8)
    return drawn


def _of_pictures(columns: Sequence[pa.Array]) -> Iterator[Sketch]:
    """Yields thumbnails of the first input column, 768 bytes each, and bands of their gradients."""
    with ThreadPoolExecutor(cores()) as pool:
        for start in range(0, len(columns[0]), 256):
            files = (value.as_buffer() for value in columns[0].slice(start, 256))
            thumbnails = np.stack(list(pool.map(_thumbnail, files)))
            count = len(thumbnails)
            yield Sketch(thumbnails.reshape(count, -1), _gradients(thumbnails), np.zeros(count, bool))


def _thumbnail(file: pa.Buffer) -> np.ndarray:
    from PIL import Image

    with contextlib.suppress(Exception), Image.open(io.BytesIO(file)) as image:  # it was decoded once, and is whole
        image.draft("RGB", (4 * _SIDE, 4 * _SIDE))  # JPEG: only as many pixels as are needed
        small = image.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.BOX)
        return np.asarray(small, np.uint8)
    return np.zeros((_SIDE, _SIDE, 3), np.uint8)


def _gradients(thumbnails: np.ndarray) -> np.ndarray:
    """Returns 112 bits of each picture, does it get lighter to the right and downwards, in 4 bands: uint32."""
    grey = thumbnails.astype(np.int32).mean(3).reshape(-1, _SIDE // 2, 2, _SIDE // 2, 2).mean((2, 4))
    steps = [np.diff(grey, axis=2).reshape(len(grey), -1), np.diff(grey, axis=1).reshape(len(grey), -1)]
    bits = (np.concatenate(steps, 1) > _FLAT).reshape(len(grey), _PICTURE_BANDS, -1)
    bands: np.ndarray = bits.astype(np.uint32) @ (np.uint32(1) << np.arange(bits.shape[2], dtype=np.uint32))
    return bands


def united(count: int, edges: Iterator[np.ndarray]) -> np.ndarray:
    """Returns the number of the cluster of each node, int32 [nodes], the smallest node of it: nodes joined by edges."""
    parents = np.arange(count, dtype=np.int32)
    for pairs in edges:
        _unite(parents, pairs)
    while (parents != (further := parents[parents])).any():
        parents = further
    return parents


def _unite(parents: np.ndarray, pairs: np.ndarray) -> None:
    """Joins the clusters of pairs: the larger root hangs on the smaller one, until none is left to be joined."""
    while len(pairs):
        roots = parents[pairs]
        while (roots != (further := parents[roots])).any():
            roots = further
        parents[pairs] = roots
        pairs = roots[roots[:, 0] != roots[:, 1]]
        larger = pairs.max(1)
        np.minimum.at(parents, larger, pairs.min(1))
        while (parents[larger] != (further := parents[parents[larger]])).any():
            parents[larger] = further
