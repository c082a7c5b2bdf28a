"""Being told to stop, by SIGTERM or Ctrl-C: where it must not come at any moment, it waits for a good one."""

import contextlib
import signal
import threading
from collections.abc import Iterator

RETRY = 75
"""The exit code of a step that SIGTERM ended (EX_TEMPFAIL of sysexits.h): done again, it goes on where it was."""


class PreemptedError(KeyboardInterrupt):
    """SIGTERM came: the machine is taken away, as with Kubernetes a pod that is evicted, cancelled or out of time."""


class Stop:
    """Whether a process was told to stop while that was held back."""

    def __init__(self) -> None:
        self.error: KeyboardInterrupt | None = None
        self._waits = True

    @property
    def asked(self) -> bool:
        """Whether it was."""
        return self.error is not None

    def note(self, number: int, _: object = None) -> None:
        """Takes a signal; all but the first are nothing new."""
        if self.error is None:
            self.error = PreemptedError() if number == signal.SIGTERM else KeyboardInterrupt()
            self.obey(not self._waits)

    def obey(self, now: bool = True) -> None:
        """Raises what the signal stands for, if one came."""
        if now and self.error is not None:
            raise self.error

    @contextlib.contextmanager
    def released(self) -> Iterator[None]:
        """Lets a signal through for the length of a block, one that came before included: nothing is half-done then."""
        self.obey()
        self._waits = False
        try:
            yield
        finally:
            self._waits = True


@contextlib.contextmanager
def held_back() -> Iterator[Stop]:
    """Holds SIGTERM and Ctrl-C back for the length of a block; then, at the latest, they have their effect.

    Signals that are ignored stay so. In another thread than the first, which gets no signals, nothing is held.
    """
    stop = Stop()
    numbers = []
    if threading.current_thread() is threading.main_thread():
        handled = (signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT))
        given = zip((signal.SIGTERM, signal.SIGINT), handled, strict=True)
        numbers = [(number, handler) for number, handler in given if handler not in (None, signal.SIG_IGN)]
    for number, _ in numbers:
        signal.signal(number, stop.note)
    try:
        yield stop
    finally:
        for number, handler in numbers:
            signal.signal(number, handler)
    stop.obey()
