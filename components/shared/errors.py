"""The two ways a step can fail that are not bugs: what the user can mend, and what a machine or a service did."""

import difflib
from collections.abc import Iterable


class GraftError(Exception):
    """A failure with a message for people: what was expected, what was found, how to mend it."""

    exit_code = 1


class InputError(GraftError):
    """The input (a job, data, a backbone, a setting) is wrong; the user can mend it. Exit code 2."""

    exit_code = 2


class ServiceError(GraftError):
    """A machine, the network or a service failed after bounded retries. Exit code 1."""


class TooLargeError(ServiceError):
    """Memory did not suffice, however small a part was taken. Exit code 4."""

    exit_code = 4


def did_you_mean(word: str, allowed: Iterable[str]) -> str:
    """Returns " Did you mean 'x'?" for the nearest allowed name, or "" where none is near."""
    near = difflib.get_close_matches(word, list(allowed), n=1, cutoff=0.6)
    return f" Did you mean {near[0]!r}?" if near else ""


def quote_all(names: Iterable[str], limit: int = 12) -> str:
    """Returns names quoted and separated by commas; beyond `limit` only how many more there are."""
    listed = list(names)
    shown = ", ".join(repr(name) for name in listed[:limit])
    return shown + (f", and {len(listed) - limit} more" if len(listed) > limit else "")
