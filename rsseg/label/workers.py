"""The network at work on one device or several: batches run beside one another and come back in their order.

On a CPU each core computes a batch of its own, in one thread. No core waits for another within a layer, and the answer
does not depend on the number of threads. A GPU has two batches in flight, so that it computes one while the other is
fetched. Which device computes a batch follows from the batch's number, so that unlike devices give one answer too.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from copy import deepcopy
from threading import Lock
from typing import Any, Generic, Protocol, TypeVar
from warnings import warn

import torch
from torch import Tensor

from rsseg.errors import MemoryWarning, RssegError
from rsseg.learn.steps import is_shortage

IN_FLIGHT = 2
"""Batches at a time on a GPU."""

AHEAD = 3
"""Batches computed or waiting for each that is computed at a time: the network has work while votes are stitched."""

Vote = Callable[[Any, Tensor], Tensor]
"""What is asked of a network: (network, inputs (n, ...)) -> votes (n, ...)."""


class Numbered(Protocol):
    """A piece of work with its number in the scene."""

    @property
    def number(self) -> int:
        """Its place among all."""


Job = TypeVar("Job", bound=Numbered)


class Worker:
    """A device with its copy of the network, and the largest part of a batch that its memory was found to hold."""

    def __init__(self, network: Any, device: torch.device, threads: int) -> None:
        self.device = device
        self.network = deepcopy(network).to(device).to(memory_format=torch.channels_last)
        self.slots = threads if device.type == "cpu" else IN_FLIGHT
        self.executor = ThreadPoolExecutor(self.slots, thread_name_prefix=f"label-{device}")
        self.largest: int | None = None
        self.lock = Lock()

    def vote(self, vote: Vote, inputs: Tensor) -> Tensor:
        """Votes of a batch, in parts where memory does not hold the whole.

        Raises: RssegError if it does not even hold one sample.
        """
        while True:
            size = min(self.largest or len(inputs), len(inputs))
            try:
                with torch.inference_mode():
                    parts = [vote(self.network, part) for part in inputs.split(size)]
                    return parts[0] if len(parts) == 1 else torch.cat(parts)
            except (RuntimeError, MemoryError) as problem:
                if not is_shortage(problem):
                    raise
                self._halve(size)

    def _halve(self, size: int) -> None:
        if size == 1:
            raise RssegError(
                f"{self.device} has too little memory for a single patch; close other programs, or try --device cpu"
            ) from None
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        with self.lock:
            before, self.largest = self.largest, min(self.largest or size, -(-size // 2))
        if before is None:
            warn(
                f"{self.device} ran out of memory; batches are computed in parts of {self.largest} and fewer from here "
                "on, which may change labels where two are all but equal (--batch sets the size)",
                MemoryWarning,
                stacklevel=2,
            )


class Workers(Generic[Job]):
    """All devices of a labelling; a context manager."""

    def __init__(self, network: Any, devices: Sequence[torch.device], vote: Vote, slots: int) -> None:
        """``network``: ready for labelling; each device gets a copy. ``slots``: batches at a time on all CPUs."""
        self.threads, self.calls = torch.get_num_threads(), vote
        shared = sum(device.type == "cpu" for device in devices)
        self.workers = [Worker(network, device, max(1, slots // max(1, shared))) for device in devices]

    @property
    def ahead(self) -> int:
        """Pieces of work that are computed, or wait, at a time."""
        return AHEAD * sum(worker.slots for worker in self.workers)

    @contextmanager
    def running(self) -> Iterator[None]:
        """One thread in each torch operation for as long as the context lasts; threads end with it."""
        torch.set_num_threads(1)
        try:
            yield
        finally:
            for worker in self.workers:
                worker.executor.shutdown(cancel_futures=True)
            torch.set_num_threads(self.threads)

    def in_order(
        self, jobs: Iterable[Job], gather: Callable[[Job, torch.device], Tensor | None]
    ) -> Iterator[tuple[Job, Tensor | None]]:
        """Each job with its votes, in the order of the jobs; None where there is nothing to gather."""
        waiting: deque[tuple[Job, Future[Tensor | None]]] = deque()
        try:
            for job in jobs:
                waiting.append((job, self._submit(job, gather)))
                while len(waiting) > self.ahead or (waiting and waiting[0][1].done()):
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        finally:
            for _, future in waiting:
                future.cancel()

    def _submit(self, job: Job, gather: Callable[[Job, torch.device], Tensor | None]) -> Future[Tensor | None]:
        worker = self.workers[job.number % len(self.workers)]

        def work() -> Tensor | None:
            with torch.inference_mode():
                inputs = gather(job, worker.device)
            return None if inputs is None else worker.vote(self.calls, inputs)

        return worker.executor.submit(work)


def listed(device: torch.device | Sequence[torch.device] | None) -> list[torch.device]:
    """The devices that were asked for; the CPU where none was."""
    if device is None:
        return [torch.device("cpu")]
    return [device] if isinstance(device, torch.device) else list(device)
