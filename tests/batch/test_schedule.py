"""Who is next, what is tried again, and what ends a batch, with workers that are made up."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rsseg.batch.cluster import Crew
from rsseg.batch.display import NoDisplay
from rsseg.batch.failures import failed
from rsseg.batch.names import Job
from rsseg.batch.outcome import Outcome
from rsseg.batch.records import Limits
from rsseg.batch.schedule import Schedule
from rsseg.batch.worker import Work, words_path
from rsseg.errors import ResourceError
from rsseg.files import write_text


class KilledWorker(Exception):
    """What Dask raises when a worker dies with a task; known by its name."""


Answer = Callable[[Job, int], Outcome]


class Client:
    """Answers at once, in the order in which it is asked."""

    status = "running"

    def __init__(self, answer: Answer) -> None:
        self.answer, self.tries, self.asked = answer, dict[str, int](), list[str]()

    def subscribe_topic(self, topic: str, handler: object) -> None:
        pass

    def submit(self, function: object, job: Job, work: Work, **options: Any) -> Any:
        self.asked.append(job.name)
        number = self.tries[job.name] = self.tries.get(job.name, 0) + 1
        future: Any = Future()
        future.key, future.release, future.status = options["key"], lambda: None, "finished"
        try:
            future.set_result({**self.answer(job, number).as_dict(), "seconds": 1.0})
        except Exception as problem:
            future.set_exception(problem)
            future.status = "error"
        return future


def job(name: str) -> Job:
    return Job(name, Path(f"/archive/{name}"), name)


def done(one: Job) -> Outcome:
    return Outcome(one.name, one.place, "done")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Time runs fast: a look at the clock is a minute."""
    now = iter(range(0, 10**9, 60))
    monkeypatch.setattr("rsseg.batch.schedule.time", SimpleNamespace(monotonic=lambda: float(next(now))))
    yield


def schedule(tmp_path: Path, answer: Answer, slots: int = 2, **options: Any) -> tuple[Schedule, Client]:
    client = Client(answer)
    crew = Crew(slots, 1 << 30, 1, None, 600.0)
    cluster = SimpleNamespace(client=client, slots=slots, alive=True, crew=crew)
    work = Work(tmp_path, tmp_path / "batch.yaml", "key", {}, False, Limits(None, 1 << 30))
    return Schedule(cluster, work, NoDisplay(), **options), client  # type: ignore[arg-type]


def test_one_failure_stops_no_other_scene(tmp_path: Path) -> None:
    def answer(one: Job, number: int) -> Outcome:
        return failed(one, "InputError", "broken") if one.name == "b" else done(one)

    plan, client = schedule(tmp_path, answer)
    plan.run([job(name) for name in "abcd"])
    states = {name: outcome.state for name, outcome in plan.outcomes.items()}
    assert states == {"a": "done", "b": "failed", "c": "done", "d": "done"}
    assert client.tries == {"a": 1, "b": 1, "c": 1, "d": 1}


def test_what_can_pass_is_tried_again_and_no_more_often_than_asked(tmp_path: Path) -> None:
    def answer(one: Job, number: int) -> Outcome:
        if one.name == "lucky" and number == 3:
            return done(one)
        return failed(one, "InputError", "Input/output error", passing=True)

    plan, client = schedule(tmp_path, answer, retries=2)
    plan.run([job("lucky"), job("never")])
    assert client.tries == {"lucky": 3, "never": 3}
    assert plan.outcomes["lucky"].done
    assert plan.timings["lucky"].tries == 3
    assert plan.outcomes["never"].cause == "Input/output error"


def test_a_worker_that_dies_without_a_word_is_not_the_scenes_fault_at_once(tmp_path: Path) -> None:
    def answer(one: Job, number: int) -> Outcome:
        if number == 1:
            raise KilledWorker
        return done(one)

    plan, client = schedule(tmp_path, answer)
    plan.run([job("a")])
    assert plan.outcomes["a"].done
    assert client.tries == {"a": 2}


def test_a_scene_over_its_time_fails_at_once_and_over_its_memory_at_the_second_time(tmp_path: Path) -> None:
    def answer(one: Job, number: int) -> Outcome:
        write_text(words_path(tmp_path, one), f'{{"kind": "{one.name}", "cause": "too much {one.name}"}}')
        raise KilledWorker

    plan, client = schedule(tmp_path, answer)
    plan.run([job("time"), job("memory")])
    assert client.tries == {"time": 1, "memory": 2}
    assert {name: (outcome.kind, outcome.cause, outcome.passing) for name, outcome in plan.outcomes.items()} == {
        "time": ("time", "too much time", False),
        "memory": ("memory", "too much memory", False),
    }
    assert (tmp_path / ".rsseg" / "scenes" / "time.json").is_file()


def test_a_full_disk_ends_the_batch(tmp_path: Path) -> None:
    def answer(one: Job, number: int) -> Outcome:
        return failed(one, "disk", "the disk of /out is full", passing=True)

    plan, client = schedule(tmp_path, answer, slots=1)
    with pytest.raises(ResourceError, match="the disk of /out is full; free space"):
        plan.run([job("a"), job("b"), job("c")])
    assert client.asked == ["a", "b"]  # one is done, one waits


def test_on_error_fail_begins_nothing_more(tmp_path: Path) -> None:
    plan, client = schedule(tmp_path, lambda one, number: failed(one, "InputError", "broken"), 1, on_error="fail")
    plan.run([job("a"), job("b"), job("c")])
    assert list(plan.outcomes) == ["a"]
    assert client.asked == ["a"]


def test_no_worker_for_too_long_ends_the_batch(tmp_path: Path) -> None:
    plan, _ = schedule(tmp_path, lambda one, number: done(one), slots=0)
    with pytest.raises(ResourceError, match="no worker is left; start some, then run the same command again"):
        plan.run([job("a")])


def test_a_lost_scheduler_is_found_and_asked_again(tmp_path: Path) -> None:
    plan, client = schedule(tmp_path, lambda one, number: done(one), slots=2)
    lost: list[str] = []

    class Losing:
        crew, slots = plan.cluster.crew, 2
        client = plan.cluster.client

        @property
        def alive(self) -> bool:
            if client.asked and not lost:
                lost.append("once")
                return False
            return True

        def find_again(self) -> None:
            lost.append("found")

    plan.cluster = Losing()  # type: ignore[assignment]
    plan.run([job(name) for name in "abc"])
    assert lost == ["once", "found"]
    assert set(plan.outcomes) == set("abc")
