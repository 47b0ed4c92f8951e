"""Disks that are full, small, or only to be read: a sentence, nothing half-written, and the same command finishes."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from batch.archives import make_archive, make_product, write_pipeline
from batch.batch_runs import Run, differing, half_written, results

Mount = Callable[..., Path]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Mounts a tmpfs with options at a folder of its own; mounted again with others where it is."""
    places: list[Path] = []

    def mounted(options: str, again: bool = False) -> Path:
        place = tmp_path / "disk"
        place.mkdir(exist_ok=True)
        words = f"remount,{options}" if again else options
        result = subprocess.run(["mount", "-t", "tmpfs", "-o", words, "tmpfs", place], capture_output=True, text=True)
        if result.returncode:
            pytest.skip(f"this user cannot mount a small disk: {result.stderr.strip()}")
        places.append(place)
        return place

    yield mounted
    for place in places[:1]:
        subprocess.run(["umount", "-l", place], check=False)


def filled(place: Path, left: int) -> Path:
    """Fill a disk but for so many bytes; the file that does it."""
    import shutil

    ballast = place / "ballast"
    ballast.write_bytes(bytes(max(0, shutil.disk_usage(place).free - left)))
    return ballast


@pytest.mark.slow
def test_a_batch_on_a_full_disk_stops_and_goes_on(tmp_path: Path, mount: Mount) -> None:
    archive = make_archive(tmp_path / "archive", 4, shape=(400, 500))
    pipeline = write_pipeline(tmp_path / "pipeline.yaml")
    whole = Run(pipeline, archive, tmp_path / "whole", ("--sample", 2))
    assert whole.finish()[0] == 0
    batch = Run(pipeline, archive, mount("size=4M") / "out", ("--sample", 2))
    code, _, said = batch.finish()
    assert code == 4, said
    assert "disk" in said.splitlines()[-1] and "Traceback" not in said, said
    mount("size=200M", again=True)
    code, _, said = batch.finish()
    assert code == 0, said
    assert not differing(batch.output, results(whole.output)) and not half_written(batch.output)


@pytest.mark.parametrize("free", [0, 4096, 40_000])
@pytest.mark.parametrize("verb", ["toa", "train", "segment", "run"])
def test_a_command_on_a_full_disk_leaves_nothing(
    tmp_path: Path, mount: Mount, rsseg: Callable[..., tuple[int, str, str]], verb: str, free: int
) -> None:
    product = make_product(tmp_path / "scene", shape=(200, 200))
    pipeline, model = write_pipeline(tmp_path / "pipeline.yaml"), tmp_path / "kmeans.safetensors"
    disk = mount("size=12M")
    ballast = filled(disk, free)
    words = {
        "toa": ["toa", product, "-o", disk / "toa.tif"],
        "train": ["train", "kmeans", product, "-o", disk / "model.safetensors", "--classes", 3],
        "segment": ["segment", product, "--model", model, "-o", disk / "labels.tif"],
        "run": ["run", pipeline, product, "-o", disk / "run"],
    }[verb]
    if verb == "segment":
        assert rsseg("train", "kmeans", product, "-o", model, "--classes", 3)[0] == 0
    code, _, said = rsseg(*words)
    if verb == "train" and free:  # there is room for a model
        assert code == 0
        return
    assert code == 4, said
    assert "Traceback" not in said and any(word in said.splitlines()[-1] for word in ("No space", "disk full")), said
    left = [path for path in disk.rglob("*") if path.is_file() and path != ballast and ".rsseg" not in path.parts]
    assert {path.name for path in left} <= {"run.yaml"} and not half_written(disk)
    ballast.unlink()
    assert rsseg(*words)[0] == 0


def test_an_output_that_is_only_to_be_read_is_said(tmp_path: Path, mount: Mount) -> None:
    archive = make_archive(tmp_path / "archive", 1)
    disk = mount("size=12M")
    (disk / "out").mkdir()
    mount("ro", again=True)
    code, _, said = Run(write_pipeline(tmp_path / "pipeline.yaml"), archive, disk / "out").finish()
    assert code in (2, 4) and "Traceback" not in said
    assert str(disk) in said and ("read-only" in said.lower() or "denied" in said), said
