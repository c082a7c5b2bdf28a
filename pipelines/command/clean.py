"""`graft clean`: tells what is not needed any more, and with `--yes` removes it."""

import argparse
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from components.shared.errors import GraftError, InputError, ServiceError
from components.shared.redaction import in_short
from components.shared.registry import embedded, tracking
from pipelines.local import leftovers
from pipelines.local.leftovers import Leftover


def clean(arguments: argparse.Namespace) -> None:
    """Tells, or removes, what no version, alias or living process needs.

    Raises:
        InputError: There is no root, or the number of runs to keep is none.
    """
    root: Path = arguments.root
    if not root.is_dir():
        raise InputError(f"There is no root {str(root)!r} (looked from {Path.cwd()}). Name it: --root DIR.")
    if arguments.keep < 0:
        raise InputError(f"--keep is {arguments.keep}; 0 or more runs of each model can be kept.")
    tracking.use_embedded(root)
    with contextlib.ExitStack() as stack:
        found = list(_find(root, arguments.keep, stack))
        _tell(found, arguments.yes)
        if arguments.yes:
            _remove(found)


def _find(root: Path, keep: int, stack: contextlib.ExitStack) -> Iterator[Leftover]:
    gone = set()
    for leftover in leftovers.of_runs(root, keep):
        gone |= {leftover.path.absolute()} if leftover.path else set()
        yield leftover
    yield from leftovers.of_cache(root, gone)
    yield from leftovers.of_checkpoints(root, gone)
    uri = os.environ["MLFLOW_TRACKING_URI"]
    database = embedded.file_of(uri) if uri.startswith(embedded.SQLITE) else None
    if database and not database.exists():
        return
    try:
        with tracking.explained("looking for what was left"):
            client = tracking.client()
            yield from leftovers.of_mlflow(client, root)
            if database is None:
                return
            try:
                stack.enter_context(embedded.alone(database))
            except ServiceError:
                print("The store is left alone: a run is at work. Clean again once it is done.")
                return
            yield from leftovers.of_store(client, database, root)
    except GraftError as error:
        print(f"MLflow is left alone: {in_short(str(error))}")


def _tell(found: list[Leftover], removes: bool) -> None:
    if not found:
        print("There is nothing to clean.")
        return
    sizes = [readable(leftovers.freed([each.path])) if each.path else "" for each in found]
    kinds, names = (max(len(getattr(each, name)) for each in found) for name in ("kind", "what"))
    for each, size in zip(found, sizes, strict=True):
        print(f"{each.kind:<{kinds}}  {each.what:<{names}}  {size:>9}  {each.why}")
    total = readable(leftovers.freed([leftover.path for leftover in found if leftover.path]))
    if not removes:
        print(f"Nothing was removed. graft clean --yes removes all of this, {total}.")
    else:
        print(f"{total} in all", flush=True)


def _remove(found: list[Leftover]) -> None:
    """Removes entries of the cache and steps before what they lead to, then all else."""
    failed = 0
    for leftover in sorted(found, key=lambda leftover: leftover.kind != "cache entry"):
        try:
            with tracking.explained("cleaning"):
                if not leftovers.remove(leftover):
                    print(f"{leftover.what} is left alone: a process has begun to use it.")
        except (GraftError, OSError) as error:
            failed += 1
            print(f"{leftover.what} could not be removed: {in_short(str(error))}")
    if failed:
        raise ServiceError(f"{failed} of {len(found)} could not be removed.")


def readable(size: float) -> str:
    """Returns a number of bytes for people, as in "86.7 MB"."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
