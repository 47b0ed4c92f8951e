"""Product folders with links, pipes and loops: nothing outside is read, nothing hangs."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from products import LISS4_META_PLAIN, landsat_mtl, make_landsat, make_liss4, some_numbers, with_keys, write_band

from rsseg.errors import InputError
from rsseg.scene.sensors import container, open_scene


@pytest.fixture
def product(tmp_path: Path) -> Path:
    return make_liss4(tmp_path / "p", shape=(20, 24))


def moved(path: Path, target: Path) -> Path:
    """Put a link in the place of a file, which moves to ``target``."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(path, target)
    path.symlink_to(target)
    return target


@pytest.mark.parametrize("name", ["BAND_META.txt", "BAND3.tif"])
def test_a_link_out_of_the_folder_is_not_followed_unless_allowed(
    product: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved(product / name, tmp_path / "elsewhere" / name)
    with pytest.raises(InputError, match=rf"{name} in .* leads out of .* RSSEG_ALLOW_OUTSIDE=1") as caught:
        open_scene(product)
    assert "\n" not in str(caught.value)
    monkeypatch.setenv("RSSEG_ALLOW_OUTSIDE", "1")
    assert open_scene(product).grid.shape == (20, 24)


def test_the_metadata_file_itself_may_not_lead_out_either(product: Path, tmp_path: Path) -> None:
    moved(product / "BAND_META.txt", tmp_path / "elsewhere" / "BAND_META.txt")
    with pytest.raises(InputError, match="leads out"):
        open_scene(product / "BAND_META.txt")


def test_links_that_stay_inside_and_a_linked_product_are_read(product: Path, tmp_path: Path) -> None:
    for number in (2, 3, 4):
        moved(product / f"BAND{number}.tif", product / "store" / f"{number}.tif")
    (tmp_path / "scene").symlink_to(product)
    assert open_scene(tmp_path / "scene").grid.shape == (20, 24)


@pytest.mark.parametrize("name", ["BAND2.tif", "BAND_META.txt", "BAND2.tif.ovr", "BAND2.tif.aux.xml", "BAND2.tfw"])
def test_a_pipe_in_a_folder_is_never_opened(product: Path, name: str) -> None:
    (product / name).unlink(missing_ok=True)
    os.mkfifo(product / name)
    with pytest.raises(InputError, match=rf"{name}.* is a pipe, socket or device"):
        open_scene(product)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
@pytest.mark.parametrize("name", ["scene.tif", "scene.zip", "BAND_META.txt"])
def test_a_pipe_or_device_given_as_the_scene_is_refused(
    tmp_path: Path, name: str, make: Callable[[Path], None]
) -> None:
    make(tmp_path / name)
    with pytest.raises(InputError, match="is a pipe, socket or device"):
        open_scene(tmp_path / name)


def test_loops_and_broken_links_end(product: Path, tmp_path: Path) -> None:
    (product / "again").symlink_to(product)
    (product / "loop").symlink_to(product / "loop")
    (product / "gone").symlink_to(tmp_path / "nowhere")
    assert open_scene(product).grid.shape == (20, 24)
    (product / "BAND2.tif").unlink()
    (product / "BAND2.tif").symlink_to(product / "BAND2.tif")
    with pytest.raises(InputError, match=r"BAND2\.tif in .* is a link that leads nowhere"):
        open_scene(product)
    with pytest.raises(InputError, match=r"loop.* is a link that leads nowhere"):
        open_scene(product / "loop")


def test_names_that_the_system_cannot_hold_are_refused(tmp_path: Path) -> None:
    for name in ("x" * 300, "a\0b"):
        with pytest.raises(InputError, match="does not exist"):
            open_scene(tmp_path / name)


@pytest.mark.parametrize(
    "name", ["a!b.tif", "zip:x.tif", "http:x.tif", "a?b#c%20.tif", "vrt:x.tif", "new\nline.tif", "印.tif"]
)
def test_files_of_odd_names_are_read_as_files(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = make_liss4(tmp_path / "p", shape=(6, 7)) / "BAND2.tif"
    scene.rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert open_scene(Path(name)).grid.shape == (6, 7)


def test_a_folder_of_a_whole_disk_is_refused_early(product: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "MOST_FILES", 3)
    with pytest.raises(InputError, match="holds more than 3 files; name one product"):
        open_scene(product)


def test_metadata_that_names_files_elsewhere_finds_them_only_beside_itself(tmp_path: Path) -> None:
    write_band(tmp_path / "SCENE_B4.TIF", some_numbers((40, 50), 1)[0])
    product = make_landsat(tmp_path / "p", bands=(3, 5), mtl=landsat_mtl().replace('"SCENE_B4', '"../SCENE_B4'))
    assert open_scene(product).band_names == ("green", "nir")


def test_a_scenes_name_can_always_name_a_folder(tmp_path: Path) -> None:
    hostile = "../" * 100 + "<script>alert(1)</script>"
    meta = with_keys(LISS4_META_PLAIN, ProductID=hostile)
    name = open_scene(make_liss4(tmp_path / "p", shape=(6, 7), meta=meta)).name
    assert len(name) <= 120 and "/" not in name and not name.startswith(".")
