"""Large libraries, imported from several threads.

Python lets two threads import parts of the same library at once; where those import each other, it gives one of them a
part that is not finished. Imports only compute, so that one after the other takes no longer.
"""

import importlib
import threading

_ONE_AT_A_TIME = threading.Lock()


def load(*names: str) -> None:
    """Imports modules while no other check does."""
    with _ONE_AT_A_TIME:
        for name in names:
            importlib.import_module(name)
