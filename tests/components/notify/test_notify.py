import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from components.notify import webhook
from components.notify.notify import NotifyReport, NotifySettings, notify
from components.shared.errors import InputError
from components.shared.process.step import run_step
from components.shared.registry import records
from components.shared.registry.records import PipelineRun
from tests.kubeflow_server import kubeflow_server
from tests.servers import WEBHOOK_TOKEN, Webhook, free_port, webhook_server

RUN = "run-7"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    """A webhook whose address is in the environment; nobody waits long for it."""
    monkeypatch.setattr(webhook, "PAUSES", (0.01, 0.01, 0.01))
    with webhook_server() as running:
        monkeypatch.setenv(webhook.ADDRESS, running.address)
        yield running


def register(version_tags: dict[str, str], champion: bool = False) -> str:
    """Registers a version of "topics" as a run of the pipeline would; returns its number."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient()
    with contextlib.suppress(MlflowException):  # it is there already
        client.create_registered_model("topics")
    version = client.create_model_version("topics", "file:///nowhere", tags=version_tags).version
    if champion:
        client.set_registered_model_alias("topics", "champion", version)
    return str(version)


def tell(state: str = "SUCCEEDED", **changes: Any) -> NotifyReport:
    return notify(NotifySettings(**{"name": "topics", "state": state, "pipeline_run": RUN, **changes}))


def text(server: Webhook) -> str:
    (body,) = server.taken
    assert set(body) == {"text"}
    return str(body["text"])


class TestVerdicts:
    """What the registry tells of the version that the run made."""

    def test_a_first_model_is_promoted(self, registry: str, server: Webhook) -> None:
        register({"pipeline_run": RUN, "decision": "promote", "reasons": "There was no champion."}, champion=True)
        report = tell()
        assert (report.event, report.sent, report.told) == ("promotion", True, "127.0.0.1 was told: promoted")
        assert text(server) == "topics: version 1 is the champion. There was no champion."

    def test_a_better_model_is_promoted(self, registry: str, server: Webhook) -> None:
        register({"pipeline_run": "run-6"}, champion=True)
        tags = {"decision": "promote", "reasons": "It gains 0.02.", "compared_with": "1"}
        register({"pipeline_run": RUN, **tags}, champion=True)
        tell(page="https://kubeflow.example.com/#/runs/details/")
        told = "topics: version 2 is the champion, in place of version 1. It gains 0.02."
        assert text(server) == f"{told} https://kubeflow.example.com/#/runs/details/{RUN}"

    def test_a_worse_one_is_refused(self, registry: str, server: Webhook) -> None:
        register({"pipeline_run": "run-6"}, champion=True)
        register({"pipeline_run": RUN, "decision": "refuse", "reasons": "It loses 0.1.", "compared_with": "1"})
        assert tell().event == "refusal"
        assert text(server) == "topics: version 2 was not promoted; version 1 stays champion. It loses 0.1."

    def test_one_awaits_approval(self, registry: str, server: Webhook) -> None:
        register({"pipeline_run": RUN, "decision": "await approval", "reasons": "It is better."})
        assert tell().event == "refusal"
        assert text(server) == (
            "topics: version 1 awaits approval (graft models promote topics/1). It is better."
        )  # fmt: skip

    def test_another_run_was_faster(self, registry: str, server: Webhook) -> None:
        register({"pipeline_run": RUN, "decision": "promote", "reasons": "It is better.", "compared_with": ""})
        register({"pipeline_run": "run-8"}, champion=True)
        assert tell().event == "refusal"
        assert text(server) == (
            "topics: version 1 was not promoted; version 2 stays champion. It is better than what it was "
            "compared with, but that was champion no more, or a person took it back."
        )

    def test_one_was_promoted_and_another_has_come_since(self, registry: str, server: Webhook) -> None:
        register({"pipeline_run": RUN, "decision": "promote", "promoted_by": RUN}, champion=True)
        register({"pipeline_run": "run-8"}, champion=True)
        assert tell().event == "promotion"

    def test_the_champion_was_trained_once_more(self, registry: str, server: Webhook) -> None:
        register({"pipeline_run": RUN, "decision": "refuse", "compared_with": "1"}, champion=True)
        assert tell().event == ""

    @pytest.mark.parametrize("versions", [0, 1])
    def test_nothing_has_changed(self, registry: str, server: Webhook, versions: int) -> None:
        for _ in range(versions):
            register({"pipeline_run": "run-6"}, champion=True)
        assert tell() == NotifyReport("", False, "nothing has changed: there is nothing to tell")
        assert server.requests == 0


def write(step: str, run: str = RUN, **entry: Any) -> None:
    """Writes down what a step of a run came to."""
    records.leave(PipelineRun("topics", run), step, entry)


class TestSeveralRunsAtOnce:
    """Of one model: what one writes down is its own."""

    def test_of_three_that_found_nothing_new_nobody_is_told(self, registry: str, server: Webhook) -> None:
        register({"pipeline_run": "run-6"}, champion=True)
        for run in ("run-7", "run-8", "run-9"):
            write("detect", run, changed=False)
        assert [tell("RUNNING", pipeline_run=run).event for run in ("run-7", "run-8", "run-9")] == ["", "", ""]
        assert server.requests == 0

    def test_of_those_that_trained_the_same_model_one_promoted_it(self, registry: str, server: Webhook) -> None:
        register({"pipeline_run": "run-7", "promoted_by": "run-8"}, champion=True)
        for run in ("run-7", "run-8", "run-9"):
            write("register", run, version="1", decision="promote", reasons="It is better.")
            verdict = "promoted" if run == "run-8" else "already champion"
            write("promote", run, verdict=verdict, version="1", before="", champion="1", reasons="It is better.")
        for state in ("SUCCEEDED", "RUNNING"):
            events = [tell(state, pipeline_run=run).event for run in ("run-7", "run-8", "run-9")]
            assert events == ["", "promotion", ""]
        assert {body["text"] for body in server.taken} == {"topics: version 1 is the champion. It is better."}

    def test_a_promotion_whose_step_was_killed_before_it_wrote_that_down(self, registry: str, server: Webhook) -> None:
        register({"pipeline_run": RUN, "promoted_by": RUN, "promotion_reason": "It is better."}, champion=True)
        write("register", version="1", decision="promote")
        write("promote", verdict="already champion", version="1", before="", champion="1", reasons="It was already.")
        assert tell().event == "promotion"
        assert text(server) == "topics: version 1 is the champion. It is better."

    def test_one_was_compared_with_a_champion_that_is_none_any_more(self, registry: str, server: Webhook) -> None:
        register({"pipeline_run": RUN, "decision": "promote"})
        told = "Version 1 was compared with no champion, since there was none, but version 2 is champion now."
        write("promote", verdict="refused", version="1", before="", champion="2", reasons=told)
        assert tell().event == "refusal"
        assert text(server) == f"topics: version 1 was not promoted; version 2 stays champion. {told}"


class TestFailures:
    def test_the_step_and_its_sentence_are_told(
        self, registry: str, server: Webhook, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The step knows its run by the environment; the webhook hears no secret, and nothing endless."""
        monkeypatch.setenv(records.MODEL, "topics")
        monkeypatch.setenv(records.RUN, "7f3a")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "sEcr3t/with+signs")
        wrong = "t.jsonl has no column 'nolabel'. http://a:b@host/ sEcr3t/with+signs " + "x" * 9999
        fail(InputError(wrong), "ingest")
        assert tell("FAILED").sent
        told = text(server)
        assert told.startswith(
            "topics: the run failed. ingest: t.jsonl has no column 'nolabel'. http://***@host/ *** x"
        )
        assert len(told) < 1500

    def test_a_fault_and_a_stop_are_told_as_such(
        self, registry: str, server: Webhook, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(records.MODEL, "topics")
        monkeypatch.setenv(records.RUN, RUN)
        fail(ZeroDivisionError("division by zero"), "finetune", ZeroDivisionError)
        tell("FAILED", template={"text": "$step: $error"})
        fail(KeyboardInterrupt(), "finetune")
        assert tell("RUNNING").event == "failure"
        assert [body["text"] for body in server.taken] == [
            "finetune: finetune: a fault of its own, ZeroDivisionError: division by zero",
            "topics: the run was stopped. finetune was told to end: somebody cancelled the run, its node was needed, "
            "or its time was over.",
        ]

    def test_what_a_second_attempt_made_good_is_forgotten(
        self, registry: str, server: Webhook, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(records.MODEL, "topics")
        monkeypatch.setenv(records.RUN, RUN)
        fail(KeyboardInterrupt(), "finetune")
        monkeypatch.setenv("KFP_RETRY_INDEX", "1")
        run_step(lambda: None, "finetune")
        assert tell("RUNNING").event == "failure"
        assert text(server).startswith("topics: the run failed. One of its steps did not end")

    @pytest.mark.parametrize("state", ["RUNNING", "FAILED"])
    def test_a_run_that_somebody_cancelled(
        self, registry: str, server: Webhook, state: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(records.MODEL, "topics")
        monkeypatch.setenv(records.RUN, RUN)
        fail(KeyboardInterrupt(), "finetune")
        with kubeflow_server(token=None) as kubeflow:
            kubeflow.runs[RUN] = {"run_id": RUN, "state": "RUNNING"}
            kubeflow.terminate(RUN)
            page = f"{kubeflow.url}/#/runs/details/"
            tell(state, page=page)
            told = "topics: the run was stopped. Somebody cancelled it while finetune was at work."
            assert text(server) == f"{told} {page}{RUN}"

    def test_what_killed_steps_left_open_in_mlflow_is_ended(self, registry: str, server: Webhook) -> None:
        from mlflow import MlflowClient

        client = MlflowClient()
        experiment = client.create_experiment("topics")
        left, other = (client.create_run(experiment, tags={"graft.pipeline_run": run}) for run in (RUN, "run-8"))
        tell("FAILED")
        assert client.get_run(left.info.run_id).info.status == "KILLED"
        assert client.get_run(other.info.run_id).info.status == "RUNNING"


def fail(error: BaseException, step: str, kind: type[BaseException] = SystemExit) -> None:
    """Lets a step fail."""

    def break_down() -> None:
        raise error

    with pytest.raises(kind):
        run_step(break_down, step)


class TestStates:
    """As kfp.local and Kubeflow's own server name them."""

    @pytest.mark.parametrize("state", ["SUCCEEDED", "COMPLETE", "CACHED", "RUNNING"])
    def test_a_run_that_made_a_version_is_judged_by_it(self, registry: str, server: Webhook, state: str) -> None:
        register({"pipeline_run": RUN, "decision": "promote"}, champion=True)
        assert tell(state).event == "promotion"

    @pytest.mark.parametrize("state", ["FAILED", "CANCELED", "whatever comes"])
    def test_a_failure_is_one_whatever_it_made(self, registry: str, server: Webhook, state: str) -> None:
        assert tell(state).event == "failure"
        register({"pipeline_run": RUN, "decision": "promote"}, champion=True)
        tell(state)
        first, second = (body["text"] for body in server.taken)
        assert first == "topics: the run failed. One of its steps failed."
        assert second == "topics: the run failed after it had registered version 1. One of its steps failed."

    def test_a_run_left_open_found_nothing_new_or_was_killed(self, registry: str, server: Webhook) -> None:
        """Kubeflow leaves it so after a condition that does not hold; `detect` writes down, where it is that."""
        register({})
        write("detect", changed=False)
        assert tell("RUNNING").event == ""
        assert tell("RUNNING", pipeline_run="run-8").event == "failure"
        assert text(server).startswith("topics: the run failed. One of its steps did not end: its pod may have been")


def test_a_template_is_filled_in_whatever_the_reasons_hold(registry: str, server: Webhook) -> None:
    reasons = 'It says "no", {and} \\ $model\nmore'
    register({"pipeline_run": RUN, "decision": "refuse", "reasons": reasons, "compared_with": ""})
    template = {
        "title": "$model/$version: ${verdict}",
        "blocks": [{"type": "section", "text": "$reasons"}, "$event of $run for $$1"],
        "color": 3,
        "unfurl": False,
        "$model": "$champion$error$page",
    }
    assert tell(template=template).sent
    assert server.taken == [
        {
            "title": "topics/1: refused",
            "blocks": [{"type": "section", "text": reasons}, f"refusal of {RUN} for $1"],
            "color": 3,
            "unfurl": False,
            "$model": "",
        }
    ]


def test_only_the_events_that_were_asked_for_are_told(registry: str, server: Webhook) -> None:
    register({"pipeline_run": RUN, "decision": "refuse"})
    assert tell(events=["promotion", "failure"]).told == "not told: events has no refusal"
    assert tell("FAILED", events=["promotion", "refusal"]).told == "not told: events has no failure"
    assert server.requests == 0
    assert tell(events=["refusal"]).sent


class TestDelivery:
    @pytest.mark.parametrize("status", [429, 500, 503])
    def test_it_is_tried_again(self, registry: str, server: Webhook, status: int) -> None:
        server.answers = [(status, {"Retry-After": "0"}), (status, {"Retry-After": "Mon, 01 Jan 2030 00:00:00 GMT"})]
        assert tell("FAILED").sent
        assert (server.requests, len(server.taken)) == (3, 1)

    @pytest.mark.parametrize(("status", "tries"), [(404, 1), (400, 1), (503, 4)])
    def test_what_is_not_taken_is_told(
        self, registry: str, server: Webhook, status: int, tries: int, capsys: pytest.CaptureFixture[str]
    ) -> None:
        server.answers = [(status, {})] * 9
        assert not tell("FAILED").sent
        assert server.requests == tries
        told = capsys.readouterr().out
        assert f"no notice was sent: 127.0.0.1 did not take the notice: it answered {status}." in told
        assert WEBHOOK_TOKEN not in told

    def test_nobody_listens(self, registry: str, server: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(webhook.ADDRESS, f"http://127.0.0.1:{free_port()}/{WEBHOOK_TOKEN}")
        assert tell("FAILED").told == "no notice was sent: 127.0.0.1 did not take the notice: connection refused."

    def test_an_answer_that_does_not_come(
        self, registry: str, server: Webhook, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import socket

        monkeypatch.setattr(webhook, "TIMEOUT", (0.05, 0.05))
        with socket.create_server(("127.0.0.1", 0)) as silent:
            monkeypatch.setenv(webhook.ADDRESS, f"http://127.0.0.1:{silent.getsockname()[1]}/{WEBHOOK_TOKEN}")
            assert tell("FAILED").told.endswith("127.0.0.1 did not take the notice: it did not answer in time.")

    @pytest.mark.parametrize(
        "address",
        [
            "hooks.example.com/T0",
            "ftp://hooks.example.com/T0",
            "https://user:T0@example.com",
            "https://",
            "https://a b",
        ],
    )
    def test_what_is_no_address_is_told_and_not_shown(
        self, address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv(webhook.ADDRESS, address)
        assert not tell().sent
        told = capsys.readouterr().out
        assert "GRAFT_NOTIFY_URL is no address of a webhook: https://HOST/… was expected" in told
        assert "T0" not in told

    def test_a_secret_that_ends_with_a_new_line_is_an_address(
        self, registry: str, server: Webhook, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(webhook.ADDRESS, f"{server.address}\n")
        assert tell("FAILED").sent


def test_without_an_address_nobody_is_told(registry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(webhook.ADDRESS, raising=False)
    assert tell("FAILED").told == "GRAFT_NOTIFY_URL is not set: nobody is told"


class TestWithoutARegistry:
    @pytest.fixture(autouse=True)
    def down(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:hush@127.0.0.1:{free_port()}")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    @pytest.mark.parametrize(
        ("state", "told"),
        [
            ("FAILED", "topics: the run failed. One of its steps failed."),
            ("SUCCEEDED", "topics: the run ended. What it came to is not known: the registry did not answer."),
        ],
    )
    def test_what_is_known_is_told(
        self, server: Webhook, state: str, told: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert tell(state).sent
        assert text(server) == told
        said = capsys.readouterr().out
        assert "graft: warning: MLflow at http://***@127.0.0.1" in said
        assert "hush" not in said

    def test_as_where_its_address_is_not_set(self, server: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("MLFLOW_TRACKING_URI")
        assert tell().event == "unknown"
        assert text(server).endswith("the registry did not answer.")


def test_a_fault_of_its_own_is_told_by_its_kind(server: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(*_: object) -> None:
        raise KeyError(server.address)

    monkeypatch.setattr("components.notify.notify.find_outcome", break_down)
    assert tell() == NotifyReport("", False, "no notice was sent: KeyError")


def test_the_command_ends_well_whatever_happens(registry: str, server: Webhook) -> None:
    def command(**environment: str) -> "subprocess.CompletedProcess[str]":
        arguments = [
            "--name",
            "topics",
            "--state",
            "FAILED",
            "--events",
            "failure",
            "--template",
            '{"text": "$verdict"}',
        ]
        return subprocess.run(
            [sys.executable, "-m", "components.notify", *arguments],
            env={**os.environ, **environment}, capture_output=True, text=True, timeout=120,
        )  # fmt: skip

    done = command()
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout[done.stdout.index("\n{") :])["sent"] is True
    assert server.taken == [{"text": "failed"}]
    nowhere = command(**{webhook.ADDRESS: "nowhere"})
    assert nowhere.returncode == 0
    assert "no notice was sent" in nowhere.stdout
    for told in (done, nowhere):
        assert WEBHOOK_TOKEN not in told.stdout + told.stderr
        assert not [line for line in told.stdout.splitlines() if line.startswith(("graft: failure", "graft: wrong"))]
