import contextlib
import random
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from components.shared.errors import InputError, ServiceError
from components.shared.storage import storage
from tests.servers import file_server, free_port


def test_a_prefix_lists_what_is_below_it_and_nothing_else(s3: Any) -> None:
    for key in ("data/b.csv", "data/a/c.csv", "data/_temporary", "database.csv"):
        s3.put_object(Bucket="bucket", Key=key, Body=b"12345")
    found = storage.list_files("s3://bucket/data")
    assert [(file.name, file.size) for file in found] == [("a/c.csv", 5), ("b.csv", 5)]
    assert [file.name for file in storage.list_files("s3://bucket/database.csv")] == ["database.csv"]


def test_a_copy_of_an_object_is_gone_after_the_block(s3: Any) -> None:
    s3.put_object(Bucket="bucket", Key="x/y.csv", Body=b"content")
    with storage.local_copy("s3://bucket/x/y.csv") as path:
        assert path.read_bytes() == b"content"
    assert not path.exists()


def test_a_prefix_becomes_a_folder(s3: Any, tmp_path: Path) -> None:
    s3.put_object(Bucket="bucket", Key="m/config.json", Body=b"{}")
    s3.put_object(Bucket="bucket", Key="m/1_Pooling/config.json", Body=b"{}")
    s3.put_object(Bucket="bucket", Key="m/other/config.json", Body=b"{}")
    storage.download_folder("s3://bucket/m", tmp_path, ["config.json", "1_Pooling/*"])
    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.json")) == [
        "1_Pooling/config.json",
        "config.json",
    ]


def test_many_files_are_read_in_order(s3: Any, tmp_path: Path) -> None:
    for number in range(50):
        s3.put_object(Bucket="bucket", Key=f"many/{number:02d}", Body=f"content {number}".encode())
        (tmp_path / f"{number:02d}").write_text(f"content {number}")
    s3.put_object(Bucket="bucket", Key="many/50", Body=b"")
    (tmp_path / "50").touch()
    for source in ("s3://bucket/many", str(tmp_path)):
        contents = list(storage.read_all(storage.list_files(source)))
        assert contents == [*(f"content {number}".encode() for number in range(50)), b""]


def test_a_file_is_read_as_a_stream_of_blocks(s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.shared.storage.storage._BLOCK", 1000)
    content = random.Random(0).randbytes(10_123)
    s3.put_object(Bucket="bucket", Key="big", Body=content)
    s3.put_object(Bucket="bucket", Key="empty", Body=b"")
    (tmp_path / "big").write_bytes(content)
    for source in ("s3://bucket/big", str(tmp_path / "big")):
        (file,) = storage.list_files(source)
        with storage.open_stream(file) as stream:
            assert (stream.read(10), stream.read(1500), stream.read()) == (
                content[:10],
                content[10:1510],
                content[1510:],
            )
    (file,) = storage.list_files("s3://bucket/empty")
    with storage.open_stream(file) as stream:
        assert stream.read() == b""


def test_a_file_that_went_away_after_it_was_listed(s3: Any, tmp_path: Path) -> None:
    s3.put_object(Bucket="bucket", Key="d/1", Body=b"1")
    (tmp_path / "1").write_bytes(b"1")
    listed = [storage.list_files(source) for source in ("s3://bucket/d", str(tmp_path))]
    s3.delete_object(Bucket="bucket", Key="d/1")
    (tmp_path / "1").unlink()
    for files, message in zip(listed, ("s3://bucket/d/1 does not exist", "1 cannot be read"), strict=True):
        with pytest.raises(InputError, match=message):
            list(storage.read_all(files))
        with pytest.raises(InputError, match=message), storage.open_stream(files[0]) as stream:
            stream.read()


@pytest.mark.usefixtures("s3")
def test_a_body_that_breaks_off_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    file = storage.File("s3://bucket/x", "x", 10)
    broken = {"/bucket/x": (200, {"Content-Length": "10"}, b"12345")}
    with file_server(broken) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", address)
        with pytest.raises(ServiceError, match="did not answer for s3://bucket/x"):
            list(storage.read_all([file]))
    with interrupted_once(b"1234567890") as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", address)
        assert list(storage.read_all([file])) == [b"1234567890"]


@contextlib.contextmanager
def interrupted_once(content: bytes) -> Iterator[str]:
    """An HTTP server whose first answer breaks off in the middle."""
    answers = iter([content[:5]])

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(next(answers, content))

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_bucket_that_does_not_exist(s3: Any) -> None:
    with pytest.raises(InputError, match="The bucket of s3://nowhere/data does not exist"):
        storage.list_files("s3://nowhere/data")


@pytest.mark.parametrize("code", ["InvalidAccessKeyId", "AccessDenied", "ExpiredToken"])
@pytest.mark.usefixtures("s3")
def test_wrong_credentials_are_never_told_as_not_found(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>".encode()
    with file_server({"/bucket": (403, {"Content-Type": "application/xml"}, body)}) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", address)
        with pytest.raises(InputError, match=rf"credentials may not read s3://bucket/data \({code}\)"):
            storage.list_files("s3://bucket/data")
    with file_server({"/bucket/data": (403, {"Content-Type": "application/xml"}, body)}) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", address)
        with pytest.raises(InputError, match=rf"credentials may not read s3://bucket/data \({code}\)"):
            list(storage.read_all([storage.File("s3://bucket/data", "data", 10)]))


@pytest.mark.usefixtures("s3")
def test_no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(InputError, match="No credentials for s3://bucket/data(?s:.*)AWS_ACCESS_KEY_ID"):
        storage.list_files("s3://bucket/data")


@pytest.mark.usefixtures("s3")
def test_a_store_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(ServiceError, match="The object store did not answer"):
        storage.list_files("s3://bucket/data")
