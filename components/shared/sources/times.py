"""When an example was made: a number, or a date in ISO form, as seconds."""

import datetime
import math

DATE, NUMBER = "dates", "numbers"


def time_of(value: object) -> tuple[float, str] | None:
    """Returns a time as a number that grows with it, and whether it was a date or a number; None where it is none.

    A date without a zone is taken for UTC; a number for what it is: a year, a day, seconds.
    """
    if isinstance(value, datetime.date):  # a datetime is one, too
        return _seconds(value), DATE
    if isinstance(value, bool) or value is None:
        return None
    text = str(value).strip()
    try:
        number = float(text)
        return (number, NUMBER) if math.isfinite(number) else None
    except (ValueError, OverflowError):
        pass
    try:
        return _seconds(datetime.datetime.fromisoformat(text)), DATE
    except ValueError:
        return None


def _seconds(date: datetime.date) -> float:
    if not isinstance(date, datetime.datetime):
        date = datetime.datetime(date.year, date.month, date.day)
    zoned = date if date.tzinfo else date.replace(tzinfo=datetime.UTC)
    return (zoned - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)).total_seconds()
