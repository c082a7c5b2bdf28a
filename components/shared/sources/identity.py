"""What an example is known by: a hash of its inputs and nothing else."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

ID = pa.binary(16)
"""What identities are among columns: the bytes of the hash."""

_IDENTITY = hashlib.blake2b(digest_size=16)


def identity(inputs: Sequence[str | bytes]) -> str:
    """Returns the identity of an example, 32 hex digits: blake2b over its inputs and nothing else."""
    digest = _IDENTITY.copy()  # faster than to begin anew
    for value in inputs:
        encoded = value.encode() if isinstance(value, str) else value
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return digest.hexdigest()


def identities(columns: Sequence[pa.Array]) -> pa.Array:
    """Returns the identities of many examples, as `identity` does of each, as `ID`.

    Args:
        columns: Of each input the values, texts or files, none of them null.
    """
    parts = []
    for column in columns:
        values = column.cast(pa.binary())
        lengths = pc.binary_length(values).to_numpy().astype("<u8")
        parts += [pa.Array.from_buffers(pa.binary(8), len(values), [None, pa.py_buffer(lengths)]).cast(pa.binary())]
        parts += [values]
    told = pc.binary_join_element_wise(*parts, pa.scalar(b"", pa.binary())).to_numpy(zero_copy_only=False)
    begin, digests = _IDENTITY.copy, []
    for one in told.tolist():
        digest = begin()
        digest.update(one)
        digests.append(digest.digest())
    return pa.Array.from_buffers(ID, len(told), [None, pa.py_buffer(b"".join(digests))])


def hex_of(ids: pa.Array) -> pa.Array:
    """Returns identities as 32 hex digits each, as text."""
    digits = _HEX[np.frombuffer(_bytes_of(ids), np.uint8)]
    ends = pa.py_buffer(np.arange(0, 32 * len(ids) + 1, 32, dtype=np.int32))
    return pa.Array.from_buffers(pa.string(), len(ids), [None, ends, pa.py_buffer(digits)])


def halves_of(ids: pa.Array) -> np.ndarray:
    """Returns identities as numbers, in the same order: uint64 [examples, 2]."""
    halves: np.ndarray = np.frombuffer(_bytes_of(ids), ">u8").astype(np.uint64).reshape(-1, 2)
    return halves


_HEX = np.array([int.from_bytes(f"{byte:02x}".encode(), "little") for byte in range(256)], "<u2")


def _bytes_of(ids: pa.Array) -> Any:
    data = ids.buffers()[1]
    return data[16 * ids.offset : 16 * (ids.offset + len(ids))] if data else b""
