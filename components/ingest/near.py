"""Near-duplicates: inputs that say the same in nearly the same words, or show the same picture in another size.

Texts: MinHash over runs of 5 bytes of the lower-case text without punctuation (Broder 1997), by one permutation whose
empty bins borrow from their neighbours (Li, Owen and Zhang 2012; Shrivastava and Li 2014). Images: gradients of a
thumbnail (a difference hash) find candidates, the thumbnails themselves decide. Both: bands of the signature lie on
disk, and who shares one is compared (locality-sensitive hashing); one band at a time is in memory.
"""

import contextlib
import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

BINS, BANDS = 64, 16
_RUN = 5  # bytes of a shingle
_CHUNK = 64 << 10  # bytes of text at once: what is made of them stays in a core's cache
_SIDE = 16  # pixels of a thumbnail
_PICTURE_BANDS = 4
_FLAT = 8  # gradients below this are noise of the compression
_CLOSE = 3.0  # mean difference of two thumbnails of one picture, of 255
_AT_ONCE = 1 << 16  # pairs compared at once

_WORDS = np.arange(256, dtype=np.uint8)
_WORDS[[byte for byte in range(128) if not chr(byte).isalnum()]] = 32


class NearDuplicates:
    """Collects inputs and finds which of them are nearly the same.

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
        self._count = 0

    def add(self, columns: Sequence[pa.Array]) -> None:
        """Adds inputs, an array for each input column."""
        parts = zip(*(_of_pictures if self._pictures else _of_texts)(columns), strict=True)
        signatures, bands = (np.concatenate(part) for part in parts)
        if not self._pictures:
            empty = ~bands.any(1)  # too short to be compared: like no other
            bands[empty] = _mix(np.uint64(self._count) + np.flatnonzero(empty).astype(np.uint64))[:, None]
        self._append("signatures", signatures)
        for number in range(self._bands):
            self._append(f"band-{number}", bands[:, number])
        self._count += len(signatures)

    def pairs(self, labels: np.ndarray) -> Iterator[np.ndarray]:
        """Yields pairs of inputs of one class that are nearly the same, int [pairs, 2]; some come several times.

        Args:
            labels: int [inputs], their classes, in the order in which they were added.
        """
        if self._count < 2:
            return
        shape = (self._count, self._width)
        signatures = np.memmap(self._folder / "signatures", np.uint8, "r", shape=shape)
        for number in range(self._bands):
            keys = np.fromfile(self._folder / f"band-{number}", np.uint64)
            for pairs in _candidates(keys, labels):
                yield pairs[self._alike(signatures, pairs)]

    def _alike(self, signatures: np.ndarray, pairs: np.ndarray) -> np.ndarray:
        left, right = signatures[pairs[:, 0]], signatures[pairs[:, 1]]
        if self._pictures:
            close: np.ndarray = np.abs(left.astype(np.int16) - right).mean(1) <= _CLOSE
            return close
        same: np.ndarray = (left == right).mean(1) >= self._similarity
        return same

    def _append(self, name: str, values: np.ndarray) -> None:
        with (self._folder / name).open("ab") as file:
            np.ascontiguousarray(values).tofile(file)


def _candidates(keys: np.ndarray, labels: np.ndarray) -> Iterator[np.ndarray]:
    """Yields pairs of one class with the same key: each with the next one, and with the first one."""
    halves = (keys >> np.uint64(32)).astype(np.uint32)
    ranked = np.sort(halves)
    shared = np.unique(ranked[1:][ranked[1:] == ranked[:-1]])
    if not len(shared):
        return
    places = np.searchsorted(shared, halves)
    several = np.flatnonzero(shared[np.minimum(places, len(shared) - 1)] == halves)  # mostly few
    order = several[np.lexsort((labels[several], keys[several]))]
    same = (keys[order][1:] == keys[order][:-1]) & (labels[order][1:] == labels[order][:-1])
    where = np.flatnonzero(same)
    begins = np.concatenate([[0], np.flatnonzero(~same) + 1])
    first = begins[np.searchsorted(begins, where, "right") - 1]
    for start in range(0, len(where), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        later = order[where[part] + 1]
        yield np.stack([order[where[part]], later], 1)
        further = first[part] != where[part]
        yield np.stack([order[first[part]], later], 1)[further]


def _of_texts(columns: Sequence[pa.Array]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields signatures, uint8 [texts, bins], and bands, uint64 [texts, bands], some texts at a time.

    Bands of a text that is too short for a shingle are 0.
    """
    separator = pa.scalar(" \x1f ", columns[0].type)
    joined = pc.binary_join_element_wise(*columns, separator) if len(columns) > 1 else columns[0]
    texts = pc.utf8_lower(joined).cast(pa.large_binary())
    lengths = pc.binary_length(texts).to_numpy(zero_copy_only=False)
    ends = np.cumsum(lengths)
    start = 0
    while start < len(texts):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _CHUNK)))
        yield _min_hash(texts.slice(start, stop - start))
        start = stop


def _min_hash(texts: pa.LargeBinaryArray) -> tuple[np.ndarray, np.ndarray]:
    owners, shingles = _shingles(texts)
    mixed = _mix(shingles)
    values = np.full(len(texts) * BINS, np.iinfo(np.uint32).max, np.uint32)
    filled = np.zeros(len(values), bool)
    cells = owners * BINS + (mixed >> np.uint64(58)).astype(np.int64)
    np.minimum.at(values, cells, (mixed >> np.uint64(20)).astype(np.uint32))
    filled[cells] = True
    dense = _filled_up(values.reshape(-1, BINS), filled.reshape(-1, BINS))
    rows = BINS // BANDS
    bands = np.zeros((len(texts), BANDS), np.uint64)
    for number in range(rows):
        bands = _mix(bands ^ dense[:, number::rows].astype(np.uint64))
    bands[~filled.reshape(-1, BINS).any(1)] = 0
    return dense.astype(np.uint8), bands


def _shingles(texts: pa.LargeBinaryArray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the owner, int64, and the content, uint64, of each run of bytes of normalised texts."""
    offsets = np.frombuffer(texts.buffers()[1], np.int64)[texts.offset : texts.offset + len(texts) + 1]
    data = texts.buffers()[2]
    raw = np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]] if data else np.zeros(0, np.uint8)
    plain, owners = _WORDS[raw], np.repeat(np.arange(len(texts)), np.diff(offsets))
    first = np.ones(len(plain), bool)
    first[1:] = owners[1:] != owners[:-1]
    kept = plain != 32
    kept[1:] |= (plain[1:] == 32) & (plain[:-1] != 32) & ~first[1:]  # one blank between words, none in front
    plain, owners = plain[kept].astype(np.uint64), owners[kept]
    count = max(0, len(plain) - _RUN + 1)
    runs = np.zeros(count, np.uint64)
    for place in range(_RUN):
        runs |= plain[place : place + count] << np.uint64(8 * place)
    whole = owners[:count] == owners[_RUN - 1 :][:count]
    return owners[:count][whole], runs[whole]


def _mix(values: np.ndarray) -> np.ndarray:
    """Returns hashes of 64-bit numbers: the finalizer of SplitMix64."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9) + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = values ^ (values >> np.uint64(31))
    return mixed


def _filled_up(values: np.ndarray, filled: np.ndarray) -> np.ndarray:
    """Gives each empty bin the value of the next one that is not, told apart by how far it is away."""
    own, none = np.arange(BINS, dtype=np.int16), np.int16(2 * BINS - 1)
    nearest = np.minimum.accumulate(np.where(filled, own, none)[:, ::-1], 1)[:, ::-1]
    first = np.where(filled.any(1), filled.argmax(1) + BINS, none).astype(np.int16)
    nearest = np.where(nearest == none, first[:, None], nearest)  # behind the last one comes the first
    borrowed = values.take(nearest % BINS + np.arange(0, values.size, BINS)[:, None])
    away = (nearest - own).astype(np.uint32)
    dense: np.ndarray = borrowed + away * np.uint32(0x9E3779B1)
    return dense


def _of_pictures(columns: Sequence[pa.Array]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields thumbnails of the first input column, uint8 [pictures, 768], and bands of their gradients."""
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(columns[0]), 256):
            files = (value.as_buffer() for value in columns[0].slice(start, 256))
            thumbnails = np.stack(list(pool.map(_thumbnail, files)))
            yield thumbnails.reshape(len(thumbnails), -1), _gradients(thumbnails)


def _thumbnail(file: pa.Buffer) -> np.ndarray:
    from PIL import Image

    with contextlib.suppress(Exception), Image.open(io.BytesIO(file)) as image:  # it was decoded once, and is whole
        image.draft("RGB", (4 * _SIDE, 4 * _SIDE))  # JPEG: only as many pixels as are needed
        small = image.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.BOX)
        return np.asarray(small, np.uint8)
    return np.zeros((_SIDE, _SIDE, 3), np.uint8)


def _gradients(thumbnails: np.ndarray) -> np.ndarray:
    """Returns 112 bits of each picture, does it get lighter to the right and downwards, in 4 bands: uint64."""
    grey = thumbnails.astype(np.int32).mean(3).reshape(-1, _SIDE // 2, 2, _SIDE // 2, 2).mean((2, 4))
    steps = [np.diff(grey, axis=2).reshape(len(grey), -1), np.diff(grey, axis=1).reshape(len(grey), -1)]
    bits = (np.concatenate(steps, 1) > _FLAT).reshape(len(grey), _PICTURE_BANDS, -1)
    bands: np.ndarray = bits.astype(np.uint64) @ (np.uint64(1) << np.arange(bits.shape[2], dtype=np.uint64))
    return bands


def united(count: int, edges: Iterator[np.ndarray]) -> np.ndarray:
    """Returns the number of the cluster of each node, int [nodes], the smallest node of it: nodes joined by edges."""
    parents = np.arange(count)

    def root(node: int) -> int:
        while parents[node] != node:
            parents[node] = node = parents[parents[node]]
        return int(node)

    for pairs in edges:
        for left, right in np.unique(pairs, axis=0):
            one, other = root(int(left)), root(int(right))
            parents[max(one, other)] = min(one, other)
    while (parents != (further := parents[parents])).any():
        parents = further
    return parents
