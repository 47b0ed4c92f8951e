"""Run an iterator in a thread, a few items ahead of whoever consumes it."""

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


class _End:
    def __init__(self, problem: BaseException | None = None) -> None:
        self.problem = problem


def prefetch(items: Iterable[Item], depth: int = 1) -> Iterator[Item]:
    """Yield ``items`` in order, computed in a thread that stays at most ``depth`` items ahead.

    An exception of the thread is raised here, at the item where it happened; leaving early stops the thread.
    """
    waiting: queue.Queue[Item | _End] = queue.Queue(depth)
    stopped = threading.Event()

    def put(item: Item | _End) -> bool:
        while not stopped.is_set():
            try:
                waiting.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for item in items:
                if not put(item):
                    return
            put(_End())
        except BaseException as problem:
            put(_End(problem))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while not isinstance(item := waiting.get(), _End):
            yield item
        if item.problem is not None:
            raise item.problem
    finally:
        stopped.set()
        thread.join()
