"""The verbs and options that keep a root in order: go on from a run, clean, back up, restore."""

import argparse
import shlex
from pathlib import Path

ROOT = Path(".graft")


def clean(arguments: argparse.Namespace) -> None:
    """Tells what is not needed any more; on request removes it."""
    from pipelines.command.clean import clean

    clean(arguments)


def backup(arguments: argparse.Namespace) -> None:
    """Writes a root into an archive."""
    from pipelines.command.backup import backup

    backup(arguments)


def restore(arguments: argparse.Namespace) -> None:
    """Makes a root of an archive."""
    from pipelines.command.backup import restore

    restore(arguments)


def root_argument(parser: argparse.ArgumentParser) -> None:
    """Adds `--root`."""
    parser.add_argument(
        "--root", type=Path, default=ROOT, metavar="DIR", help="artifacts, MLflow store, pages (default: .graft)"
    )


def resume_argument(parser: argparse.ArgumentParser) -> None:
    """Adds `--resume`."""
    parser.add_argument(
        "--resume", nargs="?", const="", metavar="RUN",
        help="go on from a run that failed or was killed: take what its steps made of the same (default: the last one)",
    )  # fmt: skip


def going_on(arguments: argparse.Namespace) -> str:
    """Returns the command that goes on from a run, up to its name."""
    command = ["graft", "run" if arguments.pipeline == "finetune" else "retrain", str(arguments.job)]
    command += [part for change in arguments.set for part in ("--set", change)]
    command += ["--root", str(arguments.root)] * (arguments.root != ROOT)
    command += ["--runner", arguments.runner] * (arguments.runner != "subprocess")
    command += ["--force"] * arguments.force + ["--no-cache"] * (not arguments.cache)
    command += ["--json", str(arguments.json)] if arguments.json else []
    return shlex.join([*command, "--resume"])


def clean_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds those of `graft clean`."""
    root_argument(parser)
    parser.add_argument("--keep", type=int, default=3, metavar="N", help="runs of each model that stay (default: 3)")
    parser.add_argument("--yes", action="store_true", help="remove it (default: tell what would be removed)")


def backup_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds those of `graft backup` and `graft restore`."""
    parser.add_argument("file", type=Path, metavar="FILE", help="the archive, a .tar")
    root_argument(parser)
