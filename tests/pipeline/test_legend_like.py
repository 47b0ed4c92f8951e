"""Legends from another map: of the same place by its pixels, of another one by spectra."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from labelmaps import Run, grid_for, write_map, write_plain
from scenes import fields, write_scene

from rsseg.label.legend_file import read_legend
from rsseg.label.legend_like import pooled_spread
from rsseg.label.maps import LabelMap
from rsseg.label.spectra import cluster_spectra
from rsseg.pipeline.stages.legend import legend
from rsseg.publish.labels import LabelClass
from rsseg.scene.sensors import open_scene

SHAPE = (48, 64)
CLASSES = (
    *(LabelClass(40, "water", "#0000ff"), LabelClass(7, "green", "#00ff00"), LabelClass(200, "town", "#ff0000")),
    LabelClass(1, "elsewhere", "#123456"),
)
KINDS = np.array([40, 7, 200], np.uint8)
"""The values of water, vegetation and town in the other map."""


@pytest.fixture
def like(tmp_path: Path) -> Path:
    return write_map(tmp_path / "like.tif", KINDS[fields(*SHAPE)], classes=CLASSES)


@pytest.fixture
def clusters(tmp_path: Path) -> Path:
    """Two clusters of each kind, 1 and 4 water and so on, one pixel in ten of 1 on another kind."""
    rng = np.random.default_rng(1)
    labels = 1 + fields(*SHAPE) + 3 * rng.integers(0, 2, SHAPE)
    labels[rng.random(SHAPE) < 0.1] = 1
    return write_map(tmp_path / "map.tif", labels.astype(np.uint8))


def read(path: Path) -> np.ndarray:
    with LabelMap(path) as opened:
        return opened.read(opened.grid.window)


def test_clusters_get_the_other_maps_names_colours_and_values(
    tmp_path: Path, like: Path, clusters: Path, rsseg: Run
) -> None:
    code, text, err = rsseg("legend", clusters, "--like", like, "-o", tmp_path / "l.yaml")
    assert (code, err) == (0, "") and "6 clusters in 4 classes" in text
    found = read_legend(tmp_path / "l.yaml")
    assert {(item.value, item.name, item.colour): item.clusters for item in found.classes} == {
        **{(40, "water", "#0000ff"): (1, 4), (7, "green", "#00ff00"): (2, 5), (200, "town", "#ff0000"): (3, 6)},
        (1, "elsewhere", "#123456"): (),
    }
    labels, classes = read(clusters), read(like)
    counts = [int(((labels == 1) & (classes == value)).sum()) for value in KINDS]
    evidence = found.evidence[1]
    assert (evidence.how, evidence.pixels) == ("map", sum(counts))
    assert evidence.share == pytest.approx(counts[0] / sum(counts), abs=1e-4)
    second = max(counts[1:])
    assert evidence.doubt == pytest.approx(second / (counts[0] + second), abs=1e-4)
    assert evidence.next == ("green", "town")[counts[1:].index(second)]
    assert found.made["by"] == "map" and found.made["like"] == "like.tif" and found.made["labels"] == "map.tif"


def test_a_relabelled_map_is_drawn_like_the_other(tmp_path: Path, like: Path, clusters: Path, rsseg: Run) -> None:
    labels = np.where(read(like) == 40, 9, np.where(read(like) == 7, 3, 1)).astype(np.uint8)
    path = write_map(tmp_path / "other.tif", labels)
    assert rsseg("legend", path, "--like", like, "-o", tmp_path / "l.yaml")[0] == 0
    assert rsseg("relabel", path, "--legend", tmp_path / "l.yaml", "-o", tmp_path / "o.tif")[0] == 0
    with LabelMap(like) as one, LabelMap(tmp_path / "o.tif") as other:
        assert np.array_equal(read(like), read(tmp_path / "o.tif"))
        assert other.names == one.names
        assert {value: other.colours[value] for value in KINDS} == {value: one.colours[value] for value in KINDS}


def test_clusters_that_lie_nowhere_on_it_stay_unknown_or_go_by_spectra(tmp_path: Path, like: Path) -> None:
    labels = (1 + fields(*SHAPE)).astype(np.uint8)
    partly = read(like)
    partly[:, 32:] = 0
    labels[:, 32:] += 10
    paths = write_map(tmp_path / "m.tif", labels), write_map(tmp_path / "p.tif", partly, classes=CLASSES)
    found = legend(paths[0], tmp_path / "a.yaml", like=paths[1])
    assert [(item.value, item.name, item.clusters) for item in found.classes if item.unknown] == [
        *((2, "cluster 11", (11,)), (3, "cluster 12", (12,)), (4, "cluster 13", (13,)))  # 1 is the other map's
    ]
    assert len({item.colour for item in found.classes}) == 7
    scene = write_scene(tmp_path / "scene.tif", *SHAPE)
    found = legend(paths[0], tmp_path / "b.yaml", like=paths[1], scene=scene)
    assert {item.name: item.clusters for item in found.classes} == {
        **{"water": (1, 11), "green": (2, 12), "town": (3, 13), "elsewhere": ()}
    }
    assert found.evidence[11].how == "spectra" and found.evidence[1].how == "map"


def test_maps_without_names_have_their_values(tmp_path: Path, clusters: Path) -> None:
    other = write_plain(tmp_path / "bare.tif", KINDS[fields(*SHAPE)].astype(np.int16), grid_for(SHAPE))
    found = legend(clusters, tmp_path / "l.yaml", like=other)
    assert {item.value: item.name for item in found.classes} == {7: "class 7", 40: "class 40", 200: "class 200"}


def test_another_grid_says_both_ways_out(tmp_path: Path, clusters: Path, like: Path, rsseg: Run) -> None:
    coarse = write_map(tmp_path / "c.tif", read(like)[::2, ::2], grid=grid_for(SHAPE).coarsened(2), classes=CLASSES)
    words = ("legend", clusters, "--like", coarse, "-o", tmp_path / "l.yaml")
    code, _, err = rsseg(*words)
    assert code == 1 and "--resample nearest" in err and "--like-scene" in err and "24 x 32" in err and "48 x 64" in err
    assert rsseg(*words, "--resample", "nearest")[0] == 0
    assert read_legend(tmp_path / "l.yaml").classes[1].clusters == (2, 5)
    empty = write_map(tmp_path / "e.tif", np.zeros(SHAPE, np.uint8), classes=CLASSES)
    code, _, err = rsseg("legend", clusters, "--like", empty, "-o", tmp_path / "n.yaml")
    assert code == 1 and "has data on no labelled pixel" in err and not (tmp_path / "n.yaml").exists()


# another place


@pytest.fixture
def elsewhere(tmp_path: Path) -> tuple[Path, Path]:
    """A named map of another place, of another size, without a class "elsewhere" in it, and its scene."""
    shape = (64, 48)
    named = write_map(tmp_path / "far.tif", KINDS[fields(*shape, seed=5)], classes=CLASSES)
    return named, write_scene(tmp_path / "far_scene.tif", *shape, seed=5)


def test_another_place_is_named_by_spectra(
    tmp_path: Path, elsewhere: tuple[Path, Path], clusters: Path, rsseg: Run
) -> None:
    scene = write_scene(tmp_path / "scene.tif", *SHAPE)
    words = ("legend", clusters, "--like", elsewhere[0], "--like-scene", elsewhere[1], "--scene", scene)
    code, text, err = rsseg(*words, "-o", tmp_path / "l.yaml", "--json")
    assert (code, err) == (0, "")
    found = read_legend(tmp_path / "l.yaml")
    assert {(item.value, item.name, item.colour): item.clusters for item in found.classes} == {
        **{(40, "water", "#0000ff"): (1, 4), (7, "green", "#00ff00"): (2, 5), (200, "town", "#ff0000"): (3, 6)},
        (1, "elsewhere", "#123456"): (),
    }
    assert json.loads(text)["evidence"]["2"]["how"] == "spectra"
    assert found.made["like_scene"] == "far_scene" and found.made["bands"] == "green, red, nir"
    # the slow way, for one cluster: distances in pooled deviations
    with LabelMap(clusters) as one, LabelMap(elsewhere[0]) as other:
        mine, theirs = cluster_spectra(one, open_scene(scene)), cluster_spectra(other, open_scene(elsewhere[1]))
    values = {path: pixels_of(path) for path in (scene, elsewhere[1])}
    squares = sum(((part - part.mean(axis=0)) ** 2).sum(axis=0) for part in values.values())
    spread = np.sqrt(squares / sum(map(len, values.values())))
    assert pooled_spread(mine, theirs) == pytest.approx(spread, rel=1e-6)
    away = {value: float(np.linalg.norm((mine.means[1] - theirs.means[value]) / spread)) for value in KINDS}
    first, second = sorted(away.values())[:2]
    assert found.evidence[1].doubt == pytest.approx(first / (first + second), abs=1e-4)


def pixels_of(path: Path) -> np.ndarray:
    """The valid pixels' reflectance: (n, bands)."""
    with rasterio.open(path) as opened:
        stored = opened.read().reshape(3, -1).T.astype(float)
    return stored[stored[:, 0] != 65535] * 1e-4 - 0.1


def with_bands(scene: Path, path: Path, order: tuple[int, ...], names: tuple[str, ...]) -> Path:
    with rasterio.open(scene) as opened:
        values, profile = opened.read(), opened.profile
    profile.update(count=len(order))
    with rasterio.open(path, "w", **profile) as file:
        file.write(values[list(order)])
        file.descriptions = names
        file.scales, file.offsets = (1e-4,) * len(order), (-0.1,) * len(order)
    return path


def test_bands_go_by_name(tmp_path: Path, elsewhere: tuple[Path, Path], clusters: Path) -> None:
    scene = write_scene(tmp_path / "scene.tif", *SHAPE)
    other = with_bands(elsewhere[1], tmp_path / "turned.tif", (2, 0, 1), ("NIR", "green", "swir"))
    found = legend(clusters, tmp_path / "l.yaml", like=elsewhere[0], like_scene=other, scene=scene)
    assert found.made["bands"] == "green, nir"
    assert {item.name: item.clusters for item in found.classes if item.clusters} == {
        **{"water": (1, 4), "green": (2, 5), "town": (3, 6)}
    }


def test_what_cannot_be_compared_is_refused(
    tmp_path: Path, elsewhere: tuple[Path, Path], clusters: Path, rsseg: Run
) -> None:
    scene = write_scene(tmp_path / "scene.tif", *SHAPE)
    bare = write_scene(tmp_path / "bare.tif", *SHAPE, stored=False)
    strange = with_bands(elsewhere[1], tmp_path / "s.tif", (0, 1), ("a", "b"))
    like = ("--like", elsewhere[0])
    cases = [
        ((*like, "--like-scene", elsewhere[1], "--scene", bare), 2, "is uncalibrated", "--scale"),
        ((*like, "--like-scene", strange, "--scene", scene), 2, "no band of one name", "a, b"),
        ((*like, "--like-scene", scene, "--scene", scene), 1, "another grid", ""),
        ((*like, "--like-scene", elsewhere[1]), 2, "--like-scene", "all three"),
        (("--scene", scene, "--like-scene", elsewhere[1]), 2, "--like-scene", "all three"),
        ((*like, "--scene", scene, "--classes", 3), 2, "--like the other map", "leave out --classes"),
        ((*like, "--reference", elsewhere[0]), 2, "leave out one", ""),
        ((*like,), 1, "another grid", "--like-scene"),
    ]
    for words, expected, *parts in cases:
        code, _, err = rsseg("legend", clusters, *words, "-o", tmp_path / "l.yaml")
        assert code == expected and all(part in err for part in parts) and err.count("\n") == 1, err
    assert not (tmp_path / "l.yaml").exists()


def test_uncalibrated_scenes_are_compared_with_a_word_of_warning(
    tmp_path: Path, elsewhere: tuple[Path, Path], clusters: Path, rsseg: Run
) -> None:
    bare = write_scene(tmp_path / "bare.tif", *SHAPE, stored=False)
    far = write_scene(tmp_path / "far_bare.tif", 64, 48, seed=5, stored=False)
    words = ("legend", clusters, "--like", elsewhere[0], "--like-scene", far, "--scene", bare)
    code, _, err = rsseg(*words, "-o", tmp_path / "l.yaml")
    assert code == 0 and "uncalibrated" in err and "same sensor" in err
    code, _, err = rsseg(*words, "--scale", "1e-4,-0.1", "-o", tmp_path / "s.yaml")
    assert (code, err) == (0, "")
    assert read_legend(tmp_path / "s.yaml").table.tolist() == read_legend(tmp_path / "l.yaml").table.tolist()


def test_legends_of_equal_inputs_are_equal_bytes(tmp_path: Path, like: Path, clusters: Path) -> None:
    for name in "ab":
        legend(clusters, tmp_path / f"{name}.yaml", like=like)
    assert (tmp_path / "a.yaml").read_bytes() == (tmp_path / "b.yaml").read_bytes()
