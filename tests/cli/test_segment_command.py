"""``rsseg segment`` on several devices, within a memory size, and with patches left out."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import rasterio
from dense import tiny_dense_model, tiny_trunk
from scenes import write_scene
from tiny import thin_vgg, tiny_model

Rsseg = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def thin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with thin_vgg(monkeypatch), tiny_trunk(monkeypatch):
        yield


@pytest.fixture
def words(tmp_path: Path) -> list[object]:
    write_scene(tmp_path / "scene.tif")
    model = tiny_model(stride=4, units="reflectance", centre=(0.1, 0.1, 0.2), spread=(0.1, 0.1, 0.2))
    model.save(tmp_path / "model.safetensors")
    return ["segment", tmp_path / "scene.tif", "--model", tmp_path / "model.safetensors", "-q"]


def tags(path: Path) -> dict[str, str]:
    with rasterio.open(path) as file:
        found: dict[str, str] = file.tags()
    return found


def test_devices_and_memory_are_no_part_of_the_map(rsseg: Rsseg, words: list[object], tmp_path: Path) -> None:
    for name, options in (("one", ()), ("two", ("--device", "cpu,cpu")), ("bound", ("--memory", "3G"))):
        assert rsseg(*words, "-o", tmp_path / f"{name}.tif", *options)[0] == 0
    one = (tmp_path / "one.tif").read_bytes()
    assert one == (tmp_path / "two.tif").read_bytes() == (tmp_path / "bound.tif").read_bytes()
    assert "approximate" not in tags(tmp_path / "one.tif")


def test_the_map_says_that_patches_were_left_out(rsseg: Rsseg, words: list[object], tmp_path: Path) -> None:
    assert rsseg(*words, "-o", tmp_path / "map.tif", "--approximate")[0] == 0
    assert tags(tmp_path / "map.tif")["approximate"] == "yes"


def test_too_little_memory_is_said_and_the_least_is_done_at_a_time(
    rsseg: Rsseg, words: list[object], tmp_path: Path
) -> None:
    code, _, err = rsseg(*words, "-o", tmp_path / "map.tif", "--memory", "64M")
    assert code == 0 and "more than --memory 64M" in err and (tmp_path / "map.tif").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--device", "cpu,nonsense"), "no device 'nonsense'"),
        (("--approximate", "--stride", "8"), "needs a stride of at most 4"),
    ],
)
def test_what_is_refused(
    rsseg: Rsseg, words: list[object], tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    code, out, err = rsseg(*words, "-o", tmp_path / "map.tif", *options)
    assert code == 2 and out == "" and len(err.strip().splitlines()) == 1 and message in err
    assert not (tmp_path / "map.tif").exists()


def test_pixels_of_tiles_cannot_be_left_out(rsseg: Rsseg, words: list[object], tmp_path: Path) -> None:
    model = tiny_dense_model()
    model.inference = model.inference.model_copy(update={"units": "reflectance"})
    model.save(tmp_path / "model.safetensors", overwrite=True)
    code, _, err = rsseg(*words, "-o", tmp_path / "map.tif", "--approximate")
    assert code == 2 and "leave --approximate out" in err
