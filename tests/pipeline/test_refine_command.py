"""``rsseg refine``: the map keeps what it says of itself, and its labels follow the scene."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from labelmaps import Run, write_map, write_plain
from numpy.typing import NDArray
from scenes import NAMES, fields, write_scene

from rsseg.errors import GridError, InputError, UsageError
from rsseg.label.maps import LabelMap
from rsseg.label.refine import edge_vote
from rsseg.label.refine_settings import WAYS, Edges, Superpixels, refine_settings
from rsseg.learn.channels.smooth import Bilateral
from rsseg.pipeline.stages.refine import refine
from rsseg.publish.labels import LabelClass, LabelMapWriter
from rsseg.scene.raster import grid_of

SHAPE = (48, 64)
CLASSES = tuple(
    LabelClass(v, n, c) for v, n, c in zip((2, 5, 9), NAMES, ("#010203", "#aabbcc", "#102030"), strict=True)
)


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_scene(tmp_path / "scene.tif")


@pytest.fixture
def truth() -> NDArray[np.uint8]:
    """The scene's kinds of land as the map numbers them, without data where the scene has none."""
    made = np.array([2, 5, 9], np.uint8)[fields(*SHAPE)]
    made[:3, :5] = 0
    return made


@pytest.fixture
def labels(tmp_path: Path, scene: Path, truth: NDArray[np.uint8]) -> Path:
    """A map of the scene in which a quarter of the pixels are wrong."""
    rng = np.random.default_rng(5)
    noisy = np.where((rng.random(SHAPE) < 0.25) & (truth > 0), rng.choice([2, 5, 9], SHAPE), truth).astype(np.uint8)
    path = tmp_path / "labels.tif"
    with rasterio.open(scene) as source:
        grid = grid_of(source)
    with LabelMapWriter(path, grid, CLASSES, tags={"model": "abc", "scene": "here"}) as writer:
        writer.write(noisy, grid.window)
    return path


def read(path: Path) -> NDArray[np.uint8]:
    with rasterio.open(path) as opened:
        found: NDArray[np.uint8] = opened.read(1)
        return found


def test_a_refined_map_is_the_vote_with_the_scenes_noise(tmp_path: Path, scene: Path, labels: Path) -> None:
    result = refine(labels, scene, tmp_path / "out.tif", Edges(radius=2, strength=4, passes=1), bands=["nir"])
    with rasterio.open(scene) as source:
        values, valid = source.read([3]) * 1e-4 - 0.1, source.read_masks(3) > 0
    pairs = valid[:, 1:] & valid[:, :-1]
    noise = 1.4826 * np.median(np.abs(np.diff(values[0], axis=1)[pairs]))
    sigma = 4 * max(noise, 0.03 * values[0][valid].std())
    vote = Bilateral(mean=(values[0][valid].mean(),), sigma=(sigma,), radius=2, passes=1)
    padded = np.pad(values.astype(np.float32), ((0, 0), (2, 2), (2, 2)))
    before = read(labels)
    wanted = edge_vote(np.pad(before, 2), padded, np.pad(valid, 2), vote)
    found = read(tmp_path / "out.tif")
    assert np.array_equal(found, wanted)
    assert result.changed == (found != before).sum() > 0
    assert result.pixels == {value: int((found == value).sum()) for value in (2, 5, 9)}
    assert result.nodata == (found == 0).sum() == 15


@pytest.mark.parametrize(("method", "share"), [("edges", 0.99), ("spectrum", 0.98), ("superpixels", 0.85)])
def test_wrong_pixels_within_fields_are_corrected(
    tmp_path: Path, scene: Path, labels: Path, truth: NDArray[np.uint8], method: str, share: float, rsseg: Run
) -> None:
    out = tmp_path / "out.tif"
    code, text, err = rsseg("refine", labels, "--scene", scene, "-o", out, "--method", method)
    assert (code, err) == (0, "") and "have another label than before" in text
    known = truth > 0
    assert (read(labels) == truth)[known].mean() < 0.84
    assert (read(out) == truth)[known].mean() > share
    assert np.array_equal(read(out) == 0, ~known)


def test_names_colours_and_tags_stay_and_the_refinement_is_told(tmp_path: Path, scene: Path, labels: Path) -> None:
    refine(labels, scene, tmp_path / "out.tif", Edges())
    refine(labels, scene, tmp_path / "other.tif", Superpixels(radius=2))
    with LabelMap(labels) as before, LabelMap(tmp_path / "out.tif") as after:
        assert (after.names, after.colours) == (before.names, before.colours)
        assert after.names == {2: "water", 5: "vegetation", 9: "town"} and after.colours[5] == "#aabbcc"
    with rasterio.open(tmp_path / "out.tif") as opened, rasterio.open(tmp_path / "other.tif") as other:
        tags, others = opened.tags(), other.tags()
    assert tags["model"] == "abc" and tags["scene"] == "here" and tags["refined_from"] == "labels.tif"
    told = {key: text for key, text in tags.items() if key.startswith("refine")}
    assert told == {
        **{"refined_by": "edges", "refined_from": "labels.tif"},
        **{"refine_radius": "3", "refine_strength": "3", "refine_passes": "2"},
    }
    assert others["refined_by"] == "superpixels" and others["refine_radius"] == "2"
    assert "refine_strength" not in others
    assert (tmp_path / "out.qml").is_file()


def test_maps_of_other_programs_are_refined(tmp_path: Path, scene: Path, labels: Path) -> None:
    with LabelMap(labels) as source:
        values = np.where(read(labels) == 0, np.int16(-1), read(labels))
        plain = write_plain(tmp_path / "plain.tif", values, source.grid, nodata=-1)
    refine(plain, scene, tmp_path / "a.tif")
    refine(labels, scene, tmp_path / "b.tif")
    assert np.array_equal(read(tmp_path / "a.tif"), read(tmp_path / "b.tif"))


def test_equal_commands_give_equal_bytes(tmp_path: Path, scene: Path, labels: Path, rsseg: Run) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        assert rsseg("refine", labels, "--scene", scene, "-o", tmp_path / name / "out.tif")[0] == 0
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_wrong_use_says_the_way_out(tmp_path: Path, scene: Path, labels: Path, rsseg: Run) -> None:
    out, before = tmp_path / "out.tif", sorted(tmp_path.iterdir())
    cases = [
        (("--method", "superpixels", "--strength", 2), "leave --strength out"),
        (("--method", "superpixels", "--passes", 1), "leave --passes out"),
        (("--method", "spectrum", "--passes", 1), "or use --method edges"),
        (("--method", "edges", "--neighbours", 1), "or use --method spectrum"),
        (("--radius", 0), "radius = 0"),
        (("--strength", "nan"), "strength = nan"),
        (("--method", "edges", "--passes", 11), "passes = 11"),
        (("--bands", "swir"), "its bands are green, red, nir"),
    ]
    for words, message in cases:
        code, _, err = rsseg("refine", labels, "--scene", scene, "-o", out, *words)
        assert (code, message in err) == (2, True), err
    code, _, err = rsseg("refine", labels, "--scene", scene, "-o", labels, "--overwrite")
    assert code == 2 and "input" in err
    assert sorted(tmp_path.iterdir()) == before
    assert rsseg("refine", labels, "--scene", scene, "-o", out)[0] == 0
    code, text, _ = rsseg("refine", labels, "--scene", scene, "-o", out, "--overwrite", "--json")
    assert code == 0 and json.loads(text)["method"] == "spectrum" and json.loads(text)["changed"] > 100
    assert rsseg("refine", labels, "--scene", scene, "-o", out)[0] == 2


def test_scenes_that_do_not_fit_are_refused(tmp_path: Path, labels: Path) -> None:
    other = write_scene(tmp_path / "other.tif", 48, 80)
    with pytest.raises(GridError, match="another grid"):
        refine(labels, other, tmp_path / "out.tif")
    empty = write_scene(tmp_path / "empty.tif", nodata=None)
    with rasterio.open(empty, "r+") as opened:
        opened.write(np.full((3, *SHAPE), 65535, np.uint16))
        opened.nodata = 65535
    with pytest.raises(InputError, match="nodata"):
        refine(labels, empty, tmp_path / "out.tif")
    assert not (tmp_path / "out.tif").exists()


def test_settings_refuse_what_a_method_does_not_take() -> None:
    assert refine_settings(method="edges", radius=None, strength=2.5).strength == 2.5
    with pytest.raises(UsageError, match="refine has no setting 'size'"):
        refine_settings(size=3)


def test_a_map_without_labels_stays_empty(tmp_path: Path, scene: Path) -> None:
    nothing = write_map(tmp_path / "nothing.tif", np.zeros(SHAPE, np.uint8))
    for method in WAYS:
        result = refine(nothing, scene, tmp_path / f"{method}.tif", WAYS[method]())
        assert (result.changed, result.pixels, result.nodata) == (0, {}, SHAPE[0] * SHAPE[1])
