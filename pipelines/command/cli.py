"""The `graft` command: one table of verbs."""

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from components.shared import tasks
from components.shared.cores import keep_to_share
from components.shared.errors import GraftError, InputError, ServiceError
from components.shared.process.step import INTERRUPTED, terminable
from components.shared.process.stopping import RETRY, PreemptedError
from components.shared.registry import tracking
from pipelines.command import models, upkeep
from pipelines.jobs.job import load_job


def run(arguments: argparse.Namespace) -> None:
    """Runs a job's pipeline here and tells how it ended."""
    from pipelines.command.result import tell_result
    from pipelines.local import runner

    job, console = load_job(arguments.job, arguments.set), Console(file=sys.stderr)
    how = (arguments.runner, arguments.pipeline, arguments.force, arguments.cache, arguments.resume)
    result = runner.run(job, arguments.root, console, *how, hint=upkeep.going_on(arguments))
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(dataclasses.asdict(result), indent=1) + "\n", "utf-8")
    tell_result(result, tasks.get(job.task, job.task_args), Console())


def profile(arguments: argparse.Namespace) -> None:
    """Tells what is in the data, before anything is trained on it."""
    from pipelines.command.profile import tell

    tell(arguments)


def init(arguments: argparse.Namespace) -> None:
    """Writes a job file for some data."""
    from pipelines.command import draft

    draft.init(arguments)


def compile_job(arguments: argparse.Namespace) -> None:
    """Compiles a job's pipeline for Kubeflow, with the job's values as defaults."""
    from pipelines.cluster.compilation import compile_pipeline
    from pipelines.cluster.deployment import load_deployment

    job = load_job(arguments.job, arguments.set)
    deployment = load_deployment(arguments.deployment) if arguments.deployment else None
    if deployment and not arguments.cache:
        deployment = deployment.without_cache()
    compile_pipeline(job, arguments.output, deployment, arguments.pipeline)
    for warning in deployment.warnings() if deployment else []:
        print(f"graft: warning: {warning}", file=sys.stderr)
    print(f"wrote {arguments.output}")


def doctor(arguments: argparse.Namespace) -> None:
    """Tells what would fail, before it does."""
    from pipelines.command import doctor

    findings = doctor.examine(arguments.job, arguments.deployment, arguments.root, arguments.set)
    doctor.tell(findings, Console(), arguments.json)


def submit(arguments: argparse.Namespace) -> None:
    """Starts a run of a job on its cluster; on request waits for its end."""
    from pipelines.cluster.deployment import load_deployment
    from pipelines.cluster.kubeflow import connect
    from pipelines.cluster.submit import submit
    from pipelines.command import runs

    if arguments.json and not arguments.wait:
        raise InputError("--json tells what came of the run, which --wait waits for: add --wait.")
    job, deployment = load_job(arguments.job, arguments.set), load_deployment(arguments.deployment)
    deployment = deployment if arguments.cache else deployment.without_cache()
    client = connect(deployment)
    started = submit(client, deployment, job, arguments.pipeline)
    told = "uploaded" if started.version.uploaded else "there already"
    print(f"version  {started.version.name} ({told})\nrun      {started.name}\npage     {started.url}", flush=True)
    if arguments.wait:
        runs.follow(client, deployment, started, arguments.patience, arguments.json)


def status(arguments: argparse.Namespace) -> None:
    """Tells what came of a run on a cluster, or of the last ones."""
    from pipelines.cluster.deployment import load_deployment
    from pipelines.cluster.kubeflow import connect
    from pipelines.command import runs

    deployment = load_deployment(arguments.deployment)
    if arguments.run is None and arguments.json:
        raise InputError("--json tells of one run: name it, graft status RUN --json FILE.")
    client = connect(deployment)
    if arguments.run is None:
        runs.list_last(client, deployment)
    else:
        runs.show(client, deployment, arguments.run, arguments.json)


def apply_schedule(arguments: argparse.Namespace) -> None:
    """Makes a job's schedule on its cluster what the job says, and tells what that took."""
    from pipelines.cluster import schedule
    from pipelines.cluster.deployment import load_deployment
    from pipelines.cluster.kubeflow import connect

    job, deployment = load_job(arguments.job, arguments.set), load_deployment(arguments.deployment)
    applied = schedule.apply(connect(deployment), deployment, job)
    assert job.schedule is not None
    print(f"{applied.action}  {applied.name}{'' if applied.enabled else '  (paused: graft schedule resume)'}")
    print(f"runs at  {job.schedule.cron} {job.schedule.timezone}")
    if applied.cron.until:
        there = f"the cluster reads its schedules in {deployment.kubeflow.timezone} (now {applied.cron.cron})"
        again = f"apply again once the clocks have changed, on {applied.cron.until:%Y-%m-%d}"
        print(f"graft: warning: {there}: {again}", file=sys.stderr)


def change_schedule(arguments: argparse.Namespace) -> None:
    """Pauses, resumes or deletes a job's schedule."""
    from pipelines.cluster import schedule
    from pipelines.cluster.deployment import load_deployment
    from pipelines.cluster.kubeflow import connect

    job, deployment = load_job(arguments.job, arguments.set), load_deployment(arguments.deployment)
    change = {"pause": schedule.pause, "resume": schedule.resume, "delete": schedule.delete}[arguments.change]
    for name in change(connect(deployment), deployment, job.model):
        print(f"{arguments.change}d  {name}")


def list_schedules(arguments: argparse.Namespace) -> None:
    """Lists the schedules of graft on a cluster."""
    from pipelines.cluster import schedule
    from pipelines.cluster.deployment import load_deployment
    from pipelines.cluster.kubeflow import connect

    deployment = load_deployment(arguments.deployment)
    zone = deployment.kubeflow.timezone
    table = Table("job", "state", f"runs at ({zone}, seconds first)", "made", "name", box=None, header_style="bold")
    for made in schedule.list_schedules(connect(deployment), deployment):
        table.add_row(made.job, "enabled" if made.enabled else "paused", made.cron, made.created[:16], made.name)
    Console().print(table if table.row_count else "Graft has made no schedule here; graft schedule apply makes one.")


def predict(arguments: argparse.Namespace) -> None:
    """Predicts from raw input; prints one JSON object a row."""
    from components.shared import prediction
    from pipelines.command.inputs import read_inputs

    tracking.use_embedded(arguments.root)
    model = prediction.load(arguments.model)
    for batch in read_inputs(arguments.input, model.inputs, model.input_type, model.read_inputs):
        for given, told in zip(batch, model.predict([given.values for given in batch]), strict=True):
            place = {"input": given.place} if given.place else {}
            print(json.dumps({**place, **told}, ensure_ascii=False))


@dataclass(frozen=True)
class Verb:
    """A verb of the command: what it does and what it takes."""

    act: Callable[[argparse.Namespace], None]
    help: str
    arguments: Callable[[argparse.ArgumentParser], None]


def _job_arguments(parser: argparse.ArgumentParser, required: bool = True) -> None:
    parser.add_argument("job", type=Path, nargs=None if required else "?", metavar="JOB", help="the job file")
    parser.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="set a field of the job: training.epochs=1"
    )


def _cache_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--no-cache",
        dest="cache",
        action="store_false",
        help="make features and model even if the same were made before",
    )


def _run_arguments(parser: argparse.ArgumentParser) -> None:
    _job_arguments(parser)
    upkeep.root_argument(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON, too")
    parser.add_argument(
        "--runner", choices=["subprocess", "docker"], default="subprocess",
        help="what a step is: a process, or a container of its image, which make images builds (default: subprocess)",
    )  # fmt: skip
    _cache_argument(parser)
    upkeep.resume_argument(parser)
    parser.set_defaults(pipeline="finetune", force=False)


def _retrain_arguments(parser: argparse.ArgumentParser) -> None:
    _run_arguments(parser)
    parser.add_argument("--force", action="store_true", help="train even if the data has not changed")
    parser.set_defaults(pipeline="retrain")


def _data_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--task", default="", help="what is to be learned (default: as the data tells)")
    parser.add_argument("--inputs", nargs="+", default=[], metavar="COLUMN", help="the columns that hold the input")
    parser.add_argument("--label", default="", metavar="COLUMN", help="the column that holds the label")


def _profile_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SOURCE", help="the data: a path, s3://… or hf://…; or a job file")
    _data_arguments(parser)
    parser.add_argument("--backbone", default="", metavar="NAME", help="whose tokenizer counts lengths, if it is here")
    parser.add_argument("--rows", type=int, default=0, metavar="N", help="the most rows that are looked at")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the profile as JSON, too")


def _init_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SOURCE", help="the data: a path, s3://bucket/prefix or hf://owner/name")
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("job.yaml"), metavar="JOB.yaml", help="the file (default: job.yaml)"
    )
    _data_arguments(parser)
    parser.add_argument("--name", default="", metavar="MODEL", help="of the model (default: as the data's)")
    parser.add_argument("--force", action="store_true", help="write over a file that is there")
    upkeep.root_argument(parser)


def _pipeline_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--pipeline", choices=["finetune", "retrain"], default="finetune", help="which one (default: finetune)"
    )


def _compile_arguments(parser: argparse.ArgumentParser) -> None:
    _job_arguments(parser)
    _pipeline_argument(parser)
    parser.add_argument("--deployment", type=Path, metavar="FILE", help="the cluster: images, GPUs, secrets, limits")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="PIPELINE.yaml", help="the file to write")
    _cache_argument(parser)


def _cluster_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--deployment", type=Path, required=True, metavar="FILE", help="the cluster")


def _submit_arguments(parser: argparse.ArgumentParser) -> None:
    _job_arguments(parser)
    _cluster_arguments(parser)
    _pipeline_argument(parser)
    _cache_argument(parser)
    parser.add_argument("--wait", action="store_true", help="follow the run to its end, and fail if it does")
    parser.add_argument(
        "--patience", type=_seconds, default=600.0, metavar="SECONDS",
        help="for how long --wait bears that Kubeflow does not answer (default: 600); then it ends with exit code 3",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="with --wait, write what came of it as JSON, too")


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds: 0 or more was expected")
    return seconds


def _status_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "run", nargs="?", metavar="RUN", help="its id, name or page's address (default: the last runs, one a line)"
    )
    _cluster_arguments(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what came of it as JSON, too")


def _apply_arguments(parser: argparse.ArgumentParser) -> None:
    _job_arguments(parser)
    _cluster_arguments(parser)


def _change_arguments(change: str) -> Callable[[argparse.ArgumentParser], None]:
    def add(parser: argparse.ArgumentParser) -> None:
        _apply_arguments(parser)
        parser.set_defaults(change=change)

    return add


def _doctor_arguments(parser: argparse.ArgumentParser) -> None:
    _job_arguments(parser, required=False)
    upkeep.root_argument(parser)
    parser.add_argument("--deployment", type=Path, metavar="FILE", help="look at the cluster that it describes, too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was found as JSON, too")


def _show_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="its name in the registry")
    upkeep.root_argument(parser)


def _promote_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="NAME (its challenger), NAME@alias, or NAME/version")
    parser.add_argument("--reason", default="", metavar="TEXT", help="why, for the history")
    parser.add_argument(
        "--force", action="store_true", help="even if it was refused, or another is champion than it was compared with"
    )
    upkeep.root_argument(parser)


def _rollback_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="its name in the registry")
    parser.add_argument("--to", default="", metavar="VERSION", help="another version than the previous champion")
    parser.add_argument("--reason", default="", metavar="TEXT", help="why, for the history")
    upkeep.root_argument(parser)


def _predict_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="NAME, NAME@alias, NAME/version, or a model artifact's folder")
    parser.add_argument(
        "input", nargs="+", metavar="INPUT",
        help="one text for each input, or a file (.csv, .tsv, .jsonl, .parquet); for a model of images: image files, "
        "folders of them, or a .parquet",
    )  # fmt: skip
    upkeep.root_argument(parser)


_GROUPS = {"schedule": "keep a job on a schedule on its cluster", "models": "look at models, and say which is champion"}
VERBS = {
    "init": Verb(init, "write a job file for some data", _init_arguments),
    "profile": Verb(profile, "tell what is in the data, before training", _profile_arguments),
    "run": Verb(run, "run a job here: labelled data in, a registered model out", _run_arguments),
    "retrain": Verb(run, "train again here if the data has changed, and promote what is better", _retrain_arguments),
    "compile": Verb(compile_job, "compile a job's pipeline for Kubeflow", _compile_arguments),
    "submit": Verb(submit, "start a run of a job on its cluster", _submit_arguments),
    "status": Verb(status, "tell what came of a run on a cluster, or of the last ones", _status_arguments),
    "schedule apply": Verb(apply_schedule, "make a job's schedule what the job says", _apply_arguments),
    "schedule list": Verb(list_schedules, "list the schedules of graft on a cluster", _cluster_arguments),
    "schedule pause": Verb(change_schedule, "pause a job's schedule", _change_arguments("pause")),
    "schedule resume": Verb(change_schedule, "resume a job's schedule", _change_arguments("resume")),
    "schedule delete": Verb(change_schedule, "take a job's schedule off its cluster", _change_arguments("delete")),
    "models list": Verb(models.list_models, "list the models of the registry", upkeep.root_argument),
    "models show": Verb(models.show_model, "show a model's versions, and its champions so far", _show_arguments),
    "models promote": Verb(models.promote, "make a version champion: a person approves it", _promote_arguments),
    "models rollback": Verb(models.roll_back, "make the previous champion champion again", _rollback_arguments),
    "doctor": Verb(doctor, "tell what would fail, before it does", _doctor_arguments),
    "clean": Verb(upkeep.clean, "remove what no version, alias or run needs any more", upkeep.clean_arguments),
    "backup": Verb(upkeep.backup, "write a root into one file, also while it is used", upkeep.backup_arguments),
    "restore": Verb(upkeep.restore, "make a root of a backup", upkeep.backup_arguments),
    "predict": Verb(predict, "predict from raw input with a registered model", _predict_arguments),
}


def parser() -> argparse.ArgumentParser:
    """Returns the command's parser, made from the table of verbs."""
    top = argparse.ArgumentParser(
        prog="graft", description="A pretrained model and labelled data in, a registered model out."
    )
    verbs = top.add_subparsers(required=True, metavar="VERB")
    groups: dict[str, argparse._SubParsersAction[argparse.ArgumentParser]] = {}
    for name, verb in VERBS.items():
        group, _, rest = name.rpartition(" ")
        if group and group not in groups:
            groups[group] = verbs.add_parser(group, help=_GROUPS[group]).add_subparsers(required=True)
        added = groups.get(group, verbs).add_parser(rest, help=verb.help, description=verb.help)
        verb.arguments(added)
        added.set_defaults(act=verb.act)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code.

    0; 1: a machine or service failed; 2: wrong input; 3: a run on a cluster goes on, and nobody waits for it any more;
    130: Ctrl-C; 75: SIGTERM.
    """
    arguments = parser().parse_args(argv)
    keep_to_share()
    try:
        with terminable():
            arguments.act(arguments)
    except GraftError as error:
        print(f"graft: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"graft: {error}", file=sys.stderr)
        return ServiceError.exit_code
    except KeyboardInterrupt as error:
        print("graft: interrupted; nothing half-made is used", file=sys.stderr)
        return RETRY if isinstance(error, PreemptedError) else INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
