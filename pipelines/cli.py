"""The `graft` command: one table of verbs."""

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from components.shared import tracking
from components.shared.errors import GraftError, ServiceError
from components.shared.step import INTERRUPTED
from pipelines.job import load_job

if TYPE_CHECKING:
    from pipelines.local import Result

ROOT = Path(".graft")


def run(arguments: argparse.Namespace) -> None:
    """Runs a job's pipeline here and tells how it ended."""
    from pipelines import local

    job = load_job(arguments.job, arguments.set)
    result = local.run(job, arguments.root, Console(file=sys.stderr))
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(dataclasses.asdict(result), indent=1) + "\n", "utf-8")
    _tell_result(result, Console())


def compile_job(arguments: argparse.Namespace) -> None:
    """Compiles a job's pipeline for Kubeflow, with the job's values as defaults."""
    from pipelines.cluster import compile_pipeline

    compile_pipeline(load_job(arguments.job, arguments.set), arguments.output)
    print(f"wrote {arguments.output}")


def list_models(arguments: argparse.Namespace) -> None:
    """Lists the models of the registry."""
    from components.shared import registry

    tracking.use_embedded(arguments.root)
    table = Table("model", "versions", "aliases", "accuracy", "verdict", "updated", box=None, header_style="bold")
    for model in registry.list_models():
        aliases = ", ".join(f"{alias} → {version}" for alias, version in sorted(model.aliases.items()))
        accuracy = model.metrics.get("accuracy")
        shown = "" if accuracy is None else f"{accuracy:.4f}"
        table.add_row(model.name, str(model.versions), aliases, shown, model.verdict, model.updated[:10])
    Console().print(table if table.row_count else "The registry holds no model yet; graft run registers one.")


def show_model(arguments: argparse.Namespace) -> None:
    """Shows the versions of a model."""
    from components.shared import registry

    tracking.use_embedded(arguments.root)
    console = Console()
    for version in registry.show_model(arguments.model):
        aliases = f" @{' @'.join(version.aliases)}" if version.aliases else ""
        console.print(f"[bold]{version.model} {version.version}[/]{aliases}  {version.created}", highlight=False)
        for name, value in sorted(version.tags.items()):
            console.print(f"  {name:<20} {value}", highlight=False, soft_wrap=True, markup=False)


def predict(arguments: argparse.Namespace) -> None:
    """Predicts from raw input; prints one JSON object a row."""
    from components.shared import registry
    from pipelines.inputs import read_inputs

    tracking.use_embedded(arguments.root)
    model = registry.load(arguments.model)
    for batch in read_inputs(arguments.input, model.inputs, model.input_type):
        for given, told in zip(batch, model.predict([given.values for given in batch]), strict=True):
            place = {"input": given.place} if given.place else {}
            print(json.dumps({**place, **told}, ensure_ascii=False))


@dataclass(frozen=True)
class Verb:
    """A verb of the command: what it does and what it takes."""

    act: Callable[[argparse.Namespace], None]
    help: str
    arguments: Callable[[argparse.ArgumentParser], None]


def _job_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", type=Path, metavar="JOB", help="the job file")
    parser.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="set a field of the job: training.epochs=1"
    )


def _root_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--root", type=Path, default=ROOT, metavar="DIR", help="artifacts, MLflow store, pages (default: .graft)"
    )


def _run_arguments(parser: argparse.ArgumentParser) -> None:
    _job_arguments(parser)
    _root_argument(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON, too")


def _compile_arguments(parser: argparse.ArgumentParser) -> None:
    _job_arguments(parser)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="PIPELINE.yaml", help="the file to write")


def _show_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="its name in the registry")
    _root_argument(parser)


def _predict_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="NAME, NAME@alias, NAME/version, or a model artifact's folder")
    parser.add_argument(
        "input", nargs="+", metavar="INPUT",
        help="one text for each input, or a file (.csv, .tsv, .jsonl, .parquet); for a model of images: image files, "
        "folders of them, or a .parquet",
    )  # fmt: skip
    _root_argument(parser)


VERBS = {
    "run": Verb(run, "run a job here: labelled data in, a registered model out", _run_arguments),
    "compile": Verb(compile_job, "compile a job's pipeline for Kubeflow", _compile_arguments),
    "models list": Verb(list_models, "list the models of the registry", _root_argument),
    "models show": Verb(show_model, "show the versions of a model", _show_arguments),
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
            groups[group] = verbs.add_parser(group, help=f"look at {group}").add_subparsers(required=True)
        added = groups.get(group, verbs).add_parser(rest, help=verb.help, description=verb.help)
        verb.arguments(added)
        added.set_defaults(act=verb.act)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code: 0, 1 (a machine or service failed), 2 (wrong input), 130 (Ctrl-C)."""
    arguments = parser().parse_args(argv)
    try:
        arguments.act(arguments)
    except GraftError as error:
        print(f"graft: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"graft: {error}", file=sys.stderr)
        return ServiceError.exit_code
    except KeyboardInterrupt:
        print("graft: interrupted; nothing half-done was kept", file=sys.stderr)
        return INTERRUPTED
    return 0


def _tell_result(result: "Result", console: Console) -> None:
    table = Table("", "accuracy", "macro-F1", box=None, header_style="bold")
    scores = {f"[bold]{result.model}[/]": result.metrics, **result.baselines}
    for name, metrics in sorted(scores.items(), key=lambda item: -item[1]["accuracy"]):
        table.add_row(name, f"{metrics['accuracy']:.4f}", f"{metrics['macro_f1']:.4f}")
    aliases = " ".join(f"@{alias}" for alias in result.aliases)
    console.print(table)
    console.print(f"\n{result.reason}", highlight=False, markup=False, soft_wrap=True)
    if result.transfer:
        console.print(result.transfer["sentence"], highlight=False, markup=False, soft_wrap=True)
    console.print(f"version  {result.model} {result.version} {aliases}", highlight=False)
    console.print(f"page     {result.report}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"time     {result.seconds['total']:.0f} s", highlight=False)


if __name__ == "__main__":
    sys.exit(main())
