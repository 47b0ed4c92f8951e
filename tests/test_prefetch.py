import threading
import time
from collections.abc import Iterator

import pytest

from rsseg.prefetch import prefetch


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("depth", [1, 3])
def test_items_come_in_order(depth: int) -> None:
    assert list(prefetch(range(50), depth)) == list(range(50))
    assert list(prefetch([], depth)) == []
    assert list(prefetch([None, None], depth)) == [None, None]


def test_items_are_computed_in_another_thread_a_few_ahead() -> None:
    made: list[int] = []
    threads = set()

    def items() -> Iterator[int]:
        for number in range(10):
            threads.add(threading.current_thread())
            made.append(number)
            yield number

    ahead = prefetch(items(), depth=2)
    assert next(ahead) == 0
    time.sleep(0.1)
    assert len(made) <= 4  # the one taken, two waiting, one in hand
    assert list(ahead) == list(range(1, 10))
    assert threading.current_thread() not in threads


def test_an_exception_arrives_where_it_happened() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise ZeroDivisionError("here")

    found = []
    with pytest.raises(ZeroDivisionError, match="here"):
        for item in prefetch(items()):
            found.append(item)
    assert found == [1, 2]


def test_leaving_early_stops_the_thread_and_closes_the_items() -> None:
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            yield from range(1000)
        finally:
            closed.set()

    for item in prefetch(items()):
        if item == 3:
            break
    assert closed.wait(5)


def test_a_failing_consumer_stops_nested_threads() -> None:
    """As in labelling: reading runs ahead of computing, which runs ahead of writing."""
    inner_closed = threading.Event()

    def reading() -> Iterator[int]:
        try:
            yield from range(1000)
        finally:
            inner_closed.set()

    def computing() -> Iterator[int]:
        for number in prefetch(reading()):
            yield number * 2

    with pytest.raises(OSError, match="disk full"):
        for item in prefetch(computing()):
            if item == 6:
                raise OSError("disk full")
    assert inner_closed.wait(5)


def test_what_is_never_begun_starts_no_thread() -> None:
    before = threading.active_count()
    waiting = prefetch(range(3))
    assert threading.active_count() == before
    del waiting
