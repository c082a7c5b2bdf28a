"""`graft models`: what people see of the registry, and how they say which version is champion."""

import re
import time

import pytest

from components.shared.registry import promotions, tracking
from pipelines.command.cli import main
from tests.components.shared.promoters import aliases_of, make_versions, promote
from tests.servers import free_port

pytestmark = pytest.mark.usefixtures("registry")


@pytest.fixture(autouse=True)
def actor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFT_ACTOR", "ada")


def graft(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Runs `graft models …`; returns the exit code and what it printed, errors too."""
    code = main(["models", *arguments])
    printed = capsys.readouterr()
    return code, printed.out + printed.err


def tag(version: int, **tags: str) -> None:
    for name, value in tags.items():
        tracking.client().set_model_version_tag("demo", str(version), name, value)


def test_a_person_approves_the_challenger(capsys: pytest.CaptureFixture[str]) -> None:
    make_versions("demo", 2)
    tag(2, decision="await approval", compared_with="1")
    tracking.client().set_registered_model_alias("demo", "challenger", "2")
    promote("demo", 1)
    code, printed = graft(capsys, "promote", "demo", "--reason", "The shop likes it.")
    assert (code, printed) == (0, "champion  demo 2; it was 1, which is previous now\n")
    assert aliases_of("demo") == {"challenger": "2", "champion": "2", "previous": "1"}
    newest = promotions.history("demo")[0]
    assert (newest.kind, newest.who, newest.why) == ("approval", "ada", "The shop likes it.")
    assert graft(capsys, "promote", "demo") == (0, "Version 2 is champion already.\n")


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"decision": "refuse", "reasons": "It is worse."}, "demo 2 was refused: It is worse."),
        ({"decision": "promote", "compared_with": "7"}, "compared with version 7, but version 1 is champion now."),
        ({}, "compared with no champion, since there was none, but version 1 is champion now."),
    ],
)
def test_what_is_promoted_by_force_only(tags: dict[str, str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    make_versions("demo", 2)
    tag(2, **tags)
    promote("demo", 1)
    code, printed = graft(capsys, "promote", "demo/2")
    assert code == 2
    assert message in printed
    assert "graft models promote demo/2 --force" in printed
    assert aliases_of("demo") == {"champion": "1"}
    assert graft(capsys, "promote", "demo/2", "--force")[0] == 0
    assert aliases_of("demo") == {"champion": "2", "previous": "1"}
    assert promotions.history("demo")[0].why == "ada promoted it."


def test_rolling_back_is_one_command(capsys: pytest.CaptureFixture[str]) -> None:
    make_versions("demo", 3)
    for version in (1, 2, 3):
        promote("demo", version, version - 1 or "")
    assert graft(capsys, "rollback", "demo") == (0, "champion  demo 2; it was 3, which is previous now\n")
    assert aliases_of("demo") == {"champion": "2", "previous": "3"}
    code, printed = graft(capsys, "rollback", "demo", "--to", "1", "--reason", "It was the best.")
    assert (code, printed) == (0, "champion  demo 1; it was 2, which is previous now\n")
    assert promotions.history("demo")[0].why == "It was the best."
    assert graft(capsys, "rollback", "demo", "--to", "1") == (0, "Version 1 is champion already.\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rollback", "demo"], "no version with the alias 'previous' to roll back to: none was champion before 1"),
        (["rollback", "demo", "--to", "9"], "'demo' has no version '9'; it has '2', '1'."),
        (["rollback", "demo", "--to", "x"], "'demo' has no version 'x'; it has '2', '1'."),
        (["rollback", "dem"], "The registry has no model 'dem'; there are 'demo'. Did you mean 'demo'?"),
        (["promote", "demo"], "'demo' has no alias 'challenger'; it has aliases 'champion'"),
        (["promote", "demo/9"], "'demo' has no version '9'"),
        (["promote", "demo@best"], "'demo' has no alias 'best'"),
        (["show", "dem"], "The registry has no model 'dem'"),
    ],
)
def test_what_is_not_there(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    make_versions("demo", 2)
    promote("demo", 1)
    code, printed = graft(capsys, *arguments)
    assert code == 2
    assert message in printed
    assert aliases_of("demo") == {"champion": "1"}


def test_there_is_no_champion_to_roll_back_from(capsys: pytest.CaptureFixture[str]) -> None:
    make_versions("demo", 1)
    code, printed = graft(capsys, "rollback", "demo")
    assert code == 2
    assert "'demo' has no champion to roll back from" in printed
    assert graft(capsys, "promote", "demo/1")[0] == 0  # nobody refused it, and there was none to compare with


def test_the_history_tells_who_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    make_versions("demo", 3, test_accuracy="0.9")
    promote("demo", 1, who="nightly 1", why="There is no champion yet. " + "It is better than all baselines. " * 5)
    promote("demo", 2, 1, who="nightly 2", why="[bold] It is better.")
    graft(capsys, "rollback", "demo", "--reason", "It is slow.")
    tracking.client().set_registered_model_alias("demo", "champion", "3")
    code, printed = graft(capsys, "show", "demo")
    assert code == 0
    versions, _, history = printed.partition("champions\n")
    assert next(line for line in versions.splitlines() if not line.startswith(" ")).startswith("demo 3 @champion  ")
    assert "  promoted_by          ada" in versions
    lines = [re.sub(r"^ +\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "", line) for line in history.splitlines()]
    assert [line.strip() for line in lines] == [
        "?                     1 → 3  by hand, in MLflow",
        "2 → 1  rollback by ada: It is slow.",
        "1 → 2  promotion by nightly 2: [bold] It is better.",
        "none → 1  promotion by nightly 1: There is no champion yet." + " It is better than all baselines." * 5,
    ]


def test_the_list_tells_what_the_champion_reaches(capsys: pytest.CaptureFixture[str]) -> None:
    make_versions("demo", 2)
    tag(1, test_accuracy="0.9", verdict="better")
    tag(2, test_accuracy="0.4", verdict="worse")
    assert re.search(r"demo +2 +0\.4000 +worse", graft(capsys, "list")[1])
    promote("demo", 1)
    tracking.client().set_registered_model_alias("demo", "challenger", "2")
    printed = graft(capsys, "list")[1]
    assert re.search(
        r"^ *demo +2 +challenger → 2, champion → 1 +0\.9000 +better +\d{4}-\d\d-\d\d *$", printed, re.MULTILINE
    )


def test_a_registry_that_is_down(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ada:secret@127.0.0.1:{free_port()}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    begun = time.monotonic()
    for arguments in (["promote", "demo"], ["rollback", "demo"], ["show", "demo"], ["list"]):
        code, printed = graft(capsys, *arguments)
        assert code == 1
        assert "connection refused. Check MLFLOW_TRACKING_URI" in printed
        assert "secret" not in printed
    assert time.monotonic() - begun < 60
