"""What a dry run prints."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from scenes import write_scene

from rsseg.cli.dry_run import duration, plan_lines, size
from rsseg.pipeline.estimate import Estimate
from rsseg.pipeline.stages.run import RunResult

Rsseg = Callable[..., tuple[int, str, str]]


@pytest.fixture
def words(tmp_path: Path) -> tuple[object, ...]:
    pipeline = tmp_path / "p.yaml"
    pipeline.write_text(yaml.safe_dump({"models": {"k": {"method": "kmeans", "classes": 3}}, "pictures": False}))
    return ("run", pipeline, write_scene(tmp_path / "a.tif"), "-o", tmp_path / "out", "--dry-run")


def test_a_dry_run_says_what_the_run_takes(rsseg: Rsseg, words: tuple[object, ...], tmp_path: Path) -> None:
    code, out, err = rsseg(*words)
    lines = out.splitlines()
    assert (code, err) == (0, "") and all(line.endswith(" s") for line in lines[:-1])
    assert [line[:17].strip() for line in lines[:-1]] == ["to run  train k", "to run  segment"]
    assert " on this machine at most, " in lines[-1] and lines[-1].endswith(" on disk")
    code, out, _ = rsseg(*words, "--json")
    told = json.loads(out)
    assert code == 0 and set(told["estimate"]["stages"]) == {"train k", "segment a k"}
    assert told["stages"][0]["seconds"] == told["estimate"]["stages"]["train k"]
    assert not (tmp_path / "out").exists()


def test_no_estimate_measures_nothing(rsseg: Rsseg, words: tuple[object, ...]) -> None:
    code, out, _ = rsseg(*words, "--no-estimate")
    assert code == 0 and out == "  to run  train k\n  to run  segment a k\n"


def test_what_could_not_be_measured_is_said() -> None:
    found = Estimate({"train k": 90.0, "evaluate a k": None}, 5.0, None, 3 << 20, 4.0)
    stages = [{"stage": name, "state": "to run", "seconds": seconds} for name, seconds in found.stages.items()]
    stages.insert(0, {"stage": "toa a", "state": "finished", "seconds": 0.0})
    assert list(plan_lines(RunResult("out", stages, estimate=found))) == [
        "finished  toa a",
        "  to run  train k           90 s",
        "  to run  evaluate a k         ?",
        "about 95 s on this machine at most, 3.0 MiB on disk; without evaluate a k, which could not be measured",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (12.3, "12 s"), (99.6, "1.7 min"), (600, "10 min"), (6e3, "1.7 h"), (2e5, "2.3 days")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(200_000, "195 KiB"), (1 << 20, "1.0 MiB"), (50 << 20, "50 MiB"), (3 << 29, "1.5 GiB")],
)
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text
