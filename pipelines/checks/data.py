"""The job's data: is it there, may it be read, is any of it usable?"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from components.shared.errors import GraftError, InputError, quote_all
from components.shared.profile.reading import read
from components.shared.sources.hub import PREFIX
from components.shared.sources.listing import sources_of
from components.shared.sources.source import Source, SourceSettings
from components.shared.sources.sql import check_sql, is_sql
from components.shared.storage.storage import File, is_s3
from pipelines.checks import hub, store
from pipelines.checks.address import inside, is_hidden
from pipelines.checks.finding import Finding, failed, passed, warning
from pipelines.checks.machine import disk

if TYPE_CHECKING:
    from pipelines.jobs.job import Job

_PACKED = (".gz", ".tgz", ".parquet")
_UNPACKED = 4  # times as large, about
_MIB = 1 << 20


def check_data(job: "Job", endpoint: str, root: Path | None) -> Iterator[Finding]:
    """Lists the data of a job and reads a byte of it; then compares the disk with its size.

    Args:
        job: Whose data.
        endpoint: Of S3.
        root: Where a run here would be kept; None where it runs on a cluster.
    """
    source, size = job.data.source, 0
    try:
        if source.startswith(PREFIX):
            yield hub.look_at_dataset(source)
        elif is_sql(source):
            check_sql(source, job.data.query)
            yield warning("data", f"{source} is not asked before the run, which must reach it")
        elif any(map(is_s3, sources_of(source))) and is_hidden(endpoint):
            yield inside("data", endpoint)
        elif root is None and (local := [one for one in sources_of(source) if not is_s3(one)]):
            yield elsewhere("data", local[0])
        else:
            if any(map(is_s3, sources_of(source))):
                store.reach_store(endpoint)
            settings = _with_columns(settings_of(job))
            files = _list(settings)
            size = sum(file.size * (_UNPACKED if file.name.endswith(_PACKED) else 1) for file in files)
            packed = sum(file.size for file in files)
            yield passed("data", f"{source}: {_count(files)}, {packed / _MIB:,.1f} MiB, readable")
            if not (job.data.inputs and job.data.label):
                told = f"input {quote_all(settings.inputs)}, label {settings.label!r}, as the columns tell"
                yield passed("columns", told)
    except GraftError as error:
        yield failed("data", str(error))
    if root is not None:
        yield disk(root, size)


def elsewhere(subject: str, path: str) -> Finding:
    """Returns what is to be said of a local path in a job for a cluster."""
    if Path(path).is_absolute():
        return warning(
            subject, f"{path} is looked for inside the image that the step runs in. Name an address (s3://…) instead."
        )
    return failed(subject, f"{path} is a path of this machine, which the cluster does not see. Copy it to s3://….")


def _list(settings: SourceSettings) -> list[File]:
    files = Source(settings).files()
    first = next((file for file in files if file.size), None)
    if first is None:
        raise InputError(f"All {len(files)} files of {settings.source} are empty. Write them again.")
    _read_byte(first.uri)
    return files


def settings_of(job: "Job") -> SourceSettings:
    """Returns how a job's data is read."""
    names = {field.name for field in dataclasses.fields(SourceSettings)}
    return SourceSettings(**{name: value for name, value in job.arguments().items() if name in names})


def _with_columns(settings: SourceSettings) -> SourceSettings:
    """Returns settings with the columns that a run would take."""
    if settings.inputs and settings.label:
        return settings
    reading = read(settings)
    return dataclasses.replace(settings, inputs=reading.inputs, label=reading.label)


def _count(files: list[File]) -> str:
    return "1 file" if len(files) == 1 else f"{len(files):,} files"


def _read_byte(uri: str) -> None:
    if is_s3(uri):
        store.read_byte(uri)
        return
    try:
        with Path(uri).open("rb") as file:
            file.read(1)
    except OSError as error:
        raise InputError(f"{uri} cannot be read ({error.strerror}). Check its rights.") from error
