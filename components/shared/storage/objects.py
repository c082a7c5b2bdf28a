"""Objects of an object store brought here, and files brought there: many at a time, large ones in parts.

Memory stays bounded: a download streams to the disk, an upload holds a part for each of eight connections.
"""

import base64
import contextlib
import functools
import hashlib
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.shared.artifacts.durable import sync
from components.shared.errors import InputError
from components.shared.storage import s3
from components.shared.storage.prefetch import map_ahead

PART = 16 << 20
"""Bytes of a large object that one request carries: in-cluster stores are fast with 16 to 64 MiB."""

_PIECE = 1 << 18  # bytes that a thread holds of a download: those that stay in the CPU's cache cost a sixth less
_UPLOADS = 8  # at a time
_MOST_PARTS = 10_000  # of an upload, as S3 has it
_MD5 = re.compile(r'"?([0-9a-f]{32})"?')


@dataclass(frozen=True)
class _Range:
    """A part of an object, and the file that it is written to."""

    uri: str
    etag: str
    start: int
    end: int
    size: int
    partial: Path
    path: Path


def download(wanted: Iterable[tuple[str, Path]], verified: bool = False) -> None:
    """Brings objects here; a file has its name once all of it is there, and is on the disk.

    An object that is replaced meanwhile is noticed. One of a single part is compared with its ETag, where that is its
    MD5; what is larger must be verified by whoever knows its digest.

    Args:
        wanted: Address and path of each.
        verified: Whether who asks compares what comes with a digest that was kept elsewhere: then its MD5, which takes
            most of a download's work, is left out.

    Raises:
        InputError: There is no such object, it may not be read, or it was replaced meanwhile.
        ServiceError: The store did not answer, or what came was damaged.
    """
    pairs = list(wanted)
    sized = map_ahead(_head, pairs, s3.THREADS, lambda _: 0)
    ranges = itertools.chain.from_iterable(sized)
    try:
        for part in map_ahead(functools.partial(_fetch, verified), ranges, s3.THREADS, lambda _: _PIECE):
            if part.end == part.size:  # they come in order: the last one ends the file
                part.partial.replace(part.path)
        sync({path.parent for _, path in pairs})
    finally:
        for _, path in pairs:
            _partial(path).unlink(missing_ok=True)


def _head(pair: tuple[str, Path]) -> list[_Range]:
    """Returns the parts of an object, whose file is made."""
    uri, path = pair
    bucket, key = s3.split(uri)
    told = s3.call(uri, lambda: s3.client().head_object(Bucket=bucket, Key=key))
    size, partial = told["ContentLength"], _partial(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with partial.open("wb") as file:
        file.truncate(size)
    starts = range(0, size, PART) if size else (0,)
    return [_Range(uri, told.get("ETag", ""), at, min(at + PART, size), size, partial, path) for at in starts]


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")


def _fetch(verified: bool, part: _Range) -> _Range:
    if part.size:
        is_compared = part.start == 0 and part.end == part.size and not verified
        seen: list[str] = []
        s3.call(part.uri, lambda: _stream(part, _MD5.fullmatch(part.etag) if is_compared else None, seen))
    sync([part.partial])  # here, that nobody waits for the disk one file after the other
    return part


def _stream(part: _Range, expected: re.Match[str] | None, seen: list[str]) -> None:
    bucket, key = s3.split(part.uri)
    matching: Any = {"IfMatch": part.etag} if part.etag else {}
    answer = s3.client().get_object(Bucket=bucket, Key=key, Range=f"bytes={part.start}-{part.end - 1}", **matching)
    at, digest = part.start, hashlib.md5(usedforsecurity=False)
    with part.partial.open("r+b") as file:
        file.seek(part.start)
        while piece := answer["Body"].read(_PIECE):
            if at + len(piece) > part.end:
                raise s3.DamagedError("more came than was asked for")
            at += file.write(piece)
            if expected is not None:
                digest.update(piece)
    if at != part.end:
        raise s3.DamagedError(f"{at - part.start:,} bytes came of {part.end - part.start:,}")
    check_md5(answer, expected, digest.hexdigest(), seen)


def check_md5(answer: Any, expected: "re.Match[str] | None", found: str, seen: list[str]) -> None:
    """Compares what came with its ETag; one that is no MD5 (encryption, another store) is known by two equal tries.

    Args:
        answer: Of the store.
        expected: The ETag's MD5; None: it tells none.
        found: The MD5 of what came.
        seen: Those of earlier tries; this one is added.

    Raises:
        DamagedError: It is another, and came but once.
    """
    encrypted = "kms" in str(answer.get("ServerSideEncryption", "")) or answer.get("SSECustomerAlgorithm")
    if expected is None or encrypted or expected[1] == found or found in seen:
        return
    seen.append(found)
    raise s3.DamagedError("its bytes are not those of its ETag")


def content(uri: str, etag: str = "", **options: Any) -> bytes:
    """Returns the bytes of an object, or of a `Range` of it, held in memory.

    Args:
        uri: Its address.
        etag: As it was listed: one that was replaced since is noticed.
        options: Of `get_object`.

    Raises:
        InputError: There is no such object, it may not be read, or it was replaced.
        ServiceError: The store did not answer, or what came was damaged.
    """
    bucket, key = s3.split(uri)
    matching: Any = {"IfMatch": etag} if etag else {}
    seen: list[str] = []

    def get() -> bytes:
        answer = s3.client().get_object(Bucket=bucket, Key=key, **matching, **options)
        data: bytes = answer["Body"].read()
        expected = None if "Range" in options else _MD5.fullmatch(answer.get("ETag", ""))
        check_md5(answer, expected, hashlib.md5(data, usedforsecurity=False).hexdigest(), seen)
        return data

    return s3.call(uri, get)


def upload(given: Sequence[tuple[Path, str]]) -> None:
    """Brings files to a store; each object is there whole, or not at all. What arrives damaged is sent again.

    Whoever uploads a folder that others may read while it grows uploads the file last by which they know it.

    Args:
        given: Path and address of each.

    Raises:
        InputError: There is no such bucket, or these credentials may not write there.
        ServiceError: The store did not answer, or did not take it.
    """
    with_parts = [(path, uri, path.stat().st_size) for path, uri in given]
    small = [(path, uri) for path, uri, size in with_parts if size <= PART]
    for _ in map_ahead(lambda pair: put(pair[1], pair[0].read_bytes()), small, _UPLOADS, lambda _: PART):
        pass
    for path, uri, size in with_parts:
        if size > PART:
            _upload_parts(path, uri, size)


def put(uri: str, data: bytes) -> None:
    """Writes a small object; whoever reads it finds the old one or the new one, whole. Errors as in `upload`."""
    bucket, key = s3.split(uri)
    seen: list[str] = []
    digest = hashlib.md5(data, usedforsecurity=False)
    s3.call(uri, lambda: _sent(s3.client().put_object(Bucket=bucket, Key=key, **_body(data, digest)), digest, seen))


def _body(data: bytes, digest: Any) -> dict[str, Any]:
    return {"Body": data, "ContentMD5": base64.b64encode(digest.digest()).decode()}  # the store compares, too


def _sent(answer: Any, digest: Any, seen: list[str]) -> str:
    """Returns the ETag of what was sent, whose MD5 is known."""
    etag = str(answer.get("ETag", ""))
    told = _MD5.fullmatch(etag)
    is_other = told is not None and told[1] != digest.hexdigest()
    if is_other and "kms" not in str(answer.get("ServerSideEncryption", "")) and etag not in seen:
        seen.append(etag)
        raise s3.DamagedError("what the store has is not what was sent")
    return etag


def _upload_parts(path: Path, uri: str, size: int) -> None:
    bucket, key = s3.split(uri)
    client = s3.client()
    length = max(PART, -(-size // _MOST_PARTS))
    made = s3.call(uri, lambda: client.create_multipart_upload(Bucket=bucket, Key=key))["UploadId"]

    def send(number: int) -> dict[str, Any]:
        with path.open("rb") as file:
            file.seek((number - 1) * length)
            data = file.read(length)
        seen: list[str] = []
        digest = hashlib.md5(data, usedforsecurity=False)
        options: Any = {"Bucket": bucket, "Key": key, "UploadId": made, "PartNumber": number}
        etag = s3.call(uri, lambda: _sent(client.upload_part(**options, **_body(data, digest)), digest, seen))
        return {"PartNumber": number, "ETag": etag}

    try:
        parts: Any = list(map_ahead(send, range(1, -(-size // length) + 1), _UPLOADS, lambda _: length))
        s3.call(uri, lambda: _complete(uri, made, parts, size))
    except BaseException:
        with contextlib.suppress(Exception):  # what stays, the bucket's rule for unfinished uploads removes
            client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=made)
        raise


def _complete(uri: str, made: str, parts: Any, size: int) -> None:
    """Makes an object of its parts; where an answer was lost it may be there already."""
    from botocore.exceptions import ClientError

    bucket, key = s3.split(uri)
    client = s3.client()
    try:
        client.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=made, MultipartUpload={"Parts": parts})
    except ClientError as error:
        is_gone = error.response.get("Error", {}).get("Code") == "NoSuchUpload"
        if not is_gone or client.head_object(Bucket=bucket, Key=key)["ContentLength"] != size:
            raise


def listed(uri: str) -> Iterator[Any]:
    """Yields what a bucket has below a key, page by page: a hundred pages for 100,000 objects.

    Raises:
        InputError: There is no such bucket, or these credentials may not list it.
        ServiceError: The store did not answer.
    """
    bucket, key = s3.split(uri)
    token = ""
    while True:
        options: Any = {"ContinuationToken": token} if token else {}
        page: Any = s3.call(uri, functools.partial(s3.client().list_objects_v2, Bucket=bucket, Prefix=key, **options))
        s3.check_listing(uri, page)
        yield from page.get("Contents", [])
        if not page.get("IsTruncated"):
            return
        following = str(page.get("NextContinuationToken", ""))
        if not following or following == token:
            raise InputError(f"The listing of {uri} goes in a circle: the store tells the same page again.")
        token = following


def delete(uris: Sequence[str]) -> None:
    """Removes objects; one that is not there is no fault. Errors as in `upload`."""
    for uri in uris:
        bucket, key = s3.split(uri)
        s3.call(uri, functools.partial(s3.client().delete_object, Bucket=bucket, Key=key))
