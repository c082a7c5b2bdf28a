"""What `graft doctor` finds, with real files, stores and servers: broken as users break them."""

import base64
import contextlib
import ctypes
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.shared import tasks
from pipelines.checks.finding import Finding
from pipelines.checks.image import parse
from pipelines.command import cli, doctor
from pipelines.command.cli import main
from tests.components.shared.stores import half_made
from tests.conftest import s3_environment, write_csv
from tests.servers import WEBHOOK_TOKEN, file_server, free_port, http_server, webhook_server

DIGEST = "sha256:" + "0123456789abcdef" * 4
JSON = {"Content-Type": "application/json"}
DENIED = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>no</Message></Error>"
Answers = dict[str, tuple[int, Mapping[str, str], bytes]]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test in a folder of its own, without docker's credentials."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rows = [{"text": row["input_1"], "topic": row["label"]} for row in tasks.get("text-classification").sample(20, 1)]
    return write_csv(tmp_path / "data" / "rows.csv", rows)


def write_job(folder: Path, source: object, backbone: object, **fields: Any) -> Path:
    content = {"source": str(source), "inputs": ["text"], "label": "topic"}
    job = {"model": "topics", "task": "text-classification", "data": content, "backbone": str(backbone), **fields}
    (folder / "job.yaml").write_text(yaml.safe_dump(job))
    return folder / "job.yaml"


def write_deployment(folder: Path, address: str, **fields: Any) -> Path:
    registry = address.removeprefix("http://")
    deployment = {
        "kubeflow": {"endpoint": address, "namespace": "team-a"},
        "images": {"light": f"{registry}/graft/light@{DIGEST}", "trainer": f"{registry}/graft/trainer@{DIGEST}"},
        "pipeline_root": "s3://bucket/graft",
        "mlflow": address,
        **fields,
    }
    (folder / "deployment.yaml").write_text(yaml.safe_dump(deployment))
    return folder / "deployment.yaml"


def examine(folder: Path, *arguments: object) -> tuple[int, dict[str, Finding]]:
    """Runs the command; returns its exit code and the last finding of each subject."""
    output = folder / "findings.json"
    code = main(["doctor", *map(str, arguments), "--json", str(output)])
    found = [Finding(**finding) for finding in json.loads(output.read_text())]
    return code, {finding.subject: finding for finding in found}


def levels(findings: Mapping[str, Finding]) -> dict[str, str]:
    return {subject: finding.level for subject, finding in findings.items()}


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_a_job_that_would_run_passes_and_nothing_stays_behind(
    tmp_path: Path,
    data: Path,
    backbone: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cli, "keep_to_share", lambda: None)  # what a command says to its own process
    job = write_job(tmp_path, data, backbone)
    before, environment = files_below(tmp_path), dict(os.environ)
    code, found = examine(tmp_path, job)
    assert code == 0
    assert set(levels(found).values()) == {"✓"}
    assert set(found) == {"job", "root", "processor", "mlflow", "data", "disk", "backbone"}
    assert ": 1 file, " in found["data"].found
    assert files_below(tmp_path) == before | {"findings.json"}
    assert dict(os.environ) == environment
    assert "To mend" not in capsys.readouterr().out


def test_all_faults_are_told_at_once_each_with_its_mend(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = write_job(tmp_path, tmp_path / "nowhere", tmp_path / "no-backbone")
    (tmp_path / "mlflow.db").write_text("this is no database")
    (tmp_path / "file").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
        code, found = examine(tmp_path, job, "--root", tmp_path / "file/graft")
    assert code == 1
    failing = {subject for subject, finding in found.items() if finding.level == "✗"}
    assert failing == {"root", "mlflow", "data", "backbone"}
    assert "There is no file or folder" in found["data"].found
    assert "is no MLflow store" in found["mlflow"].found
    assert all(found[subject].mend for subject in failing)
    told = capsys.readouterr()
    assert re.search(r"^✗ data +There is no file", told.out, re.MULTILINE)
    assert re.search(r"To mend(?s:.*)✗ data +Check the path", told.out)
    assert "4 of 7 checks failed" in told.err


def test_a_store_that_was_left_half_made_is_told_and_not_touched(tmp_path: Path) -> None:
    job = write_job(tmp_path, tmp_path / "nowhere", tmp_path / "no-backbone")
    path = half_made(tmp_path / "root/mlflow.db")
    before = path.read_bytes()
    _, found = examine(tmp_path, job, "--root", tmp_path / "root")
    assert found["mlflow"].level == "✗"
    assert "was left half-made by a process that was killed" in found["mlflow"].found
    assert path.read_bytes() == before


def test_the_webhook_is_looked_at_and_told_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with webhook_server() as server:
        monkeypatch.setenv("GRAFT_NOTIFY_URL", server.address)
        _, found = examine(tmp_path)
        assert found["notify"].found == "127.0.0.1 is told of each promotion, refusal and failure"
        assert server.requests == 0
    monkeypatch.setenv("GRAFT_NOTIFY_URL", f"hooks.example.com/{WEBHOOK_TOKEN}")
    code, found = examine(tmp_path)
    assert (code, found["notify"].level) == (1, "✗")
    assert "is no address of a webhook" in found["notify"].found
    told = capsys.readouterr()
    assert WEBHOOK_TOKEN not in told.out + told.err


def test_of_a_deployments_webhook_the_secret_is_named(tmp_path: Path) -> None:
    notify = {"url": {"secret": "chat", "key": "webhook"}, "events": ["failure"]}
    address = f"http://127.0.0.1:{free_port()}"
    _, found = examine(tmp_path, "--deployment", write_deployment(tmp_path, address, notify=notify))
    assert found["notify"].level == "✓"
    assert found["notify"].found == (
        "the address in the secret 'chat', key 'webhook' is told of each failure; whether it is there cannot be seen "
        "from here"
    )


def test_the_faults_of_the_files_themselves_come_first_and_all_together(tmp_path: Path) -> None:
    job = write_job(tmp_path, "data", "backbone", strategy="ful", epochs=3)
    (tmp_path / "deployment.yaml").write_text("images: {light: a, trainer: b, pull_policy: Never!}")
    code, found = examine(tmp_path, job, "--deployment", tmp_path / "deployment.yaml")
    assert code == 1
    assert levels(found) == {"job": "✗", "deployment": "✗"}
    assert "Did you mean 'full'" in found["job"].mend
    assert "epochs: there is no such field" in found["job"].mend
    assert "kubeflow: is missing" in found["deployment"].mend
    assert "images.pull_policy" in found["deployment"].mend
    code, found = examine(tmp_path, tmp_path / "nowhere.yaml")
    assert (code, found["job"].level) == (1, "✗")


def test_403_and_404_of_the_data_are_told_apart(
    s3: Any, tmp_path: Path, data: Path, backbone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.put_object(Bucket="bucket", Key="data/rows.csv", Body=data.read_bytes())
    for name in ("config.json", "model.safetensors"):
        s3.put_object(Bucket="bucket", Key=f"bert/{name}", Body=b"{}")
    code, found = examine(tmp_path, write_job(tmp_path, "s3://bucket/data", "s3://bucket/bert"))
    assert (code, found["data"].level, found["backbone"].level) == (0, "✓", "✓")
    code, found = examine(tmp_path, write_job(tmp_path, "s3://buckets/data", "s3://bucket/data"))
    assert (code, found["data"].level) == (1, "✗")
    assert "does not exist" in found["data"].found
    assert "there is no config.json" in found["backbone"].found
    job = write_job(tmp_path, "s3://bucket/data", backbone)
    with file_server({"/bucket": (403, {"Content-Type": "application/xml"}, DENIED)}) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", address)
        code, found = examine(tmp_path, job)
    assert (code, found["data"].level) == (1, "✗")
    assert "These credentials may not read s3://bucket/data (AccessDenied)" in found["data"].found
    assert "s3:GetObject" in found["data"].mend


def test_to_list_is_not_to_read(tmp_path: Path, backbone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listing = b"""<?xml version='1.0'?><ListBucketResult><IsTruncated>false</IsTruncated>
        <Contents><Key>data/rows.csv</Key><Size>9</Size></Contents></ListBucketResult>"""
    xml = {"Content-Type": "application/xml"}
    answers: Answers = {"/bucket": (200, xml, listing), "/bucket/data/rows.csv": (403, xml, DENIED)}
    with file_server(answers) as address:
        for name, value in s3_environment(address).items():
            monkeypatch.setenv(name, value)
        code, found = examine(tmp_path, write_job(tmp_path, "s3://bucket/data", backbone))
    assert (code, found["data"].level) == (1, "✗")
    assert "s3://bucket/data/rows.csv (AccessDenied)" in found["data"].found


def test_columns_that_a_job_leaves_out(tmp_path: Path, data: Path, backbone: Path) -> None:
    job = write_job(tmp_path, data, backbone)
    changes = ["--set", "data.inputs=[]", "--set", "data.label=''"]
    _, findings = examine(tmp_path, job, *changes)
    assert findings["columns"].found == "input 'text', label 'topic', as the columns tell"


def test_data_that_holds_nothing_usable(tmp_path: Path, backbone: Path) -> None:
    (tmp_path / "data").mkdir()
    job = write_job(tmp_path, tmp_path / "data", backbone)
    (tmp_path / "data/notes.txt").write_text("no data")
    assert "holds no data" in examine(tmp_path, job)[1]["data"].found
    (tmp_path / "data/rows.csv").touch()
    assert "are empty" in examine(tmp_path, job)[1]["data"].found


def _obey_file_modes() -> None:
    """Takes root's power to read and write any file from the process that is about to begin."""
    libc = ctypes.CDLL(None)
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


def test_files_and_folders_without_the_right_to_use_them(tmp_path: Path, data: Path, backbone: Path) -> None:
    job = write_job(tmp_path, data, backbone)
    (tmp_path / "root").mkdir()
    data.chmod(0)
    (tmp_path / "root").chmod(0o500)
    command = [sys.executable, "-m", "pipelines.command.cli", "doctor", str(job), "--root", str(tmp_path / "root")]
    told = subprocess.run(command, capture_output=True, text=True, preexec_fn=_obey_file_modes, check=False)
    assert told.returncode == 1, told.stderr
    for subject in ("root", "mlflow", "data"):
        assert re.search(rf"^✗ {subject} .*cannot be (read|written)", told.stdout, re.MULTILINE), told.stdout
    assert "Traceback" not in told.stderr


def test_ports_where_nobody_listens_or_nobody_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3_environment(f"http://127.0.0.1:{free_port()}").items():
        monkeypatch.setenv(name, value)
    job = write_job(tmp_path, "s3://bucket/data", "s3://bucket/bert")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret-word@127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        code, found = examine(tmp_path, job)
    assert time.monotonic() - began < 10
    assert (code, levels(found)) == (1, {**levels(found), "data": "✗", "backbone": "✗", "mlflow": "✗"})
    assert "connection refused" in found["data"].found
    assert "nothing came within 4 s" in found["mlflow"].found
    assert "http://***@127.0.0.1" in found["mlflow"].found
    assert "secret-word" not in (tmp_path / "findings.json").read_text()


def test_a_check_that_takes_too_long_is_a_warning_and_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow() -> Iterator[Finding]:
        yield Finding("processor", "✓", "so far, so good")
        time.sleep(5)

    monkeypatch.setattr(doctor, "check_processor", slow)
    monkeypatch.setattr(doctor, "_PATIENCE", 0.5)
    code, found = examine(tmp_path)
    assert (code, levels(found)) == (0, {"root": "✓", "processor": "!", "mlflow": "✓", "disk": "✓"})
    assert "not known" in found["processor"].found


def test_a_store_that_is_there_tells_whether_the_model_is_new(registry: str, tmp_path: Path, data: Path) -> None:
    from mlflow import MlflowClient

    job = write_job(tmp_path, data, "models:/topics@champion")
    _, found = examine(tmp_path, job)
    assert "'topics' will be new there" in found["mlflow"].found
    assert "The registry has no model 'topics'" in found["backbone"].found
    client = MlflowClient(registry)
    client.create_registered_model("topics")
    version = client.create_model_version("topics", "s3://bucket/model").version
    client.set_registered_model_alias("topics", "champion", version)
    _, found = examine(tmp_path, job)
    assert "'topics' will get one more version" in found["mlflow"].found
    assert found["backbone"].found == "models:/topics@champion is models:/topics/1"


def test_two_checks_share_one_registry(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search, get = (f"/api/2.0/mlflow/registered-models/{verb}" for verb in ("search", "get"))
    missing = json.dumps({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such model"}).encode()
    answers: Answers = {"/version": (200, {}, b"3.17.2"), search: (200, JSON, b"{}"), get: (404, JSON, missing)}
    # A process of its own: there MLflow is imported for the first time, which may take a busy machine long.
    patient = "import sys; from pipelines.command import cli, doctor; doctor._PATIENCE = 60; sys.exit(cli.main())"
    command = [sys.executable, "-c", patient, "doctor", str(write_job(tmp_path, data, "models:/other"))]
    with file_server(answers) as address:
        environment = {**os.environ, "MLFLOW_TRACKING_URI": address}
        told = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert re.search(r"^✓ mlflow .*version 3.17.2.*'topics' will be new there", told.stdout, re.MULTILINE), told.stdout
    assert re.search(r"^✗ backbone .*The registry has no model 'other'", told.stdout, re.MULTILINE), told.stdout


def test_an_mlflow_server_that_refuses_or_is_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search = "/api/2.0/mlflow/registered-models/search"
    denied = json.dumps({"error_code": "PERMISSION_DENIED", "message": "no"}).encode()
    for answer, level in (((200, JSON, b"{}"), "✓"), ((403, JSON, denied), "✗")):
        with file_server({"/version": (200, {}, b"2.9.1"), search: answer}) as address:
            monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
            code, found = examine(tmp_path)
        assert (code, found["mlflow"].level) == (int(level == "✗"), level)
    assert "refused these credentials" in found["mlflow"].found
    assert "MLFLOW_TRACKING_USERNAME" in found["mlflow"].mend


def cluster(**refused: int) -> Answers:
    """Answers of a Kubeflow, a registry of images and an MLflow; `refused` replaces a status by the path's end."""
    answers: Answers = {
        f"/apis/v2beta1/{name}": (200, JSON, b"{}") for name in ("pipelines", "experiments", "runs", "recurringruns")
    }
    answers |= {f"/v2/graft/{name}/manifests/{DIGEST}": (200, {}, b"{}") for name in ("light", "trainer")}
    answers |= {
        "/apis/v2beta1/healthz": (200, JSON, b'{"multi_user": true}'),
        "/apis/v1beta1/healthz": (200, JSON, b'{"tag_name": "2.16.0"}'),
        "/version": (200, {}, b"3.17.2"),
        "/api/2.0/mlflow/registered-models/search": (200, JSON, b"{}"),
    }
    for path in answers:
        for end, status in refused.items():
            if path.endswith(f"/{end}") or f"/{end}/" in path:
                answers[path] = (status, JSON, b'{"message": "no"}')
    return answers


def test_a_cluster_that_has_all(s3: Any, tmp_path: Path) -> None:
    before = [item["Key"] for item in s3.list_objects_v2(Bucket="bucket").get("Contents", [])]
    with file_server(cluster()) as address:
        code, found = examine(tmp_path, "--deployment", write_deployment(tmp_path, address))
    assert (code, set(levels(found).values())) == (0, {"✓"})
    assert set(found) == {"deployment", "kubeflow", "images.light", "images.trainer", "pipeline_root", "mlflow"}
    assert "may be listed in the namespace team-a" in found["kubeflow"].found
    assert [item["Key"] for item in s3.list_objects_v2(Bucket="bucket").get("Contents", [])] == before


@pytest.mark.usefixtures("s3")
@pytest.mark.parametrize(
    ("uri", "level"), [("s3://bucket/checkpoints", "✓"), ("s3://other/x", "✗"), ("kept", "✓"), ("file/kept", "✗")]
)
def test_where_checkpoints_go(uri: str, level: str, tmp_path: Path, data: Path, backbone: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    place = uri if uri.startswith("s3") else str(tmp_path / uri)
    job = write_job(tmp_path, data, backbone, checkpoint={"uri": place})
    code, found = examine(tmp_path, job, "--root", tmp_path / "root")
    assert (found["checkpoint"].level, code) == (level, int(level == "✗"))


@pytest.mark.usefixtures("s3")
def test_what_a_cluster_can_lack(
    tmp_path: Path, data: Path, backbone: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAFT_KFP_TOKEN", "secret-word")
    job = write_job(tmp_path, data.relative_to(tmp_path), backbone)
    with file_server(cluster(recurringruns=403, trainer=404)) as address:
        deployment = write_deployment(tmp_path, address, pipeline_root="s3://other/graft")
        code, found = examine(tmp_path, job, "--deployment", deployment)
    assert code == 1
    expected = {"kubeflow": "✗", "images.light": "✓", "images.trainer": "✗", "pipeline_root": "✗", "data": "✗"}
    assert levels(found) == {**levels(found), **expected, "backbone": "!"}
    told = capsys.readouterr()
    assert "version 2.16.0, for several users" in told.out
    assert "secret-word" not in told.out + told.err
    assert "kubeflow-edit" in found["kubeflow"].found + found["kubeflow"].mend
    assert "does not exist" in found["pipeline_root"].found
    assert "the cluster does not see" in found["data"].found
    assert "inside the image" in found["backbone"].found


def test_addresses_inside_the_cluster_cannot_be_told_from_here(tmp_path: Path) -> None:
    inside = "http://mlflow.nowhere.svc.cluster.local:5000"
    environment = {"AWS_ENDPOINT_URL_S3": "http://minio.nowhere.svc:9000"}
    with file_server(cluster()) as address:
        deployment = write_deployment(tmp_path, address, mlflow=inside, environment=environment)
        code, found = examine(tmp_path, "--deployment", deployment)
    assert (code, found["mlflow"].level, found["pipeline_root"].level) == (0, "!", "!")
    assert "cannot be told from here" in found["mlflow"].found


def test_a_bucket_that_may_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with store_that_refuses("PUT") as address:
        for name, value in s3_environment(address).items():
            monkeypatch.setenv(name, value)
        with file_server(cluster()) as services:
            code, found = examine(tmp_path, "--deployment", write_deployment(tmp_path, services))
    assert (code, found["pipeline_root"].level) == (1, "✗")
    assert "may not write to s3://bucket/graft (AccessDenied)" in found["pipeline_root"].found
    assert "s3:PutObject" in found["pipeline_root"].mend
    with store_that_refuses("DELETE") as address, file_server(cluster()) as services:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", address)
        code, found = examine(tmp_path, "--deployment", write_deployment(tmp_path, services))
    assert (code, found["pipeline_root"].level) == (0, "!")
    assert "s3://bucket/graft/.graft-doctor" in found["pipeline_root"].found


def store_that_refuses(method: str) -> contextlib.AbstractContextManager[str]:
    """An S3 that takes everything but one method."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            refused = self.command == method
            self.send_response(403 if refused else 200)
            body = DENIED if refused else b""
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_HEAD = do_PUT = do_DELETE = answer  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    return http_server(Handler)


def registry_with_password(user: str, password: str) -> contextlib.AbstractContextManager[str]:
    """A registry of images that gives a token for a password, as the distribution specification has it."""
    wanted = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            token = json.dumps({"token": "good"}).encode()
            given = self.headers.get("Authorization")
            if self.path.startswith("/token"):
                self.answer(200 if given == wanted else 401, {}, token if given == wanted else b"")
            elif given == "Bearer good":
                self.answer(200, {"Docker-Content-Digest": DIGEST}, b"")
            else:
                realm = f'Bearer realm="http://{self.headers["Host"]}/token",service="registry",scope="pull"'
                self.answer(401, {"WWW-Authenticate": realm}, b"")

        do_HEAD = do_GET  # noqa: N815

        def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    return http_server(Handler)


@pytest.mark.usefixtures("s3")
@pytest.mark.parametrize(("password", "level"), [(None, "!"), ("wrong", "✗"), ("right", "✓")])
def test_images_of_a_registry_with_a_password(tmp_path: Path, password: str | None, level: str) -> None:
    with registry_with_password("me", "right") as registry, file_server(cluster()) as address:
        host = registry.removeprefix("http://")
        if password:
            (tmp_path / "docker").mkdir()
            auth = base64.b64encode(f"me:{password}".encode()).decode()
            (tmp_path / "docker/config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))
        images = {"light": f"{host}/graft/light@{DIGEST}", "trainer": f"{host}/graft/trainer:1.0"}
        code, found = examine(tmp_path, "--deployment", write_deployment(tmp_path, address, images=images))
    assert (code, found["images.light"].level) == (int(level == "✗"), level)
    assert (found["images.trainer"].level, "has no digest" in found["images.trainer"].found) == ("!", True)
    if password == "right":
        assert found["images.trainer"].mend.endswith(f"{images['trainer']}@{DIGEST}.")


def test_names_of_images_are_taken_apart_as_docker_does() -> None:
    hub = "https://registry-1.docker.io/v2"
    assert parse("python").address == f"{hub}/library/python/manifests/latest"
    assert parse("graft/light:1.0").address == f"{hub}/graft/light/manifests/1.0"
    assert (
        parse(f"example.com:5000/a/b/c:1@{DIGEST}").address == f"https://example.com:5000/v2/a/b/c/manifests/{DIGEST}"
    )


@pytest.fixture
def gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts a driver and a torch in the way that tell what they are given."""

    def put(driver: str, cuda: str | None, capability: tuple[int, int] | None, archs: list[str]) -> None:
        program = tmp_path / "bin/nvidia-smi"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\necho 'NVIDIA H200, {driver}, 143771 MiB'\n")
        program.chmod(0o755)
        (tmp_path / "stand-in").mkdir(exist_ok=True)
        (tmp_path / "stand-in/torch.py").write_text(
            "from types import SimpleNamespace as Space\n"
            f"__version__, version = '2.14.1', Space(cuda={cuda!r})\n"
            f"cuda = Space(is_available=lambda: {capability is not None}, device_count=lambda: 1,\n"
            f"    get_arch_list=lambda: {archs!r}, get_device_capability=lambda number: {capability!r})\n"
        )
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}/usr/bin{os.pathsep}/bin")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "stand-in"))

    return put


@pytest.mark.parametrize(
    ("driver", "cuda", "capability", "archs", "level", "told"),
    [
        ("580.82.07", "13.0", (9, 0), ["sm_80", "sm_90"], "✓", "1 x NVIDIA H200 (143771 MiB), driver 580.82.07"),
        ("580.82.07", "13.0", (8, 9), ["sm_80", "sm_90"], "✓", "for CUDA 13.0"),
        ("550.54.15", "13.0", None, [], "✗", "CUDA 13.0 needs driver 580 or later"),
        ("580.82.07", None, None, [], "!", "a build for CPUs"),
        ("580.82.07", "13.0", None, [], "✗", "torch sees no GPU"),
        ("580.82.07", "13.0", (7, 0), ["sm_80", "sm_90"], "✗", "not built for sm_70"),
    ],
)
def test_whether_gpu_driver_and_torch_fit(
    gpu: Any, tmp_path: Path, driver: str, cuda: str | None, capability: Any, archs: list[str], level: str, told: str
) -> None:
    gpu(driver, cuda, capability, archs)
    code, found = examine(tmp_path)
    assert (code, found["processor"].level) == (int(level == "✗"), level)
    assert told in found["processor"].found


def test_a_driver_that_is_broken(gpu: Any, tmp_path: Path) -> None:
    gpu("580.82.07", "13.0", (9, 0), ["sm_90"])
    failure = "#!/bin/sh\necho 'Failed to initialize NVML: Driver/library version mismatch'\nexit 18\n"
    (tmp_path / "bin/nvidia-smi").write_text(failure)
    code, found = examine(tmp_path)
    assert (code, found["processor"].level) == (1, "✗")
    assert "version mismatch" in found["processor"].found


def test_without_a_gpu_it_says_what_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert re.search(r"trains on the CPU, \d+ cores, [\d.]+ GiB", examine(tmp_path)[1]["processor"].found)


def test_a_disk_that_is_too_small(tmp_path: Path, data: Path, backbone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = write_job(tmp_path, data, backbone)
    for free, level in ((2 << 30, "!"), (1 << 20, "✗")):
        usage = shutil._ntuple_diskusage(1 << 40, 0, free)
        monkeypatch.setattr(shutil, "disk_usage", lambda path, usage=usage: usage)
        assert examine(tmp_path, job)[1]["disk"].level == level


def hub_answers() -> Answers:
    told = {"ETag": '"1"', "X-Repo-Commit": "0" * 40}
    missing, unknown = {"X-Error-Code": "EntryNotFound"}, {"X-Error-Code": "RepoNotFound"}
    answers: Answers = {
        f"/org/{name}/resolve/main/{file}": (200, told, b"{}")
        for name, file in (("new", "config.json"), ("new", "model.safetensors"), ("old", "config.json"))
    }
    for name in ("new", "old"):
        for file in ("model.safetensors", "model.safetensors.index.json"):
            answers.setdefault(f"/org/{name}/resolve/main/{file}", (404, missing, b""))
    answers["/org/none/resolve/main/config.json"] = (404, unknown, b"")
    answers["/api/datasets/org/texts"] = (200, JSON, b'{"id": "org/texts", "siblings": []}')
    answers["/api/datasets/org/none"] = (404, {**JSON, **unknown}, b"{}")
    return answers


@pytest.mark.parametrize(
    ("source", "backbone", "expected"),
    [
        ("hf://org/texts", "org/new", r"✓ data .*on the hub(?s:.*)✓ backbone .*with safetensors"),
        ("hf://org/none", "org/old", r"✗ data .*has no dataset(?s:.*)✗ backbone .*has no safetensors"),
        ("hf://org/texts/config", "org/none", r"✓ data (?s:.*)✗ backbone .*no such repository"),
        ("hf://org/texts", "random:timm/resnet10t", r"✓ backbone .*one of timm's"),
        ("hf://org/texts", "timm/resnet10", r"✗ backbone .*Did you mean 'resnet"),
    ],
)
def test_the_hub_is_asked_without_a_download(tmp_path: Path, source: str, backbone: str, expected: str) -> None:
    job = write_job(tmp_path, source, backbone)
    command = [sys.executable, "-m", "pipelines.command.cli", "doctor", str(job)]
    with file_server(hub_answers()) as address:
        # A process of its own: the library reads these variables when it is imported.
        environment = {"HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "cache")}
        told = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, check=False)
    assert re.search(expected, told.stdout), told.stdout + told.stderr
    assert told.returncode == int("✗" in expected)
    assert not list(tmp_path.glob("cache/**/*.safetensors"))
