import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from components.finetune.curves import Curves
from components.shared.errors import GraftError, InputError, ServiceError
from components.shared.registry import tracking
from components.shared.storage import patience, s3
from components.shared.storage.patience import PATIENCE, patiently
from tests.servers import free_port, serving


class Flaky:
    """Fails as often as it is told."""

    def __init__(self, *failures: Exception) -> None:
        self.failures, self.calls = list(failures), 0

    def __call__(self) -> str:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return "done"


def test_what_is_away_is_waited_for_and_that_is_said_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(PATIENCE, "300")
    flaky, pauses = Flaky(*[ConnectionError("[Errno 111] Connection refused")] * 5), list[float]()
    assert patiently(flaky, "MLflow", sleep=pauses.append) == "done"
    assert pauses == [2.0, 4.0, 8.0, 15.0, 15.0]
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "graft: note: MLflow does not answer (connection refused): trying on for 300 s"
    assert told[1].startswith("graft: note: MLflow answers again")
    assert len(told) == 2


@pytest.mark.parametrize("seconds", ["", "0", "soon"])
def test_without_patience_nobody_waits(seconds: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PATIENCE, seconds)
    flaky = Flaky(ConnectionError("Connection refused"))
    with pytest.raises(ConnectionError):
        patiently(flaky, "MLflow")
    assert flaky.calls == 1


def test_what_is_wrong_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PATIENCE, "300")
    flaky = Flaky(InputError("There is no such model."))
    with pytest.raises(InputError):
        patiently(flaky, "MLflow")
    assert flaky.calls == 1


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b'{"registered_model": {"name": "topics"}}' if "mlflow" in self.path else b"12345"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The port of a server that begins to listen only once it was asked for in vain."""
    monkeypatch.setenv(PATIENCE, "60")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(patience, "_FIRST_PAUSE", 0.1)
    port, servers = free_port(), []

    def listen() -> None:
        time.sleep(0.3)
        servers.append(ThreadingHTTPServer(("127.0.0.1", port), _Answers))
        servers[0].serve_forever(0.01)

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    yield port
    if servers:
        servers[0].shutdown()
        servers[0].server_close()
    thread.join()


def test_mlflow_that_comes_back_is_gone_on_with(late: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{late}")
    with tracking.explained("looking"):
        assert tracking.client().get_registered_model("topics").name == "topics"


def test_the_store_too(monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.exceptions import ClientError

    refused = ClientError({"Error": {"Code": "SlowDown"}, "ResponseMetadata": {"HTTPStatusCode": 503}}, "GetObject")
    flaky = Flaky(*[refused] * 15)
    monkeypatch.setenv(PATIENCE, "60")
    monkeypatch.setattr(patience, "_FIRST_PAUSE", 0.01)
    s3.call("s3://bucket/x", flaky)
    assert flaky.calls == 16
    monkeypatch.setenv(PATIENCE, "0")
    flaky.failures = [refused] * 15
    with pytest.raises(ServiceError, match="SlowDown"):
        s3.call("s3://bucket/x", flaky)
    assert flaky.calls == 16 + 10


def test_what_is_wrong_with_a_request_stays_wrong() -> None:
    from botocore.exceptions import ClientError

    for status, code in ((403, "AccessDenied"), (400, "ExpiredToken"), (404, "NoSuchKey"), (400, "InvalidRequest")):
        answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
        flaky = Flaky(ClientError(answer, "GetObject"))
        with pytest.raises(GraftError, match=code if status != 404 else "does not exist"):
            s3.call("s3://bucket/x", flaky)
        assert flaky.calls == 1


@pytest.mark.slow  # a real server, which takes its time to start
def test_a_real_server_is_waited_for_while_a_run_is_opened_then_it_is_given_up(
    registry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")  # mlflow's own would bridge a start of some seconds
    monkeypatch.setenv(PATIENCE, "120")
    with ThreadPoolExecutor(1) as pool:
        opened = pool.submit(lambda: Curves("topics", {"epochs": 1}, tmp_path / "model"))
        arguments = ["server", "--backend-store-uri", registry, "--artifacts-destination", str(tmp_path / "artifacts")]
        with serving([*arguments, "--workers", "1"], tmp_path, port=port):
            curves = opened.result()
            client = tracking.client()
            (run,) = client.search_runs([tracking.experiment_id(client, "topics")])
            assert (run.info.run_id, run.info.status) == (curves.run_id, "RUNNING")
    told = capsys.readouterr().out
    assert "graft: note: MLflow, or its artifact store, does not answer (connection refused): trying on for" in told
    assert "answers again" in told
    monkeypatch.setenv(PATIENCE, "1")
    began = time.monotonic()
    with pytest.raises(
        ServiceError, match=r"failed while opening a run: connection refused. Check MLFLOW_TRACKING_URI"
    ):
        Curves("topics", {"epochs": 1}, tmp_path / "model")
    assert time.monotonic() - began < 20
