import datetime
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.shared.errors import GraftError, InputError
from pipelines.cluster import compilation, kubeflow, schedule, submit
from pipelines.cluster.kubeflow import connect
from pipelines.command import cli
from pipelines.jobs.cron import on_cluster
from pipelines.jobs.job import Job, load_job
from tests.kubeflow_server import kubeflow_server
from tests.kubeflow_state import TOKEN, Kubeflow
from tests.pipelines.clusters import JOB, deployment

WINTER = datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.UTC)


PACKAGES: dict[tuple[str, str], bytes] = {}


@pytest.fixture(autouse=True)
def compile_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiling takes most of the time, and gives the same for the same job and deployment, whatever its schedule."""

    def compile_pipeline(job: Job, output: Path, *more: Any) -> None:
        key = (job.model_dump_json(exclude={"schedule"}), re.sub(r"127.0.0.1:\d+", "", repr(more)))
        if key not in PACKAGES:
            compilation.compile_pipeline(job, output, *more)
            PACKAGES[key] = output.read_bytes()
        output.write_bytes(PACKAGES[key])

    monkeypatch.setattr(submit, "compile_pipeline", compile_pipeline)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kubeflow]:
    """A server that fails the test if ever two recurring runs are enabled."""
    monkeypatch.setenv("GRAFT_KFP_TOKEN", TOKEN)
    monkeypatch.setattr(kubeflow, "PAUSES", ())
    most = 0

    def watch(running: Kubeflow) -> None:
        nonlocal most
        most = max(most, len([item for item in running.enabled() if item["display_name"].startswith("graft-")]))

    with kubeflow_server(watch=watch) as running:
        yield running
    assert most <= 1


def make_job(cron: str = "0 3 * * MON", model: str = "sentiment", **changes: Any) -> Job:
    given = yaml.safe_load(JOB.read_text())
    return Job.model_validate({**given, "model": model, "schedule": {"cron": cron, **changes}}, context=given)


def apply(server: Kubeflow, job: Job, **changes: Any) -> schedule.Applied:
    there = deployment(server.url, **changes)
    return schedule.apply(connect(there), there, job)


def change(server: Kubeflow, verb: str, model: str = "sentiment") -> list[str]:
    there = deployment(server.url)
    return list(getattr(schedule, verb)(connect(there), there, model))


def crons(server: Kubeflow) -> list[str]:
    return [item["trigger"]["cron_schedule"]["cron"] for item in server.enabled()]


def test_apply_creates_leaves_alone_and_replaces(server: Kubeflow) -> None:
    first = apply(server, make_job(max_concurrency=2, catchup=True))
    assert (first.action, first.enabled) == ("created", True)
    (made,) = server.recurring.values()
    assert made["trigger"] == {"cron_schedule": {"cron": "0 0 3 * * MON"}}
    assert (int(made["max_concurrency"]), made["no_catchup"], made["service_account"]) == (2, False, "runner")
    assert made["runtime_config"] == {"parameters": make_job().arguments(), "pipeline_root": "s3://bucket/graft"}

    before = len(server.calls)
    assert apply(server, make_job(max_concurrency=2, catchup=True)).action == "unchanged"
    assert all(call.startswith("GET") for call in server.calls[before:])

    assert apply(server, make_job("30 4 * * *")).action == "replaced"
    assert crons(server) == ["0 30 4 * * *"]
    assert len(server.recurring) == 1


def test_a_schedule_that_fires_while_the_last_run_works_begins_none_and_makes_up_for_none(server: Kubeflow) -> None:
    """Kubeflow begins none while `max_concurrency` are at work (its ScheduledWorkflow), as CronJob's Forbid."""
    apply(server, make_job())
    (made,) = server.recurring.values()
    assert (int(made["max_concurrency"]), made["no_catchup"]) == (1, True)


def test_retraining_is_what_a_schedule_is_for(server: Kubeflow) -> None:
    job = make_job(pipeline="retrain")
    apply(server, job)
    (made,) = server.recurring.values()
    arguments = made["runtime_config"]["parameters"]
    assert arguments == job.arguments("retrain")
    assert arguments.keys() > make_job().arguments().keys()
    (version,) = server.versions.values()
    assert version["pipeline_spec"]["pipelineInfo"]["name"] == "graft-retrain"
    assert [item["name"] for item in server.pipelines.values()] == ["graft-retrain"]
    assert apply(server, job).action == "unchanged"
    assert apply(server, make_job()).action == "replaced"
    assert len(server.recurring) == 1


CHANGES: list[tuple[Job, dict[str, Any]]] = [
    (make_job("1 3 * * MON"), {}),
    (make_job(max_concurrency=3), {}),
    (make_job(catchup=True), {}),
    (make_job(pipeline="retrain"), {}),
    (make_job().model_copy(update={"backbone": "prajjwal1/bert-tiny"}), {}),
    (make_job(), {"experiment": "other"}),
    (make_job(), {"service_account": "other"}),
]


@pytest.mark.parametrize(("job", "there"), CHANGES)
def test_whatever_would_run_otherwise_is_replaced(server: Kubeflow, job: Job, there: dict[str, Any]) -> None:
    apply(server, make_job())
    assert apply(server, job, **there).action == "replaced"
    assert len(server.recurring) == len(server.enabled()) == 1


def test_the_gap_is_one_call_and_runs_that_are_under_way_go_on(server: Kubeflow) -> None:
    apply(server, make_job())
    (old,) = server.recurring
    server.runs["run"] = {"recurring_run_id": old, "state": "RUNNING"}
    before = len(server.calls)
    apply(server, make_job("0 4 * * *"))
    (new,) = server.recurring
    changes = [call.rpartition("/")[2] for call in server.calls[before:] if not call.startswith("GET")]
    assert changes == ["upload_version", "recurringruns", f"{old}:disable", f"{new}:enable", old][1:]
    assert server.runs["run"]["state"] == "RUNNING"


def test_what_others_made_is_never_touched(server: Kubeflow) -> None:
    apply(server, make_job())
    (mine,) = server.recurring.values()
    mark = mine["description"]
    foreign = [
        {"display_name": mine["display_name"], "description": "made by hand"},
        {"display_name": "nightly", "description": mark},
        {"display_name": mine["display_name"], "description": mark.replace("sentiment", "sentiments")},
        {"display_name": mine["display_name"], "description": "graft schedule {broken}"},
        {"display_name": mine["display_name"]},
    ]
    for number, other in enumerate(foreign):
        made = {**mine, "description": "", **other, "recurring_run_id": f"foreign-{number}"}
        server.recurring[f"foreign-{number}"] = made
    server.watch = lambda _: None  # of these several are enabled
    apply(server, make_job(model="sentiment-2"))
    kept = {key: dict(item) for key, item in server.recurring.items() if item is not mine}
    apply(server, make_job("0 4 * * *"))
    change(server, "pause")
    change(server, "delete")
    assert server.recurring == kept
    assert len(kept) == len(foreign) + 1


def test_a_job_among_many_is_found_on_a_later_page(server: Kubeflow) -> None:
    apply(server, make_job())
    (key, mine), *_ = server.recurring.items()
    others = {f"other-{n}": {**mine, "description": "", "recurring_run_id": f"other-{n}"} for n in range(250)}
    server.recurring = {**{k: {**v, "status": "DISABLED"} for k, v in others.items()}, key: mine}
    assert apply(server, make_job()).action == "unchanged"


def test_a_paused_schedule_stays_paused_until_it_is_resumed(server: Kubeflow) -> None:
    apply(server, make_job())
    change(server, "pause")
    same = apply(server, make_job())
    assert (same.action, same.enabled) == ("unchanged", False)
    other = apply(server, make_job("0 4 * * *"))
    assert (other.action, other.enabled, crons(server)) == ("replaced", False, [])
    change(server, "resume")
    assert crons(server) == ["0 0 4 * * *"]
    assert apply(server, make_job("0 5 * * *")).enabled
    assert crons(server) == ["0 0 5 * * *"]
    change(server, "delete")
    assert not server.recurring
    for verb in ("pause", "resume", "delete"):
        with pytest.raises(InputError, match="Graft has made no schedule for 'sentiment'"):
            change(server, verb)


FAULTS = ["unavailable", "lost", "dead", "500"]


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize("kind", FAULTS)
def test_a_replacement_that_is_cut_short_at_any_call_is_mended_by_the_next(
    server: Kubeflow, kind: str, paused: bool
) -> None:
    apply(server, make_job("0 0 * * *"))
    if paused:
        change(server, "pause")
    cut = 0
    for number in itertools.count():
        hour = number % 23 + 1
        server.faults.clear()
        server.fail(".*", kind, after=number)
        try:
            apply(server, make_job(f"0 {hour} * * *"))
        except GraftError:
            cut += 1
        done = bool(server.faults[0].times)
        server.faults.clear()
        apply(server, make_job(f"0 {hour} * * *"))
        assert crons(server) == ([] if paused else [f"0 0 {hour} * * *"]), f"cut short at call {number}"
        assert len(server.recurring) == 1
        if done:
            break
    assert cut >= (5 if paused else 7)  # looks for pipeline, version, experiment, recurring runs; and each change


def test_a_replacement_that_is_cut_short_can_be_taken_back_paused_or_resumed(server: Kubeflow) -> None:
    for number, mend in enumerate(["pause", "resume", "apply the old one"]):
        old, new = make_job(f"0 {number} * * *"), make_job(f"30 {number} * * *")
        apply(server, old)
        server.fail("POST .*:enable", "dead", times=9)
        with pytest.raises(GraftError):
            apply(server, new)
        server.faults.clear()
        assert (len(server.recurring), crons(server)) == (2, [])
        if mend == "apply the old one":
            assert apply(server, old).action == "mended"
            assert crons(server) == [f"0 0 {number} * * *"]
        else:
            change(server, mend)
            assert crons(server) == ([f"0 30 {number} * * *"] if mend == "resume" else [])
            apply(server, new)
            assert crons(server) == ([f"0 30 {number} * * *"] if mend == "resume" else [])
        assert len(server.recurring) == 1
        change(server, "delete")


@pytest.mark.parametrize("call", ["POST .*/recurringruns", "POST .*:disable", "POST .*:enable", "DELETE .*"])
@pytest.mark.parametrize("kind", [*FAULTS, "late"])
def test_a_fault_that_passes_is_got_over_at_once(
    server: Kubeflow, call: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubeflow, "PAUSES", (0.01, 0.01, 0.01))
    if kind == "late":
        monkeypatch.setattr(kubeflow, "TIMEOUT", (5.0, 0.5))
    apply(server, make_job())
    server.fail(call, kind, times=2)
    assert apply(server, make_job("0 4 * * *")).action == "replaced"
    assert server.faults[0].times < 2
    assert (len(server.recurring), crons(server)) == (1, ["0 0 4 * * *"])


def test_two_that_apply_at_once_leave_one(server: Kubeflow) -> None:
    """The other one applies the same between this one's look and its creation."""
    apply(server, make_job())
    server.lock = type("NoLock", (), {"__enter__": lambda _: None, "__exit__": lambda *_: None})()
    count, watch = len(server.recurring), server.watch

    def overtake(running: Kubeflow) -> None:
        watch(running)
        if running.calls[-1] == "GET /apis/v2beta1/recurringruns" and len(running.recurring) == count:
            running.watch = watch
            apply(running, make_job("0 4 * * *"))

    server.watch = overtake
    apply(server, make_job("0 4 * * *"))
    assert server.watch is watch  # it did
    apply(server, make_job("0 4 * * *"))
    assert (len(server.recurring), crons(server)) == (1, ["0 0 4 * * *"])


CRONS = [
    ("0 3 * * MON", "UTC", "UTC", "0 0 3 * * MON"),
    ("*/15 8-18 * * 1-5", "Europe/Berlin", "Europe/Berlin", "0 */15 8-18 * * 1-5"),
    ("0 3 * * 7", "UTC", "UTC", "0 0 3 * * 0"),
    ("0 3 * * FRI-7", "UTC", "UTC", "0 0 3 * * 0,5,6"),
    ("0 3 * * *", "Europe/Berlin", "UTC", "0 0 2 * * *"),
    ("30 0 * * MON", "Europe/Berlin", "UTC", "0 30 23 * * 0"),
    ("30 23 * * SAT", "America/New_York", "UTC", "0 30 4 * * 0"),
    ("0,30 0 * * SUN-MON", "Europe/Berlin", "UTC", "0 0,30 23 * * 0,6"),
    ("0 3 * * *", "Asia/Kolkata", "UTC", "0 30 21 * * *"),
    ("0 * * * *", "Asia/Kolkata", "UTC", "0 30 * * * *"),
    ("*/20 * * * *", "Europe/Berlin", "UTC", "0 */20 * * * *"),
    ("0 12 1 * *", "Europe/Berlin", "UTC", "0 0 11 1 * *"),
    ("0 5 */2 * MON", "Europe/Berlin", "UTC", "0 0 4 */2 * MON"),
]


@pytest.mark.parametrize(("cron", "zone", "there", "expected"), CRONS)
def test_five_fields_become_six_in_the_clusters_zone(cron: str, zone: str, there: str, expected: str) -> None:
    assert on_cluster(make_job(cron).schedule.cron, zone, there, WINTER).cron == expected  # type: ignore[union-attr]


def test_until_when_another_zones_schedule_holds() -> None:
    assert on_cluster("0 3 * * *", "Europe/Berlin", "UTC", WINTER).until == datetime.datetime(
        2027, 3, 28, 1, tzinfo=datetime.UTC
    )
    assert on_cluster("0 3 * * *", "Asia/Kolkata", "UTC", WINTER).until is None
    assert on_cluster("0 3 * * *", "Europe/Berlin", "Europe/Paris", WINTER).until is None


@pytest.mark.parametrize("cron", ["0 0 1 * *", "0 0,12 * * MON", "0 0 * 6 *"])
def test_times_that_another_zone_cannot_tell_are_refused(cron: str) -> None:
    with pytest.raises(InputError, match=r"Give it in that zone \(timezone: UTC\)"):
        on_cluster(cron, "Europe/Berlin", "UTC", WINTER)


FAULTY: list[tuple[dict[str, Any], str]] = [
    (
        {"cron": "0 3 * *"},
        "schedule.cron: found '0 3 * *'; five fields (minute, hour, day of the month, month, day of ",
    ),
    ({"cron": "0 0 3 * * *"}, "not 6: seconds are not told"),
    (
        {"cron": "60 24 0 13 8"},
        "the minute takes 0 to 59, not 60; the hour takes 0 to 23, not 24; the day of the month takes",
    ),
    ({"cron": "0 3 * * MOM"}, "the day of the week takes 0 to 7 or sun to sat, not 'MOM'. Did you mean 'mon'?"),
    (
        {"cron": "0 3 * * FRI-MON"},
        "the day of the week has the range FRI-MON, which ends before it begins: write it as two",
    ),
    ({"cron": "*/0 * * * *"}, "the minute has the step '0': a whole number above 0 was expected, as in */15"),
    ({"cron": "0 3 30 2 *"}, "there is no such day in any year: it would never run"),
    ({"cron": "0 3 L * *"}, "the day of the month takes 1 to 31, not 'L'"),
    (
        {"cron": "0 3 * * *", "timezone": "Europe/Berln"},
        "schedule.timezone: found 'Europe/Berln'; a name of the tz database",
    ),
    (
        {"cron": "0 3 * * *", "max_concurrency": 11},
        "schedule.max_concurrency: found 11; input should be less than or equal to 10",
    ),
    (
        {"cron": "0 3 * * *", "pipeline": "finetun"},
        "schedule.pipeline: found 'finetun'; allowed: 'finetune', 'retrain'. ",
    ),
    ({"cron": "0 3 * * *", "catchup": "perhaps"}, "schedule.catchup: found 'perhaps'; "),
    ({"corn": "0 3 * * *"}, "schedule.corn: there is no such field"),
    ({"timezone": "UTC"}, "schedule.cron: is missing"),
]


@pytest.mark.parametrize(("given", "message"), FAULTY, ids=[str(given) for given, _ in FAULTY])
def test_what_a_schedule_does_not_take(tmp_path: Path, given: dict[str, Any], message: str) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(JOB.read_text()), "schedule": given}))
    with pytest.raises(InputError, match=re.escape(message)):
        load_job(path)


def test_a_long_name_fits_and_a_job_without_a_schedule_is_told(server: Kubeflow) -> None:
    names = [f"{'x' * 150}{number}" for number in range(2)]
    server.watch = lambda _: None  # two jobs
    for name in names:
        assert apply(server, make_job(model=name)).action == "created"
        assert apply(server, make_job(model=name)).action == "unchanged"
    assert len(server.recurring) == 2
    with pytest.raises(InputError, match="has no schedule: add one"):
        apply(server, load_job(JOB))


def test_the_commands(server: Kubeflow, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there, job = tmp_path / "deployment.yaml", tmp_path / "job.yaml"
    there.write_text(yaml.safe_dump(deployment(server.url).model_dump(mode="json", exclude_defaults=True)))
    given = {"cron": "0 3 * * MON", "timezone": "Europe/Berlin"}
    job.write_text(yaml.safe_dump({**yaml.safe_load(JOB.read_text()), "schedule": given}))

    def command(*words: str) -> str:
        assert cli.main(["schedule", *words, "--deployment", str(there)]) == 0
        told = capsys.readouterr()
        return told.out + told.err

    assert "Graft has made no schedule here" in command("list")
    told = command("apply", str(job))
    assert told.startswith("created  graft-sentiment-")
    assert "runs at  0 3 * * MON Europe/Berlin" in told
    assert "apply again once the clocks have changed" in told
    assert command("apply", str(job)).startswith("unchanged  graft-sentiment-")
    assert command("pause", str(job)).startswith("paused  graft-sentiment-")
    assert "(paused: graft schedule resume)" in command("apply", str(job))
    assert "paused" in command("list")
    assert command("resume", str(job)).startswith("resumed  graft-sentiment-")
    assert command("delete", str(job)).startswith("deleted  graft-sentiment-")
    assert not server.recurring
