"""Work in threads, ahead of whoever takes it or behind whoever gave it: in order, no more than fits into memory."""

import collections
import contextlib
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self, TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_BYTES = 128 << 20
_ITEMS = 8  # a thread
_END: Any = object()


def map_ahead(
    function: Callable[[_Item], _Result],
    items: Iterable[_Item],
    threads: int,
    size: Callable[[_Item], int],
    most: int | None = None,
) -> Generator[_Result, None, None]:
    """Applies a function to items in threads; yields the results in the items' order.

    Args:
        function: What is done; its exception is raised where its result would have come.
        items: Taken one after the other, here and not in the threads.
        threads: How many items are worked on at a time.
        size: Tells how many bytes an item holds, or its result will.
        most: How many bytes are ahead, but for an item that is larger by itself; None: 128 MiB.
    """
    waiting: collections.deque[tuple[Future[_Result], int]] = collections.deque()
    held = 0
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                cost = size(item)
                while waiting and (held + cost > (most or _BYTES) or len(waiting) >= _ITEMS * threads):
                    held -= waiting[0][1]
                    yield waiting.popleft()[0].result()
                waiting.append((pool.submit(function, item), cost))
                held += cost
            while waiting:
                yield waiting.popleft()[0].result()
        finally:
            for future, _ in waiting:
                future.cancel()


def read_ahead(items: Iterator[_Item], most: int = 2) -> Generator[_Item, None, None]:
    """Takes items in a thread ahead of whoever needs them; what an unread rest holds is given back at the end.

    Args:
        items: Taken one after the other, in that thread.
        most: How many wait at most.
    """
    with contextlib.ExitStack() as stack:
        if (close := getattr(items, "close", None)) is not None:
            stack.callback(close)
        pool = stack.enter_context(ThreadPoolExecutor(1))
        waiting = collections.deque(pool.submit(next, items, _END) for _ in range(most))
        stack.callback(lambda: [future.cancel() for future in waiting])
        while (item := waiting.popleft().result()) is not _END:
            waiting.append(pool.submit(next, items, _END))
            yield item


class Behind:
    """Does in a thread what it is given, one after the other; an error is raised at the next call, or at the end."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._waiting: collections.deque[Future[Any]] = collections.deque()

    def do(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Has a function called; waits where two are waiting already."""
        while len(self._waiting) > 1:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(function, *arguments))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Waits until all is done; what has not begun is left undone after an error."""
        try:
            while self._waiting and kind is None:
                self._waiting.popleft().result()
        finally:
            self._pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def taking_turns(seconds: float = 2e-4) -> Iterator[None]:
    """Lets threads that compute outside of Python have it back soon: by themselves they wait 5 ms at each step."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(seconds)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
