"""The workers of a batch: a local cluster that it starts itself, or one that is there."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from rsseg.batch.worker import TOPIC
from rsseg.errors import ResourceError, UsageError
from rsseg.pipeline.stages.doctor_machine import allowed_cores, memory_limit, quota

TRIM = 1 << 28
"""Free bytes that a worker keeps while it works on a scene; after it, all are given back."""

ATTEMPT = 5.0
"""Seconds of one attempt to reach a scheduler."""

SETTINGS = {
    "distributed.scheduler.allowed-failures": 0,  # who tries again is decided here, where causes are known
    "distributed.scheduler.work-stealing": False,
    "distributed.scheduler.worker-saturation": 1.0,  # a scene that waits must not die with another's worker
    "distributed.worker.daemon": False,
    "distributed.worker.profile.enabled": False,  # it stops the scene's thread a hundred times a second to look at it
    "distributed.admin.system-monitor.gil.enabled": False,
}


@dataclass(frozen=True)
class Crew:
    """What workers a batch wants: how many, bytes and threads of each, and the address of a scheduler if it has one.

    ``patience``: seconds to wait for a scheduler, and for one that was lost.
    """

    workers: int
    memory: int
    threads: int
    scheduler: str | None = None
    patience: float = 600.0


def choose_crew(
    workers: int | None, memory: int, threads: int | None, scheduler: str | None, gpus: int, patience: float
) -> Crew:
    """As many workers as the cores and the free memory serve, or one a GPU; the cores are shared among them.

    Raises: ResourceError if the memory asked for is more than the machine has.
    """
    cores, free = usable_cores(), free_memory()
    if scheduler:
        return Crew(workers or 0, memory, threads or 1, scheduler, patience)
    fitting = int(0.9 * free // memory)
    if workers is None:
        workers = max(1, min(cores // (threads or 1), fitting, gpus or cores))
    elif workers > 1 and workers > fitting:
        raise ResourceError(
            f"{workers} workers of {memory / (1 << 30):.1f} GiB need more than the {free / (1 << 30):.1f} GiB of "
            f"memory that are free; use --workers {max(1, fitting)}, or a smaller --memory"
        )
    return Crew(workers, memory, threads or max(1, cores // workers), None, patience)


def usable_cores() -> int:
    """Cores that this process may use, also by its container."""
    allowed = allowed_cores()
    return max(1, min(allowed, int(quota() or allowed)))


def free_memory() -> int:
    """Bytes that are free, at most what the container grants."""
    free = int(psutil.virtual_memory().available)
    return min(free, memory_limit() or free)


@contextmanager
def connected(crew: Crew, scratch: Path, say: Callable[[str], None]) -> Iterator["Cluster"]:
    """A cluster with workers on it, for as long as the context lasts.

    Raises: ResourceError if a scheduler does not answer; UsageError if its workers run several threads.
    """
    import dask
    import distributed  # noqa: F401  # its defaults come with it, and must be there before ours are laid over them

    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with dask.config.set({**SETTINGS, "temporary-directory": str(scratch)}), Cluster(crew, say) as cluster:
        yield cluster


class Cluster:
    """Dask's client, and the local cluster behind it if there is one."""

    def __init__(self, crew: Crew, say: Callable[[str], None]) -> None:
        self.crew, self.say = crew, say
        self._local: Any = None
        self._heard: Callable[[dict[str, str]], None] | None = None
        self.client: Any = None

    def __enter__(self) -> "Cluster":
        try:
            self.client = self._found() if self.crew.scheduler else self._started()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def slots(self) -> int:
        """How many scenes can be worked on now: the workers that are there."""
        try:
            return len(self._workers())
        except (OSError, TimeoutError, RuntimeError, ValueError):
            return 0

    @property
    def alive(self) -> bool:
        """Whether the scheduler answers."""
        return self.client is not None and self.client.status == "running"

    def listen(self, heard: Callable[[dict[str, str]], None]) -> None:
        """Hand on what workers tell, also after the scheduler was lost and found."""
        self._heard = heard
        self.client.subscribe_topic(TOPIC, lambda event: heard(event[1]))

    def spread(self, function: Callable[[Any], str], jobs: Iterable[Any]) -> Iterator[str]:
        """Do jobs on the workers, like ``map``; a job whose worker is lost is done here."""
        todo = list(jobs)
        futures = self.client.map(function, todo, pure=False, retries=0)
        for job, future in zip(todo, futures, strict=True):
            try:
                yield str(future.result())
            except Exception:
                yield function(job)

    def find_again(self) -> None:
        """After the scheduler was lost, wait for it.

        Raises: ResourceError if it does not come back.
        """
        with suppress(Exception):
            self.client.close(timeout=1)
        if self.crew.scheduler is None:
            raise ResourceError("the local cluster ended; run the same command again, it goes on from what is finished")
        self.say(f"lost the scheduler {self.crew.scheduler}; waiting for it for up to {self.crew.patience:.0f} s")
        self.client = self._found()
        self.say(f"found the scheduler {self.crew.scheduler} again")
        if self._heard:
            self.listen(self._heard)

    def close(self) -> None:
        """Let go of the client, and end the local workers."""
        for part in (self.client, self._local):
            if part is not None:
                with suppress(Exception):
                    part.close(timeout=5)
        self.client = self._local = None

    def _started(self) -> Any:
        from distributed import Client, LocalCluster, Security

        threads = str(self.crew.threads)
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "GDAL_NUM_THREADS")
        self._local = LocalCluster(
            n_workers=self.crew.workers,
            threads_per_worker=1,
            processes=True,
            memory_limit=0,  # scenes are watched where they run, and do not spill
            silence_logs=logging.CRITICAL,  # what matters of workers is said by the batch
            dashboard_address="127.0.0.1:0",
            worker_dashboard_address="127.0.0.1:0",
            host="127.0.0.1",
            security=Security.temporary(),  # other users of the machine must not reach the workers
            # Dask's own threshold gives memory back at every turn, which takes time
            env={**dict.fromkeys(names, threads), "MALLOC_TRIM_THRESHOLD_": str(TRIM)},
            preload=["rsseg.batch.preload"],
        )
        return Client(self._local)

    def _found(self) -> Any:
        from distributed import Client

        until = time.monotonic() + self.crew.patience
        while True:
            try:
                client = Client(self.crew.scheduler, timeout=ATTEMPT)
                break
            except (OSError, TimeoutError) as problem:
                if time.monotonic() > until:
                    raise ResourceError(
                        f"the scheduler {self.crew.scheduler} does not answer; start it with: dask scheduler"
                    ) from problem
                time.sleep(1.0)
            except ValueError as problem:
                raise UsageError(f"--scheduler {self.crew.scheduler}: {problem}; write tcp://HOST:8786") from problem
        try:
            self._wait_for_workers(client, until)
        except BaseException:
            client.close(timeout=1)
            raise
        return client

    def _wait_for_workers(self, client: Any, until: float) -> None:
        told = False
        while not (workers := client.scheduler_info(n_workers=-1)["workers"]):
            if not told:
                self.say(f"the scheduler {self.crew.scheduler} has no worker; start some: dask worker --nthreads 1")
                told = True
            if time.monotonic() > until:
                raise ResourceError(
                    f"the scheduler {self.crew.scheduler} has no worker; start some, then run this again"
                )
            time.sleep(0.5)
        several = next((name for name, worker in workers.items() if worker["nthreads"] > 1), None)
        if several:
            raise UsageError(
                f"the worker {several} runs {workers[several]['nthreads']} threads; start workers with --nthreads 1, "
                "since each takes one scene at a time"
            )

    def _workers(self) -> dict[str, Any]:
        found: dict[str, Any] = self.client.scheduler_info(n_workers=-1)["workers"]
        return found
