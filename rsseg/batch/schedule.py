"""All scenes through all workers: who is next, what is tried again, and what ends the batch."""

import queue
import time
import uuid
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from rsseg.batch.cluster import Cluster
from rsseg.batch.display import Display
from rsseg.batch.failures import failed
from rsseg.batch.names import Job
from rsseg.batch.outcome import Outcome
from rsseg.batch.records import Records
from rsseg.batch.watch import last_words
from rsseg.batch.worker import Work, give_up, run_scene, settle, words_path
from rsseg.errors import ResourceError

OnError = Literal["skip", "fail"]

WAITING = 1
"""Scenes a worker that wait for it, so that it never waits for one."""

TICK = 0.5
"""Seconds to wait for news before the workers are counted again."""


@dataclass
class Timing:
    """What a scene took: seconds of its last try, and tries."""

    seconds: float = 0.0
    tries: int = 0


@dataclass
class _Try:
    """A scene on its way: how often it was tried before, and when it may be tried again (monotonic seconds)."""

    job: Job
    tries: int = 0
    after: float = 0.0
    future: Any = None


@dataclass
class Schedule:
    """Works through jobs; ``outcomes`` and ``timings`` fill as scenes end."""

    cluster: Cluster
    work: Work
    display: Display
    retries: int = 2
    on_error: OnError = "skip"
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    timings: dict[str, Timing] = field(default_factory=dict)

    def run(self, jobs: Sequence[Job]) -> None:
        """Until all jobs have an outcome, or the first failure with ``on_error`` fail.

        Raises: ResourceError if the disk is full, or no worker comes back.
        """
        self._waiting = deque(_Try(job) for job in jobs)
        self._flying: dict[tuple[str, int], _Try] = {}
        self._news: queue.Queue[tuple[str, int]] = queue.Queue()
        self._group, self._number = f"scene-{uuid.uuid4().hex[:8]}", 0
        self._slots, self._counted, self._idle_since = 0, 0.0, time.monotonic()
        try:
            while self._waiting or self._flying:
                self._count()
                self._submit()
                self._hear()
        finally:
            for attempt in self._flying.values():
                attempt.future.cancel()

    def _count(self) -> None:
        """Look after the scheduler and its workers."""
        now = time.monotonic()
        if not self.cluster.alive:
            self._begin_again()
        if now - self._counted < TICK and self._slots:
            return
        self._slots, self._counted = self.cluster.slots, now
        if self._slots:
            self._idle_since = now
        elif now - self._idle_since > self.cluster.crew.patience:
            raise ResourceError("no worker is left; start some, then run the same command again, which goes on")

    def _begin_again(self) -> None:
        """The scheduler forgot everything: what was under way is asked for again when it is back."""
        flying, self._flying = list(self._flying.values()), {}
        self._waiting.extendleft(reversed(flying))
        self.cluster.find_again()

    @property
    def _room(self) -> int:
        """How many scenes may be under way or wait for a worker: none waits where the first failure ends all."""
        return self._slots * (1 + (WAITING if self.on_error == "skip" else 0))

    def _submit(self) -> None:
        now = time.monotonic()
        for _ in range(len(self._waiting)):
            if len(self._flying) >= self._room:
                return
            attempt = self._waiting.popleft()
            if attempt.after > now:
                self._waiting.append(attempt)
                continue
            # one group of many tasks: Dask keeps those that no worker is free for
            self._number += 1
            key = (self._group, self._number)
            future = self.cluster.client.submit(run_scene, attempt.job, self.work, key=key, pure=False, retries=0)
            self._flying[key] = replace(attempt, future=future)
            future.add_done_callback(lambda done: self._news.put(done.key))

    def _hear(self) -> None:
        """Wait for a scene to end, for a moment."""
        try:
            key = self._news.get(timeout=TICK if self._flying else 0.05)
        except queue.Empty:
            return
        attempt = self._flying.pop(key, None)
        if attempt is None:  # of a scheduler that was lost
            return
        if attempt.future.status in ("cancelled", "lost"):
            self._waiting.appendleft(replace(attempt, future=None))
            return
        done = attempt.future.result() if attempt.future.status == "finished" else None
        outcome = Outcome.of_dict(done) if done else self._lost(attempt)
        attempt.future.release()
        self._settle(attempt, outcome, done["seconds"] if done else 0.0)

    def _lost(self, attempt: _Try) -> Outcome:
        """What became of a scene whose worker did not answer."""
        problem, job = attempt.future.exception(), attempt.job
        words = last_words(words_path(self.work.output, job))
        if words:
            return failed(
                job, str(words["kind"]), str(words["cause"]), passing=words["kind"] == "memory" and not attempt.tries
            )
        if type(problem).__name__ == "KilledWorker":
            return failed(
                job, "worker", "the worker ended without a word: killed, or its machine was lost", passing=True
            )
        told = " ".join(str(problem).split())[:300]
        return failed(
            job, "worker", f"the worker could not take the scene: {type(problem).__name__}: {told}", passing=True
        )

    def _settle(self, attempt: _Try, outcome: Outcome, seconds: float) -> None:
        job = attempt.job
        if outcome.kind == "disk":
            raise ResourceError(f"{outcome.cause}; {outcome.remedy}")
        again = outcome.passing and attempt.tries < self.retries
        self.display.ended(job, outcome, seconds, again)
        if again:
            pause = min(30.0, 0.5 * 2**attempt.tries)
            self._waiting.append(_Try(job, attempt.tries + 1, time.monotonic() + pause))
            return
        if outcome.kind in ("time", "memory"):  # the worker could not say so itself
            outcome = replace(outcome, passing=False)
            settle(Records(self.work.output), job, self.work, outcome, read=False)
        elif outcome.passing and outcome.kind != "worker":  # what a lost worker finished is not to be done again
            give_up(job, self.work)
        self.outcomes[job.name] = outcome
        self.timings[job.name] = Timing(round(seconds, 3), attempt.tries + 1)
        if not outcome.done and self.on_error == "fail":
            for other in self._flying.values():
                other.future.cancel()
            self._waiting.clear()
            self._flying.clear()
