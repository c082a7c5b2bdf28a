"""When a job runs: five-field cron in a time zone, and what Kubeflow takes of it.

Kubeflow Pipelines parses with robfig/cron 1.2: six fields (seconds first), Sunday is 0 and never 7, and no time zone:
all schedules of a cluster are read in the one zone of its controller (CRON_SCHEDULE_TIMEZONE, UTC as it is installed).
"""

import datetime
import itertools
import zoneinfo
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from components.shared.errors import InputError, did_you_mean
from pipelines.jobs.fields import one_of

_DAY = 24 * 60
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


@dataclass(frozen=True)
class _Field:
    """A field of cron: its name, the values it takes, and names for the first of them."""

    name: str
    least: int
    most: int
    names: tuple[str, ...] = ()

    def number(self, text: str) -> int:
        """Returns the value that a number or a name stands for."""
        if text.lower() in self.names:
            return self.names.index(text.lower()) + self.least
        allowed = f"{self.least} to {self.most}" + (f" or {self.names[0]} to {self.names[-1]}" if self.names else "")
        if not text.isascii() or not text.isdigit():
            near = did_you_mean(text.lower(), self.names)
            raise ValueError(f"the {self.name} takes {allowed}, not {text!r}.{near}")
        if not self.least <= int(text) <= self.most:
            raise ValueError(f"the {self.name} takes {allowed}, not {text}")
        return int(text)

    def values(self, text: str) -> frozenset[int]:
        """Returns the values that a field's text stands for: lists of values and ranges, with steps or without."""
        return frozenset(itertools.chain.from_iterable(self._range(part) for part in text.split(",")))

    def _range(self, text: str) -> Collection[int]:
        span, slash, step = text.partition("/")
        if slash and not (step.isascii() and step.isdigit() and int(step) > 0):
            raise ValueError(f"the {self.name} has the step {step!r}: a whole number above 0 was expected, as in */15")
        first, dash, last = span.partition("-")
        top = self.most - (self is DAY_OF_WEEK)  # its 7 is another name for 0
        if first in ("*", "?") and not dash:
            low, high = self.least, top
        else:
            low = self.number(first)
            high = self.number(last) if dash else (top if slash else low)
        if low > high:
            raise ValueError(f"the {self.name} has the range {span}, which ends before it begins: write it as two")
        return range(low, high + 1, int(step or 1))


MINUTE, HOUR = _Field("minute", 0, 59), _Field("hour", 0, 23)
DAY_OF_MONTH, MONTH = _Field("day of the month", 1, 31), _Field("month", 1, 12, _MONTHS)
DAY_OF_WEEK = _Field("day of the week", 0, 7, _DAYS)  # 0 and 7 are Sunday
_FIELDS = (MINUTE, HOUR, DAY_OF_MONTH, MONTH, DAY_OF_WEEK)
_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def check_cron(text: str) -> None:
    """Checks a cron expression of five fields.

    Raises:
        ValueError: With all that is wrong with it.
    """
    parts = text.split()
    if len(parts) != len(_FIELDS):
        more = ": seconds are not told" if len(parts) == len(_FIELDS) + 1 else ""
        raise ValueError(
            f"five fields (minute, hour, day of the month, month, day of the week) were expected, as in "
            f"'0 3 * * MON', not {len(parts)}{more}"
        )
    faults = []
    for field, part in zip(_FIELDS, parts, strict=True):
        try:
            field.values(part)
        except ValueError as fault:
            faults.append(str(fault))
    if not faults and not _ever(parts):
        faults.append("there is no such day in any year: it would never run")
    if faults:
        raise ValueError("; ".join(faults))


def _ever(parts: Sequence[str]) -> bool:
    """Returns whether there is a date that the month and the day of the month mean."""
    days, months = DAY_OF_MONTH.values(parts[2]), MONTH.values(parts[3])
    return _free(parts[2]) or not _free(parts[4]) or any(min(days) <= _LONGEST[month - 1] for month in months)


def check_timezone(name: str) -> None:
    """Checks the name of a time zone.

    Raises:
        ValueError: There is none of that name.
    """
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        near = did_you_mean(name, zoneinfo.available_timezones())
        raise ValueError(f"a name of the tz database was expected, such as 'Europe/Berlin' or 'UTC'.{near}") from error


@dataclass(frozen=True)
class ClusterCron:
    """A schedule as the cluster takes it.

    Attributes:
        cron: Six fields, seconds first, in the cluster's zone.
        until: When a clock change of either zone makes it wrong; None if the zones go together.
    """

    cron: str
    until: datetime.datetime | None = None


def on_cluster(cron: str, zone: str, cluster_zone: str, now: datetime.datetime | None = None) -> ClusterCron:
    """Turns five fields in a job's zone into six in the cluster's.

    Where the zones differ, the difference of today is taken: a clock change ends that, and applying again mends it.

    Args:
        cron: A cron expression that `check_cron` took.
        zone: The zone it is meant in.
        cluster_zone: The zone in which the cluster reads it.
        now: The time it is for; by default the present.

    Raises:
        InputError: The same times cannot be told as one expression in the cluster's zone.
    """
    parts = cron.split()
    if 7 in DAY_OF_WEEK.values(parts[4]):
        parts[4] = _listed({value % 7 for value in DAY_OF_WEEK.values(parts[4])})
    if zone == cluster_zone:
        return ClusterCron(" ".join(["0", *parts]))
    here, there = zoneinfo.ZoneInfo(zone), zoneinfo.ZoneInfo(cluster_zone)
    now = now or datetime.datetime.now(datetime.UTC)
    shifted = _shift(parts, _minutes_apart(here, there, now))
    if shifted is None:
        raise InputError(
            f"schedule: {cron!r} in {zone} cannot be told as one cron expression in {cluster_zone}, the zone of the "
            f"cluster. Give it in that zone (timezone: {cluster_zone}), or have the cluster read its schedules in "
            f"{zone} (CRON_SCHEDULE_TIMEZONE of ml-pipeline-scheduledworkflow; say so in the deployment file, "
            "kubeflow.timezone)."
        )
    return ClusterCron(" ".join(["0", *shifted]), _change(here, there, now))


def _minutes_apart(here: zoneinfo.ZoneInfo, there: zoneinfo.ZoneInfo, when: datetime.datetime) -> int:
    """Returns how many minutes a clock there is ahead of one here."""
    offsets = [when.astimezone(zone).utcoffset() or datetime.timedelta() for zone in (there, here)]
    return int((offsets[0] - offsets[1]).total_seconds() // 60)


def _change(here: zoneinfo.ZoneInfo, there: zoneinfo.ZoneInfo, now: datetime.datetime) -> datetime.datetime | None:
    """Returns the first hour within a year in which the zones are further apart or nearer than now."""
    apart = _minutes_apart(here, there, now)
    now = now.replace(minute=0, second=0, microsecond=0)
    hours = (now + datetime.timedelta(hours=number) for number in range(1, 366 * 24))
    return next((hour for hour in hours if _minutes_apart(here, there, hour) != apart), None)


def _shift(parts: Sequence[str], minutes: int) -> list[str] | None:
    """Returns five fields that mean times later by so many minutes; None where no five fields do."""
    if minutes == 0:
        return list(parts)
    times = [
        divmod(hour * 60 + minute + minutes, _DAY)
        for hour in HOUR.values(parts[1])
        for minute in MINUTE.values(parts[0])
    ]
    hours, past = {time // 60 for _, time in times}, {time % 60 for _, time in times}
    if len(hours) * len(past) != len(times):
        return None
    told = [parts[0] if minutes % 60 == 0 else _listed(past), "*" if len(hours) == 24 else _listed(hours)]
    days = {day for day, _ in times}
    if days == {0} or all(_free(part) for part in parts[2:]):
        return [*told, *parts[2:]]
    if len(days) > 1 or not (_free(parts[2]) and _free(parts[3])):
        return None
    (day,) = days
    return [*told, parts[2], parts[3], _listed({(value + day) % 7 for value in DAY_OF_WEEK.values(parts[4])})]


def _free(part: str) -> bool:
    return part in ("*", "?")


def _listed(values: Collection[int]) -> str:
    return ",".join(map(str, sorted(values)))


def _cron(text: str) -> str:
    try:
        check_cron(text)
    except ValueError as fault:
        raise PydanticCustomError("cron", "{fault}", {"fault": str(fault)}) from fault
    return " ".join(text.split())


def _timezone(name: str) -> str:
    try:
        check_timezone(name)
    except ValueError as fault:
        raise PydanticCustomError("timezone", "{fault}", {"fault": str(fault)}) from fault
    return name


Cron = Annotated[str, AfterValidator(_cron)]
TimeZone = Annotated[str, AfterValidator(_timezone)]


class Schedule(BaseModel):
    """When a job runs on its cluster.

    Attributes:
        cron: Minute, hour, day of the month, month, day of the week.
        timezone: The zone that this is meant in.
        pipeline: What runs: "finetune" trains each time, "retrain" only if the data has changed.
        max_concurrency: The most runs at a time.
        catchup: Whether runs that were missed (the schedule was paused, the cluster down) are made up for.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    cron: Cron
    timezone: TimeZone = "UTC"
    pipeline: Annotated[str, one_of(["finetune", "retrain"])] = "finetune"
    max_concurrency: Annotated[int, Field(ge=1, le=10)] = 1
    catchup: bool = False
