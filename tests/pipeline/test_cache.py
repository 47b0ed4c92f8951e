import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rsseg.pipeline.cache import Cache, Node, statuses


class Stage:
    """A node that copies its inputs' texts to its output, and counts how often."""

    def __init__(self, folder: Path, name: str, inputs: tuple[Path, ...], **changes: Any) -> None:
        self.runs = 0
        self.output = folder / f"{name}.txt"
        settings = {"version": 1, "config": {"size": 3}, **changes}
        self.node = Node(name, settings["version"], settings["config"], inputs, (self.output,), self.run)

    def run(self) -> None:
        self.runs += 1
        texts = [path.read_text() if path.is_file() else path.name for path in self.node.inputs]
        self.output.write_text("+".join(texts))


def go(folder: Path, *stages: Stage) -> list[int]:
    """Run what is not finished, as a run does; returns how often each stage has run."""
    cache = Cache(folder)
    for stage in stages:
        if not cache.finished(stage.node):
            key = cache.key(stage.node)
            stage.node.run()
            cache.record(stage.node, key)
    return [stage.runs for stage in stages]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.txt"
    path.write_text("one")
    return path


@pytest.fixture
def chain(tmp_path: Path, source: Path) -> Callable[..., tuple[Stage, Stage]]:
    """Two stages, the second of which reads what the first writes; the same two at each call."""
    folder = tmp_path / "out"
    folder.mkdir()
    made: dict[str, Stage] = {}

    def make(**changes: Any) -> tuple[Stage, Stage]:
        first = Stage(folder, "first", (source,), **changes)
        second = Stage(folder, "second", (first.output,))
        for stage in (first, second):
            stage.runs = made[stage.node.name].runs if stage.node.name in made else 0
            made[stage.node.name] = stage
        return first, second

    return make


def touch(path: Path, seconds: int) -> None:
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + seconds * 10**9))


def test_what_is_finished_is_not_run_again(tmp_path: Path, chain: Any) -> None:
    assert go(tmp_path / "out", *chain()) == [1, 1]
    assert go(tmp_path / "out", *chain()) == [1, 1]


def test_a_changed_input_runs_what_depends_on_it(tmp_path: Path, source: Path, chain: Any) -> None:
    go(tmp_path / "out", *chain())
    source.write_text("two, and longer")
    assert go(tmp_path / "out", *chain()) == [2, 2]


def test_an_input_of_the_same_size_and_another_time_is_read_again(tmp_path: Path, source: Path, chain: Any) -> None:
    go(tmp_path / "out", *chain())
    source.write_text("two")
    touch(source, 5)
    assert go(tmp_path / "out", *chain()) == [2, 2]


def test_an_input_that_was_only_touched_runs_nothing(tmp_path: Path, source: Path, chain: Any) -> None:
    go(tmp_path / "out", *chain())
    touch(source, 5)
    assert go(tmp_path / "out", *chain()) == [1, 1]


@pytest.mark.parametrize("change", [{"config": {"size": 4}}, {"version": 2}], ids=str)
def test_another_configuration_or_version_runs_the_stage(tmp_path: Path, chain: Any, change: dict[str, Any]) -> None:
    go(tmp_path / "out", *chain())
    # its output has the same bytes as before, so that what depends on it stays finished
    assert go(tmp_path / "out", *chain(**change)) == [2, 1]
    assert go(tmp_path / "out", *chain(**change)) == [2, 1]


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_text("by hand"), lambda path: touch(path, 1)])
def test_an_output_that_is_gone_or_changed_is_made_again(tmp_path: Path, chain: Any, damage: Any) -> None:
    first, second = chain()
    go(tmp_path / "out", first, second)
    damage(first.output)
    assert go(tmp_path / "out", *chain())[0] == 2
    assert first.output.read_text() == "one"


def test_a_stage_that_was_killed_is_run_again(tmp_path: Path, chain: Any) -> None:
    first, _ = chain()
    first.node.run()  # its output is there, its manifest is not
    assert not Cache(tmp_path / "out").finished(first.node)


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"key": 3}', '{"outputs": {}}'])
def test_damaged_manifests_count_as_not_finished(tmp_path: Path, chain: Any, text: str) -> None:
    stages = chain()
    go(tmp_path / "out", *stages)
    for path in (tmp_path / "out" / ".rsseg").iterdir():
        path.write_text(text if path.name != "digests.json" else "{")
    assert go(tmp_path / "out", *chain()) == [2, 2]


def test_an_input_that_changes_while_its_stage_runs_makes_it_stale(tmp_path: Path, source: Path, chain: Any) -> None:
    first, _ = chain()
    cache = Cache(tmp_path / "out")
    key = cache.key(first.node)
    first.node.run()
    source.write_text("changed meanwhile")
    cache.record(first.node, key)
    assert not Cache(tmp_path / "out").finished(first.node)


def test_a_missing_input_is_not_finished(tmp_path: Path, source: Path, chain: Any) -> None:
    go(tmp_path / "out", *chain())
    source.unlink()
    assert not Cache(tmp_path / "out").finished(chain()[0].node)


def test_a_folder_is_digested_by_its_files(tmp_path: Path) -> None:
    product = tmp_path / "product"
    (product / "deep").mkdir(parents=True)
    (product / "deep" / "a").write_text("1")
    cache = Cache(tmp_path / "out")
    first = cache.digest(product)
    assert cache.digest(product) == first
    (product / ".rsseg").mkdir()
    (product / ".rsseg" / "cache").write_text("not part of it")
    assert cache.digest(product) == first
    (product / "deep" / "b").write_text("")
    assert cache.digest(product) != first


def test_the_folder_may_be_moved_and_named_differently(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    go(tmp_path / "out", Stage(tmp_path / "out", "first", (source,)))
    monkeypatch.chdir(tmp_path)
    assert go(Path("out"), Stage(Path("out"), "first", (source,))) == [0]
    (tmp_path / "out").rename(tmp_path / "moved")
    assert go(tmp_path / "moved", Stage(tmp_path / "moved", "first", (source,))) == [0]


def test_names_that_look_alike_do_not_share_a_manifest(tmp_path: Path, source: Path) -> None:
    stages = [Stage(tmp_path, name, (source,)) for name in ("segment a b_c", "segment a_b c", "segment a b c")]
    go(tmp_path, *stages)
    assert go(tmp_path, *stages) == [1, 1, 1]


def test_what_reads_a_pending_output_is_pending(tmp_path: Path, source: Path, chain: Any) -> None:
    first, second = chain()
    go(tmp_path / "out", first, second)
    assert [done for _, done in statuses(Cache(tmp_path / "out"), [first.node, second.node])] == [True, True]
    source.write_text("other")
    assert [done for _, done in statuses(Cache(tmp_path / "out"), [first.node, second.node])] == [False, False]
