"""Work in threads ahead of whoever takes the results: in order, and no more of it than fits into memory."""

import collections
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_BYTES = 128 << 20
_ITEMS = 8  # a thread


def map_ahead(
    function: Callable[[_Item], _Result], items: Iterable[_Item], threads: int, size: Callable[[_Item], int]
) -> Generator[_Result, None, None]:
    """Applies a function to items in threads; yields the results in the items' order.

    Args:
        function: What is done; its exception is raised where its result would have come.
        items: Taken one after the other, here and not in the threads.
        threads: How many items are worked on at a time.
        size: Tells how many bytes an item holds, or its result will. What is ahead stays under 128 MiB, but for an
            item that is larger by itself.
    """
    waiting: collections.deque[tuple[Future[_Result], int]] = collections.deque()
    held = 0
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                cost = size(item)
                while waiting and (held + cost > _BYTES or len(waiting) >= _ITEMS * threads):
                    held -= waiting[0][1]
                    yield waiting.popleft()[0].result()
                waiting.append((pool.submit(function, item), cost))
                held += cost
            while waiting:
                yield waiting.popleft()[0].result()
        finally:
            for future, _ in waiting:
                future.cancel()
