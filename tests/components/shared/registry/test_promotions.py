"""There is one champion, and the log tells the way to it: with one promoter at a time, and people in between."""

import os
import time

import pytest

from components.shared.errors import InputError, ServiceError
from components.shared.registry import promotions, tracking
from components.shared.registry.promotions.log import TAG, find_log
from tests.components.shared.promoters import (
    aliases_of,
    logs_of,
    make_versions,
    promote,
    roll_back,
    told,
    watching,
    writes_of,
)
from tests.servers import free_port


@pytest.mark.usefixtures("registry")
def test_a_promotion_and_the_way_back() -> None:
    make_versions("demo", 2)
    assert promote("demo", 1) == promotions.Outcome("promoted", ("It is better.",))
    assert promote("demo", 2, 1, who="kfp run 7").verdict == "promoted"
    assert aliases_of("demo") == {"champion": "2", "previous": "1"}
    tags = tracking.client().get_model_version("demo", "2").tags
    assert (tags["promoted_by"], tags["promoted_from"]) == ("kfp run 7", "1")
    assert (tags["promotion_reason"], tags["promotion"]) == ("It is better.", "2")
    assert roll_back("demo").verdict == "promoted"
    assert aliases_of("demo") == {"champion": "1", "previous": "2"}
    assert told("demo") == [
        ("", "1", "promotion", "done"),
        ("1", "2", "promotion", "done"),
        ("2", "1", "rollback", "done"),
    ]
    assert promotions.history("demo")[0].when == tracking.client().get_model_version("demo", "1").tags["promoted_at"]
    assert logs_of("demo") == ["promotions of demo"]


@pytest.mark.usefixtures("registry")
def test_twice_is_once() -> None:
    make_versions("demo", 1)
    promote("demo", 1)
    assert promote("demo", 1).verdict == "already champion"
    assert writes_of(promote, "demo", 1) == []


@pytest.mark.usefixtures("registry")
def test_what_was_compared_with_another_champion_is_refused() -> None:
    make_versions("demo", 3)
    promote("demo", 1)
    promote("demo", 2, 1)
    outcome = promote("demo", 3, 1)
    assert outcome.verdict == "refused"
    assert outcome.reasons[0] == "Version 3 was compared with version 1, but version 2 is champion now."
    assert "compared with no champion" in promote("demo", 3).reasons[0]
    assert aliases_of("demo") == {"champion": "2", "previous": "1"}


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("way", ["alias", "version"])
def test_the_champion_was_deleted_by_hand(way: str) -> None:
    make_versions("demo", 4)
    promote("demo", 1)
    promote("demo", 2, 1)
    if way == "alias":
        tracking.client().delete_registered_model_alias("demo", "champion")
    else:
        tracking.client().delete_model_version("demo", "2")
    outcome = promote("demo", 3, 2)
    assert outcome.verdict == "refused"
    assert "that one is champion no more, nor is any other. " not in outcome.reasons
    assert "graft models promote demo/3 --force" in outcome.reasons[1]
    with pytest.raises(InputError, match="'demo' has no champion to roll back from"):
        roll_back("demo")
    assert promote("demo", 4).verdict == "promoted"  # it was compared with none
    assert aliases_of("demo") == {"champion": "4", "previous": "1"}
    assert told("demo")[-2:] == [("2", "", "by hand", "done"), ("", "4", "promotion", "done")]


def test_an_alias_that_points_nowhere(registry: str) -> None:
    import sqlite3

    make_versions("demo", 2)
    promote("demo", 1)
    with sqlite3.connect(registry.removeprefix("sqlite:///")) as database:
        database.execute("UPDATE registered_model_aliases SET version = 99")
    database.close()
    assert promote("demo", 2, 99).verdict == "refused"
    assert promote("demo", 2).verdict == "promoted"
    assert aliases_of("demo") == {"champion": "2"}


@pytest.mark.usefixtures("registry")
def test_a_champion_made_by_hand_is_respected() -> None:
    make_versions("demo", 3)
    promote("demo", 1)
    tracking.client().set_registered_model_alias("demo", "champion", "2")
    assert promote("demo", 3, 1).verdict == "refused"
    assert promote("demo", 3, 2).verdict == "promoted"
    assert aliases_of("demo") == {"champion": "3", "previous": "2"}
    assert told("demo")[1:] == [("1", "2", "by hand", "done"), ("2", "3", "promotion", "done")]


@pytest.mark.usefixtures("registry")
def test_who_moves_the_alias_by_hand_meanwhile_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    make_versions("demo", 3)
    promote("demo", 1)
    client = tracking.client()

    def meanwhile(name: str) -> None:
        if name == "log_param" and aliases_of("demo")["champion"] == "1":
            client.set_registered_model_alias("demo", "champion", "3")

    with watching(meanwhile):
        outcome = promote("demo", 2, 1)
    assert (outcome.verdict, aliases_of("demo")) == ("refused", {"champion": "3"})
    assert outcome.reasons[0].startswith("Somebody made version 3 champion in MLflow meanwhile")
    assert told("demo")[1:] == [("1", "2", "promotion", "undone"), ("1", "3", "by hand", "done")]


@pytest.mark.usefixtures("registry")
def test_a_version_that_is_deleted_meanwhile() -> None:
    make_versions("demo", 2)
    promote("demo", 1)
    client = tracking.client()

    def meanwhile(name: str) -> None:
        if name == "set_registered_model_alias":
            client.delete_model_version("demo", "2")

    with watching(meanwhile):
        outcome = promote("demo", 2, 1)
    assert outcome == promotions.Outcome("refused", ("Version 2 was deleted meanwhile.",))
    assert aliases_of("demo") == {"champion": "1"}
    with pytest.raises(InputError, match="'demo' has no version '2'; it has '1'"):
        promote("demo", 2, 1)


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("by_hand", [False, True])
def test_what_a_person_took_back_is_promoted_by_a_person_only(by_hand: bool) -> None:
    make_versions("demo", 3)
    promote("demo", 1)
    promote("demo", 2, 1)
    if by_hand:
        tracking.client().set_registered_model_alias("demo", "champion", "1")
    else:
        roll_back("demo")
    outcome = promote("demo", 2, 1)
    assert outcome.verdict == "refused"
    assert outcome.reasons[1] == "Only a person can promote it again: graft models promote demo/2"
    assert promote("demo", 2, 1, kind=promotions.APPROVAL).verdict == "promoted"
    assert promote("demo", 3, 2).verdict == "promoted"
    roll_back("demo")
    assert promote("demo", 3, 2).verdict == "refused"


@pytest.mark.usefixtures("registry")
def test_no_clock_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    make_versions("demo", 3)
    promote("demo", 1)
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() - 3600)
    assert promote("demo", 2, 1).verdict == "promoted"
    monkeypatch.setattr(time, "time", lambda: clock() + 3600)
    assert promote("demo", 3, 1).verdict == "refused"
    assert roll_back("demo").verdict == "promoted"
    assert [change[:2] for change in told("demo")] == [("", "1"), ("1", "2"), ("2", "1")]
    hours = [entry.when for entry in promotions.history("demo")]
    assert hours[1] < hours[2] < hours[0]


@pytest.mark.usefixtures("registry")
def test_a_log_that_was_deleted() -> None:
    make_versions("demo", 2)
    promote("demo", 1)
    client = tracking.client()
    log = find_log(client, "demo")
    assert log is not None
    client.delete_run(log.run_id)
    with pytest.raises(InputError, match=f"was deleted. Restore it: mlflow runs restore --run-id {log.run_id}"):
        promote("demo", 2, 1)
    client.set_registered_model_tag("demo", TAG, "0" * 32)
    with pytest.raises(InputError, match="was deleted for good. To begin a new one, make a run"):
        promote("demo", 2, 1)
    client.set_registered_model_tag("demo", TAG, client.create_run("0").info.run_id)
    assert promote("demo", 2, 1).verdict == "promoted"
    client.restore_run(log.run_id)


@pytest.mark.usefixtures("registry")
def test_each_model_has_a_log_of_its_own() -> None:
    run = make_versions("demo", 2)
    client = tracking.client()
    client.create_registered_model("twin")  # trained by the same run
    client.create_model_version("twin", "/nowhere", run)
    for name in ("demo", "twin"):
        assert promote(name, 1).verdict == "promoted"
        assert told(name) == [("", "1", "promotion", "done")]
    client.delete_registered_model("twin")
    client.create_registered_model("twin")  # another one, of the same name
    client.create_model_version("twin", "/nowhere", run)
    assert told("twin") == []
    assert promote("twin", 1).verdict == "promoted"
    assert told("twin") == [("", "1", "promotion", "done")]


@pytest.mark.usefixtures("registry")
def test_a_model_whose_runs_are_gone() -> None:
    run = make_versions("demo", 2)
    tracking.client().delete_run(run)
    with pytest.raises(InputError, match="No version of 'demo' has a run in MLflow any more"):
        promote("demo", 1)
    assert aliases_of("demo") == {}


@pytest.mark.usefixtures("registry")
def test_a_long_reason_and_a_long_history() -> None:
    from mlflow.entities import Param

    make_versions("demo", 3)
    promote("demo", 1, why='"\\"' * 9000 + "\n\x00", who="ä" * 999)
    log = find_log(tracking.client(), "demo")
    assert log is not None
    (entry,) = log.entries()
    assert (entry.state, entry.why[-1], entry.who[-1]) == ("done", "…", "…")
    params = log.client.get_run(log.run_id).data.params
    state = params["promotion-0001-state"]
    added = []
    for number in range(2, 1202):
        added.append(Param(f"promotion-{number:04}", params["promotion-0001"]))
        added.append(Param(f"promotion-{number:04}-state", state))
    for begin in range(0, len(added), 100):
        log.client.log_batch(log.run_id, params=added[begin : begin + 100])
    assert promote("demo", 2, 1).verdict == "promoted"
    assert log.entries()[-1].number == 1202


def test_a_registry_that_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ada:secret@127.0.0.1:{free_port()}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    begun = time.monotonic()
    for act in (promote, roll_back):
        with pytest.raises(ServiceError) as caught:
            act("demo", "1")
        assert caught.value.exit_code == 1
        assert "secret" not in str(caught.value)
    assert time.monotonic() - begun < 30


def test_who_acts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ada")
    assert promotions.actor() == "ada"
    assert promotions.actor("run 7") == "run 7"
    monkeypatch.setenv("GRAFT_ACTOR", "the night shift")
    assert promotions.actor("run 7") == "the night shift"
    for name in ("GRAFT_ACTOR", "LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_001)
    assert promotions.actor() == "unknown"
