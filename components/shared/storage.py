"""Local paths and `s3://` behind the same few verbs: list, read many, read one as a stream, copy a file or a folder.

Credentials and endpoint come from the environment (`AWS_*`, `AWS_ENDPOINT_URL_S3`), as boto3 reads them.
"""

import contextlib
import fnmatch
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.shared import network
from components.shared.ahead import map_ahead
from components.shared.errors import GraftError, InputError, ServiceError
from components.shared.patience import Result, patiently
from components.shared.redaction import in_short

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from mypy_boto3_s3.client import S3Client

_CREDENTIALS = {
    "403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken",
    "ExpiredTokenException", "AllAccessDisabled", "AccountProblem", "RequestTimeTooSkewed",
}  # fmt: skip


_SHOWN = ("_annotations.coco.json", "_classes.csv")  # labels, as Roboflow exports them
_THREADS = 16  # for reading: it waits more than it works
_BLOCK = 16 << 20  # bytes of a stream that are fetched at once
_ATTEMPTS = 5  # at a body that breaks off, which botocore's own retries leave out


@dataclass(frozen=True, slots=True)
class File:
    """A file in a store.

    Attributes:
        uri: Its address.
        name: Its path below what was listed (`/` between parts).
        size: In bytes.
        stamp: While it is the same, so is the content: an object's ETag; of a local file when it was last written and
            changed. Empty: nobody knows.
    """

    uri: str
    name: str
    size: int
    stamp: str = ""


def is_s3(uri: str) -> bool:
    """Tells whether an address is an object or prefix in S3."""
    return uri.startswith("s3://")


def list_files(uri: str) -> list[File]:
    """Lists a file, or all files below a folder or prefix, sorted by name; hidden ones (`.x`, `_x`) are left out.

    Raises:
        InputError: There is no such path, bucket or object, or these credentials may not read it.
        ServiceError: The store did not answer.
    """
    files = _list_s3(uri) if is_s3(uri) else _list_local(uri)
    return sorted((file for file in files if not is_hidden(file.name)), key=lambda file: file.name)


def printable(name: str) -> str:
    """Returns a file's name with bytes that are no UTF-8 written out: it can be printed, and stored."""
    return name.encode("utf-8", "backslashreplace").decode()


def is_hidden(name: str) -> bool:
    """Tells whether a file, or a folder on its way, is hidden (`.x`, `_x`, Excel's locks `~$x`): no data."""
    return any(part.startswith((".", "_", "~$")) and part not in _SHOWN for part in name.split("/"))


def read_all(files: Sequence[File]) -> Iterator[bytes]:
    """Yields the content of each file, in order; the next ones are read ahead, so that many small ones go fast.

    Raises:
        InputError: A file is not there (any more), or may not be read.
        ServiceError: The store did not answer.
    """
    client = _client() if any(is_s3(file.uri) for file in files) else None

    def read(file: File) -> bytes:
        if client is not None:
            return _get(client, *_split(file.uri))
        with _readable(file.uri):
            return Path(file.uri).read_bytes()

    return map_ahead(read, files, _THREADS, lambda file: file.size)


@contextlib.contextmanager
def open_stream(file: File) -> Iterator[io.BufferedReader]:
    """Opens a file to be read once from beginning to end; one in S3 is fetched in blocks, ahead, and never stored.

    Raises:
        InputError: The file is not there (any more), or may not be read.
        ServiceError: The store did not answer.
    """
    if is_s3(file.uri):
        with contextlib.closing(_blocks(file)) as blocks:
            yield io.BufferedReader(_Stream(blocks), _BLOCK)
    else:
        with _readable(file.uri), Path(file.uri).open("rb") as stream:
            yield stream


@contextlib.contextmanager
def local_copy(uri: str) -> Iterator[Path]:
    """Gives a local path to a file: itself, or a download that is gone after the block."""
    if not is_s3(uri):
        yield Path(uri)
        return
    with tempfile.TemporaryDirectory(prefix="graft-") as folder:
        bucket, key = _split(uri)
        path = Path(folder) / (key.rsplit("/", 1)[-1] or "object")
        _download(bucket, key, path)
        yield path


def download_folder(uri: str, folder: Path, patterns: Sequence[str]) -> None:
    """Copies the objects below an S3 prefix whose names fit a pattern into a local folder, under the same names."""
    files = list_files(uri)
    if not files:
        raise InputError(f"{uri} holds no object. Give the prefix that holds the files.")
    for file in files:
        if not any(fnmatch.fnmatch(file.name, pattern) for pattern in patterns):
            continue
        path = folder / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        _download(*_split(file.uri), path)


def read_if_there(uri: str) -> bytes | None:
    """Returns the content of a small file; None where there is none.

    Raises:
        InputError: There is no such bucket, or it may not be read.
        ServiceError: The store did not answer.
    """
    if is_s3(uri):
        return next((_get(_client(), *_split(file.uri)) for file in _list_s3(uri) if file.uri == uri), None)
    with _readable(uri):
        return Path(uri).read_bytes() if Path(uri).is_file() else None


def write_whole(uri: str, content: bytes) -> None:
    """Writes a small file: whoever reads it finds the old one or the new one, whole.

    Raises:
        InputError: There is no such bucket, or these credentials may not write there.
        ServiceError: The store did not answer.
        OSError: The disk took it not.
    """
    if is_s3(uri):
        bucket, key = _split(uri)
        with _explained(uri):
            _client().put_object(Bucket=bucket, Key=key, Body=content)
        return
    path = Path(uri)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
        file.write(content)
    written = Path(file.name)
    written.chmod(0o644)  # others may read it, as they may any file of a run
    written.replace(path)


def bring(uri: str, path: Path) -> None:
    """Brings a file here: from S3, or as a hard link (a copy where the disk is another): a second name, no more space.

    Raises:
        InputError: There is no such file, or it may not be read.
        ServiceError: The store did not answer.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if is_s3(uri):
        _download(*_split(uri), path)
        return
    with _readable(uri):
        try:
            os.link(uri, path)
        except FileNotFoundError:
            raise
        except OSError:
            shutil.copyfile(uri, path)


def _list_local(uri: str) -> Iterator[File]:
    path = Path(uri).expanduser()
    if path.is_file():
        yield _local_file(path, path.name)
    elif path.is_dir():
        for file in _walk(path):
            if file.is_file():
                yield _local_file(file, file.relative_to(path).as_posix())
    else:
        raise InputError(f"There is no file or folder {uri!r} (looked from {Path.cwd()}). Check the path.")


def _walk(folder: Path) -> Iterator[Path]:
    """Yields the files below a folder; links to folders are followed, as of classes, but in no circle."""
    for name, folders, files in os.walk(folder, followlinks=True):
        place = Path(name)
        if place != folder and place.is_symlink() and place.parent.resolve().is_relative_to(place.resolve()):
            folders.clear()
        else:
            yield from (place / file for file in files)


def _local_file(path: Path, name: str) -> File:
    """The time of the last change, which nobody can set, betrays a file whose other time was set back."""
    told = path.stat()
    return File(str(path), name, told.st_size, f"{told.st_mtime_ns}-{told.st_ctime_ns}")


def _list_s3(uri: str) -> Iterator[File]:
    bucket, key = _split(uri)
    prefix = key if not key or key.endswith("/") else key + "/"

    def listed() -> list[Any]:
        with _explained(uri):
            pages = _client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key)
            return [item for page in pages for item in page.get("Contents", [])]

    for item in _patiently(listed):
        if item["Key"] == key:
            yield File(uri, key.rsplit("/", 1)[-1], item["Size"], item.get("ETag", ""))
        elif item["Key"].startswith(prefix) and not item["Key"].endswith("/"):
            name = item["Key"][len(prefix) :]
            yield File(f"s3://{bucket}/{item['Key']}", name, item["Size"], item.get("ETag", ""))


def _download(bucket: str, key: str, path: Path) -> None:
    from boto3.s3.transfer import TransferConfig

    parts = TransferConfig(multipart_chunksize=32 << 20, multipart_threshold=32 << 20, max_concurrency=16)

    def download() -> None:
        with _explained(f"s3://{bucket}/{key}"):
            _client().download_file(bucket, key, str(path), Config=parts)

    _patiently(download)


class _Stream(io.RawIOBase):
    """Blocks of bytes as one stream."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks, self._block = blocks, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        target = memoryview(buffer).cast("B")
        if not self._block:
            self._block = memoryview(next(self._blocks, b""))
        count = min(len(target), len(self._block))
        target[:count] = self._block[:count]
        self._block = self._block[count:]
        return count


def _blocks(file: File) -> Generator[bytes, None, None]:
    """Fetches an object in ranges, several at a time."""
    client, (bucket, key) = _client(), _split(file.uri)

    def fetch(start: int) -> bytes:
        return _get(client, bucket, key, Range=f"bytes={start}-{min(start + _BLOCK, file.size) - 1}")

    return map_ahead(fetch, range(0, file.size, _BLOCK), _THREADS, lambda _: _BLOCK)


def _get(client: "S3Client", bucket: str, key: str, **options: Any) -> bytes:
    """Returns the bytes of an object, or of a `Range`; a body that breaks off is asked for again."""
    from botocore.exceptions import IncompleteReadError, ReadTimeoutError, ResponseStreamingError

    def get() -> bytes:
        with _explained(f"s3://{bucket}/{key}"):
            for _ in range(_ATTEMPTS - 1):
                with contextlib.suppress(IncompleteReadError, ReadTimeoutError, ResponseStreamingError):
                    return client.get_object(Bucket=bucket, Key=key, **options)["Body"].read()
            return client.get_object(Bucket=bucket, Key=key, **options)["Body"].read()

    return _patiently(get)


def _patiently(call: Callable[[], Result]) -> Result:
    """Tries a call on while the store is away, where there is patience; what is wrong stays wrong."""
    return patiently(call, "the object store", lambda error: isinstance(error, ServiceError))


@contextlib.contextmanager
def _readable(path: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, PermissionError) as error:
        raise InputError(f"{path} cannot be read ({error.strerror}). Check its rights.") from error


def _client() -> "S3Client":
    import boto3
    from botocore.config import Config

    # Default checksum trailers break some compatible stores; what we store has its sha256 in a manifest.
    config = Config(
        retries={"mode": "standard", "max_attempts": 5},
        max_pool_connections=_THREADS,
        connect_timeout=10,
        read_timeout=60,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return boto3.client("s3", config=config)


@contextlib.contextmanager
def _explained(uri: str) -> Iterator[None]:
    """Turns botocore's errors into ours: a credential that is refused is never told as "not found"."""
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

    try:
        yield
    except ClientError as error:
        raise _explain(uri, error.response) from error
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise InputError(
            f"No credentials for {uri}: {error}. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
            "(or AWS_PROFILE), or run where a role gives them."
        ) from error
    except BotoCoreError as error:
        raise ServiceError(
            f"The object store did not answer for {uri}: {network.reason(error) or in_short(str(error))}. Check "
            "AWS_ENDPOINT_URL_S3 and the network."
        ) from error


def _explain(uri: str, response: Any) -> GraftError:
    code = str(response.get("Error", {}).get("Code", ""))
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if code == "NoSuchBucket":
        return InputError(f"The bucket of {uri} does not exist (as this endpoint sees it). Check the bucket's name.")
    if code in _CREDENTIALS or status in (401, 403):
        return InputError(
            f"These credentials may not read {uri} ({code}). They are wrong or expired, or lack s3:ListBucket and "
            "s3:GetObject. Whether the data exists cannot be told."
        )
    if code in ("404", "NoSuchKey"):
        return InputError(f"{uri} does not exist. Check the address.")
    return ServiceError(f"The object store failed on {uri}: {code} (HTTP {status}). Try again later.")


def _split(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not bucket:
        raise InputError(f"{uri!r} names no bucket; an address such as s3://bucket/prefix was expected.")
    return bucket, key
