"""Cases 5, 6, 7 and 9: a store that is busy, breaks off, lies or refuses; artifacts that changed on their way."""

import json
import re
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from components.ingest.ingest import IngestSettings, ingest
from components.shared.artifacts import cache
from components.shared.artifacts.artifact import open_artifact, write_artifact
from components.shared.artifacts.copies import copy_artifact
from components.shared.errors import InputError, ServiceError
from components.shared.storage import objects, s3, storage
from tests.conftest import write_csv
from tests.faults.proxy import Faults, proxy
from tests.servers import file_server, http_server

BOUND = 60  # seconds in which a failure is told


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of 64 KiB, so that a megabyte is large."""
    monkeypatch.setattr(objects, "PART", 64 << 10)
    monkeypatch.setattr(objects, "_PIECE", 16 << 10)
    monkeypatch.setattr(storage, "_BLOCK", 64 << 10)


@pytest.fixture
def large_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The smallest parts that S3 makes an object of."""
    monkeypatch.setattr(objects, "PART", 5 << 20)


def content(number: int, size: int = 300_000) -> bytes:
    return (number.to_bytes(4, "little") * (size // 4 + 1))[:size]


def put_artifact(client: Any, folder: Path, files: int = 6) -> str:
    """Writes an artifact, here and into the bucket; returns its digest."""
    with write_artifact(folder, "snapshot", {}) as draft:
        for number in range(files):
            (folder / f"train-{number:05d}").write_bytes(content(number))
        (folder / "empty").touch()
    for file in folder.iterdir():
        client.put_object(Bucket="bucket", Key=f"a/{file.name}", Body=file.read_bytes())
    return draft.digest


def take(folder: Path, digest: str) -> None:
    """Copies the artifact out of the bucket, as the cache of steps does."""
    copy_artifact(
        lambda wanted: storage.bring_all(((f"s3://bucket/a/{name}", path) for name, path in wanted), verified=True),
        folder, "snapshot", digest,
    )  # fmt: skip


@pytest.mark.case(5, 6)
@pytest.mark.parametrize(
    ("kinds", "rate", "comes"),
    [
        (("503",), 0.3, True),
        (("500", "reset", "truncate"), 0.3, True),
        (("503", "reset"), 0.6, False),
        (("503", "reset", "truncate"), 0.9, False),
        (("503",), 1.0, False),
        (("flip",), 0.05, True),
        (("flip",), 0.5, False),
    ],
)
def test_an_artifact_comes_whole_or_not_at_all(
    flaky: Any, faults: Faults, tmp_path: Path, kinds: tuple[str, ...], rate: float, comes: bool
) -> None:
    digest = put_artifact(flaky, tmp_path / "made")
    faults.kinds, faults.rate = kinds, rate
    began, failure = time.monotonic(), None
    try:
        take(tmp_path / "taken", digest)
    except (ServiceError, InputError) as error:
        failure = error
    if failure is None:
        assert open_artifact(tmp_path / "taken", "snapshot").digest == digest
    else:
        assert not (tmp_path / "taken").exists()
    assert failure is None or not comes
    assert rate < 1 or failure
    assert time.monotonic() - began < BOUND
    assert faults.broken


@pytest.mark.case(5)
def test_with_patience_it_comes_however_often_the_store_fails(
    flaky: Any, faults: Faults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a cluster, whose deployment sets it."""
    monkeypatch.setenv("GRAFT_PATIENCE", "50")
    monkeypatch.setattr("components.shared.storage.patience._FIRST_PAUSE", 0.01)
    digest = put_artifact(flaky, tmp_path / "made")
    faults.kinds, faults.rate = ("503", "reset", "truncate"), 0.9
    take(tmp_path / "taken", digest)
    assert open_artifact(tmp_path / "taken", "snapshot").digest == digest


@pytest.mark.case(5)
@pytest.mark.parametrize("kind", ["hang", "503"])
def test_a_store_that_fails_for_good_is_told_within_a_bound(
    flaky: Any, faults: Faults, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = put_artifact(flaky, tmp_path / "made", files=2)
    monkeypatch.setattr(s3, "_SECONDS", 2.0)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(s3, "_READ_TIMEOUT", 1)
    s3._client.cache_clear()
    faults.kinds, faults.rate, faults.hang = (kind,), 1.0, 5.0
    began = time.monotonic()
    message = "did not answer in time" if kind == "hang" else r"SlowDown|HTTP 503"
    with pytest.raises(ServiceError, match=message):
        take(tmp_path / "taken", digest)
    assert time.monotonic() - began < 20
    s3._client.cache_clear()


@pytest.mark.case(5)
@pytest.mark.parametrize("kind", ["503", "reset"])
def test_a_source_is_read_through_a_store_that_is_busy(flaky: Any, faults: Faults, tmp_path: Path, kind: str) -> None:
    """Listing, and files as streams of blocks."""
    rows = [{"text": f"the {number} old pan {'ab'[number % 2]}", "label": "xy"[number % 2]} for number in range(6000)]
    for number in range(5):
        path = write_csv(tmp_path / f"{number}.csv", rows[number::5])
        flaky.upload_file(str(path), "bucket", f"data/{number}.csv")
    faults.kinds, faults.rate = (kind,), 0.4
    settings = IngestSettings("s3://bucket/data", ["text"], "label")
    report = ingest(tmp_path / "s", settings)
    faults.rate = 0
    assert report.digest == ingest(tmp_path / "t", settings).digest
    assert faults.broken


@pytest.mark.case(6)
@pytest.mark.usefixtures("large_parts")
@pytest.mark.parametrize("size", [10, 5 << 20, 12_000_000])
@pytest.mark.parametrize("kinds", [("flip-upload",), ("503", "reset"), ("truncate",)], ids="-".join)
def test_what_is_uploaded_is_there_whole(
    flaky: Any, faults: Faults, tmp_path: Path, kinds: tuple[str, ...], size: int
) -> None:
    """A bit that flips on its way to the store is noticed by it, or by the digest that it answers with."""
    (tmp_path / "file").write_bytes(content(size, size))
    faults.kinds, faults.rate, faults.on = kinds, 0.4, lambda method, _: method == "PUT"
    storage.send_all([(tmp_path / "file", "s3://bucket/up/file"), (tmp_path / "file", "s3://bucket/up/again")])
    for name in ("file", "again"):
        assert flaky.get_object(Bucket="bucket", Key=f"up/{name}")["Body"].read() == content(size, size)
    assert not flaky.list_multipart_uploads(Bucket="bucket").get("Uploads")


@pytest.mark.case(6)
@pytest.mark.usefixtures("large_parts")
def test_an_upload_whose_last_answer_is_lost_is_there(flaky: Any, faults: Faults, tmp_path: Path) -> None:
    """Asked again, the store knows of no such upload any more."""
    (tmp_path / "file").write_bytes(content(1, 12_000_000))
    faults.kinds, faults.rate = ("lost",), 1.0
    faults.on = lambda method, path: method == "POST" and "uploadId" in path and not faults.broken
    storage.send_all([(tmp_path / "file", "s3://bucket/up")])
    assert faults.broken == {"lost": 1}
    assert flaky.head_object(Bucket="bucket", Key="up")["ContentLength"] == 12_000_000


@pytest.mark.case(6)
@pytest.mark.usefixtures("large_parts")
def test_an_upload_that_fails_leaves_nothing(flaky: Any, faults: Faults, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content(1, 12_000_000))
    faults.kinds, faults.rate, faults.on = ("flip-upload",), 1.0, lambda method, path: "partNumber=3" in path
    with pytest.raises(ServiceError, match="was damaged each time"):
        storage.send_all([(tmp_path / "file", "s3://bucket/up")])
    assert flaky.list_objects_v2(Bucket="bucket")["KeyCount"] == 0
    assert not flaky.list_multipart_uploads(Bucket="bucket").get("Uploads")


@pytest.mark.case(6)
def test_a_store_whose_etags_are_no_digests_is_read(flaky: Any, faults: Faults, tmp_path: Path) -> None:
    """Where objects are encrypted: the same bytes come twice, so it is they that the store holds."""
    flaky.put_object(Bucket="bucket", Key="x", Body=b"12345")

    real = s3.client()
    (file,) = storage.list_files("s3://bucket/x")
    odd = storage.File(file.uri, file.name, file.size)
    seen: list[str] = []
    answer = real.get_object(Bucket="bucket", Key="x")
    expected = re.fullmatch(r"([0-9a-f]{32})", 32 * "0")
    with pytest.raises(s3.DamagedError):
        objects.check_md5(answer, expected, "f" * 32, seen)
    objects.check_md5(answer, expected, "f" * 32, seen)
    assert list(storage.read_all([odd])) == [b"12345"]
    assert faults.calls


@pytest.mark.case(7)
def test_a_refusal_is_told_at_once_and_is_no_empty_place(flaky: Any, faults: Faults, tmp_path: Path) -> None:
    digest = put_artifact(flaky, tmp_path / "made", files=2)
    faults.kinds, faults.rate = ("403",), 1.0
    for read in (
        lambda: take(tmp_path / "taken", digest),
        lambda: storage.list_files("s3://bucket/a"),
        lambda: storage.read_if_there("s3://bucket/a/manifest.json"),
        lambda: storage.send_all([(tmp_path / "made/manifest.json", "s3://bucket/b")]),
    ):
        before = len(faults.calls)
        with pytest.raises(InputError, match="These credentials may not read"):
            read()
        assert len(faults.calls) - before <= 16  # none is tried again
    faults.rate = 0
    assert storage.read_if_there("s3://bucket/a/nothing") is None
    with pytest.raises(InputError, match="does not exist"):
        storage.bring_all([("s3://bucket/a/nothing", tmp_path / "nothing")])
    assert not (tmp_path / "nothing").exists()


@pytest.mark.case(6)
def test_an_object_that_is_replaced_while_it_is_read(flaky: Any, faults: Faults, tmp_path: Path) -> None:
    flaky.put_object(Bucket="bucket", Key="big", Body=content(1, 1_000_000))
    (file,) = storage.list_files("s3://bucket/big")
    flaky.put_object(Bucket="bucket", Key="big", Body=content(2, 1_000_000))
    with pytest.raises(InputError, match="was replaced while it was read"), storage.open_stream(file) as stream:
        stream.read()
    assert faults.calls


@pytest.mark.case(9)
def test_a_shard_that_was_corrupted_between_steps_is_named(flaky: Any, tmp_path: Path) -> None:
    """In the store: it is asked for three times, and nothing of the artifact stays."""
    digest = put_artifact(flaky, tmp_path / "made")
    flaky.put_object(Bucket="bucket", Key="a/train-00003", Body=content(3)[:-1] + b"!")
    with pytest.raises(InputError, match="train-00003 is not the file that was written"):
        take(tmp_path / "taken", digest)
    assert not (tmp_path / "taken").exists()


@pytest.mark.case(6)
def test_a_cache_entry_becomes_visible_whole(flaky: Any, faults: Faults) -> None:
    storage.write_whole("s3://bucket/cache/key.json", b'{"old": 1}')
    faults.kinds, faults.rate, faults.on = ("reset", "lost"), 1.0, lambda method, _: method == "PUT"
    with pytest.raises(ServiceError):
        storage.write_whole("s3://bucket/cache/key.json", json.dumps({"new": 2}).encode())
    faults.rate = 0
    found = storage.read_if_there("s3://bucket/cache/key.json")
    assert found is not None
    assert json.loads(found) in ({"old": 1}, {"new": 2})
    assert cache.CACHE


@pytest.mark.case(5)
@pytest.mark.faults
@pytest.mark.usefixtures("s3")
def test_a_hundred_thousand_keys_are_listed(faults: Faults, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a server that knows but pages: moto needs minutes for so many."""
    count, a_page = 100_000, 1000

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            token = parse_qs(urlsplit(self.path).query).get("continuation-token", ["0"])[0]
            numbers = range(int(token), min(int(token) + a_page, count))
            keys = "".join(f"<Contents><Key>k/{number:06d}</Key><Size>1</Size></Contents>" for number in numbers)
            more = numbers.stop < count
            following = f"<NextContinuationToken>{numbers.stop}</NextContinuationToken>" if more else ""
            body = (
                f"<ListBucketResult><Name>bucket</Name><IsTruncated>{str(more).lower()}</IsTruncated>{following}{keys}"
                "</ListBucketResult>"
            ).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    faults.kinds, faults.rate = ("503", "reset"), 0.3
    with http_server(Pages) as server, proxy(server, faults) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", address)
        files = storage.list_files("s3://bucket/k")
    assert (len(files), files[0].name, files[-1].name) == (count, "000000", f"{count - 1:06d}")
    assert len(faults.calls) > count / a_page


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((302, {"Location": "/bucket", "Content-Length": "0"}, b""), "is no object store: it sent a page, or led"),
        ((200, {"Content-Type": "text/html"}, b"<html><body>Please log in</body></html>"), "is no object store"),
    ],
)
@pytest.mark.usefixtures("s3")
def test_what_is_no_store_is_told_as_such(
    answer: tuple[int, dict[str, str], bytes], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy's login page looked like an empty bucket, and one that leads to itself ended in a traceback."""
    with file_server({"/bucket": answer}) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", address)
        with pytest.raises(ServiceError, match=message):
            storage.list_files("s3://bucket/data")
