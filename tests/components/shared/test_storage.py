from pathlib import Path
from typing import Any

import pytest

from components.shared import storage
from components.shared.errors import InputError, ServiceError
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
