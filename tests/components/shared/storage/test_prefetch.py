import sys
import threading
import time
from collections.abc import Iterator

import pytest

from components.shared.storage.prefetch import Behind, map_ahead, read_ahead, taking_turns


def test_results_come_in_order_though_later_ones_are_done_first() -> None:
    def slow_at_first(number: int) -> int:
        time.sleep(0.05 if number == 0 else 0)
        return number * number

    assert list(map_ahead(slow_at_first, range(100), 4, lambda _: 1)) == [number * number for number in range(100)]


def test_several_items_are_worked_on_at_a_time() -> None:
    together = threading.Barrier(4, timeout=30)
    assert list(map_ahead(lambda _: together.wait() >= 0, range(8), 4, lambda _: 1)) == [True] * 8


def test_no_more_is_taken_than_fits_into_memory() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    most = 0
    for done, _ in enumerate(map_ahead(lambda number: number, items(), 4, lambda _: 32 << 20), 1):
        most = max(most, len(taken) - done)
    assert 0 < most <= 4  # times 32 MiB: 128 MiB
    taken.clear()
    assert next(map_ahead(lambda number: number, items(), 4, lambda _: 1)) == 0
    assert len(taken) <= 4 * 8 + 1


def test_an_exception_comes_where_its_result_would_have_come() -> None:
    results = map_ahead(lambda number: 6 // (3 - number), range(100), 2, lambda _: 1)
    assert [next(results) for _ in range(3)] == [2, 3, 6]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_items_are_read_ahead_in_turn_and_given_back_where_nobody_wants_more() -> None:
    taken: list[int] = []
    closed: list[bool] = []

    def items() -> Iterator[int]:
        try:
            for number in range(100):
                taken.append(number)
                yield number
        finally:
            closed.append(True)

    assert list(read_ahead(items())) == list(range(100))
    taken.clear()
    some = read_ahead(items(), 2)
    assert next(some) == 0
    some.close()
    assert len(taken) <= 4
    assert closed == [True, True]


def test_a_fault_in_reading_ahead_comes_after_what_was_read() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("damaged")

    found = read_ahead(items())
    assert next(found) == 1
    with pytest.raises(ValueError, match="damaged"):
        next(found)


def test_what_is_done_behind_is_done_in_turn() -> None:
    done: list[int] = []
    with Behind() as behind:
        for number in range(20):
            behind.do(done.append, number)
    assert done == list(range(20))


def test_a_fault_behind_is_raised() -> None:
    def fail() -> None:
        raise OSError("disk full")

    def fill(times: int) -> None:
        with Behind() as behind:
            for _ in range(times):
                behind.do(fail)

    for times in (1, 10):  # at the end, or at a later call
        with pytest.raises(OSError, match="disk full"):
            fill(times)


def test_turns_are_as_they_were_afterwards() -> None:
    before = sys.getswitchinterval()
    with taking_turns(1e-3):
        assert sys.getswitchinterval() == pytest.approx(1e-3)
    assert sys.getswitchinterval() == pytest.approx(before)
