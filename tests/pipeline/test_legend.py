import json
from pathlib import Path

import numpy as np
import pytest
from labelmaps import Run, grid_for, write_boxes, write_map
from scenes import FIELD, NAMES, REFLECTANCE, fields, write_reference, write_scene

from rsseg.label.legend_file import from_yaml, read_legend, to_yaml
from rsseg.label.maps import LabelMap
from rsseg.label.reduction import by_reference
from rsseg.pipeline.stages.legend import legend
from rsseg.publish.class_colours import class_colours
from rsseg.publish.labels import LabelClass

SHAPE = (48, 64)


def many_clusters(shape: tuple[int, int], count: int, seed: int = 5) -> np.ndarray:
    """A map of ``count`` clusters, each on one kind of land but for one pixel in ten; kind k has k, k + 3, ..."""
    rng = np.random.default_rng(seed)
    kinds = np.where(rng.random(shape) < 0.9, fields(*shape), rng.integers(0, 3, shape))
    return (1 + kinds + 3 * rng.integers(0, (count - kinds + 2) // 3, shape)).astype(np.uint8)


def class_colours_of(*names: str) -> dict[str, str]:
    colours = class_colours(dict(enumerate(names, 1)))
    return {name: colours[value] for value, name in enumerate(names, 1)}


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_scene(tmp_path / "scene.tif", *SHAPE)


def test_each_cluster_gets_the_class_it_mostly_lies_on(tmp_path: Path, rsseg: Run) -> None:
    labels = many_clusters(SHAPE, 30)
    path = write_map(tmp_path / "map.tif", labels)
    reference = write_reference(tmp_path / "r.gpkg", *SHAPE)
    out = tmp_path / "l.yaml"
    code, text, err = rsseg("legend", path, "--reference", reference, "--field", "class", "-o", out)
    assert (code, err) == (0, "") and "30 clusters in 3 classes" in text and "rsseg relabel" in text
    read = read_legend(out)
    assert [item.name for item in read.classes] == sorted(NAMES)
    assert {item.name: item.colour for item in read.classes} == class_colours_of("town", "vegetation", "water")
    for item in read.classes:
        first = NAMES.index(item.name) + 1
        assert item.clusters == tuple(range(first, 31, 3)) and not item.unknown
    assert read.made["by"] == "reference" and read.made["labels"] == "map.tif" and read.made["field"] == "class"
    truth = np.zeros(SHAPE, bool)
    for row, col in np.ndindex(3, 4):
        truth[FIELD * row + 2 : FIELD * (row + 1) - 2, FIELD * col + 2 : FIELD * (col + 1) - 2] = True
    on = (labels == 8) & truth
    assert read.evidence[8].pixels == on.sum()
    met = [int((on & (fields(*SHAPE) == kind)).sum()) for kind in range(3)]
    assert read.evidence[8].share == pytest.approx(met[1] / on.sum(), abs=1e-4)
    runner_up = max(met[0], met[2])
    assert read.evidence[8].doubt == pytest.approx(runner_up / (met[1] + runner_up), abs=1e-4)
    assert read.evidence[8].next == NAMES[2 if met[2] > met[0] else 0] or met[0] == met[2]


@pytest.fixture
def partly(tmp_path: Path) -> tuple[Path, Path]:
    """A map with clusters 1 to 3 as on the reference, and 7 and 9, water and town, where no reference is."""
    kinds = fields(*SHAPE)
    labels = (1 + kinds).astype(np.uint8)
    labels[:, 32:] = np.array([7, 2, 9])[kinds[:, 32:]]
    labels[20, 50] = 40  # a cluster on the border to nothing: where the scene will have no data
    boxes = [
        (row, col, FIELD, FIELD, NAMES[kinds[row, col]]) for row in range(0, 48, FIELD) for col in range(0, 32, FIELD)
    ]
    return write_map(tmp_path / "map.tif", labels), write_boxes(tmp_path / "r.gpkg", grid_for(SHAPE), boxes)


def test_clusters_without_reference_stay_unknown(partly: tuple[Path, Path], tmp_path: Path) -> None:
    read = legend(partly[0], tmp_path / "l.yaml", reference=partly[1], field="class")
    assert [(item.value, item.name, item.clusters, item.unknown) for item in read.classes] == [
        (1, "town", (3,), False),
        (2, "vegetation", (2,), False),
        (3, "water", (1,), False),
        (4, "cluster 7", (7,), True),
        (5, "cluster 9", (9,), True),
        (6, "cluster 40", (40,), True),
    ]
    assert read.evidence[7].how == "none"
    assert len({item.colour for item in read.classes}) == 6
    assert read == read_legend(tmp_path / "l.yaml")


def test_or_get_the_class_of_the_nearest_spectrum(partly: tuple[Path, Path], tmp_path: Path, scene: Path) -> None:
    import rasterio

    with rasterio.open(scene, "r+") as opened:
        values = opened.read()
        values[:, 20, 50] = 65535
        opened.write(values)
    read = legend(partly[0], tmp_path / "l.yaml", reference=partly[1], field="class", scene=scene)
    assert {item.name: item.clusters for item in read.classes} == {
        **{"town": (3, 9), "vegetation": (2,), "water": (1, 7)},
        "cluster 40": (40,),  # no valid pixel, no spectrum
    }
    assert read.evidence[7].how == "spectra" and read.evidence[7].doubt is not None and read.evidence[7].doubt < 0.1
    assert read.evidence[3].how == "reference" and read.evidence[3].share == 1
    assert read.made["scene"] == "scene" and read.made["bands"] == "green, red, nir"


def test_clusters_of_similar_spectra_become_classes(tmp_path: Path, scene: Path, rsseg: Run) -> None:
    kinds = fields(*SHAPE)
    labels = (1 + kinds + 3 * np.random.default_rng(0).integers(0, 20, SHAPE)).astype(np.uint8)
    path, out = write_map(tmp_path / "map.tif", labels), tmp_path / "l.yaml"
    code, text, _ = rsseg("legend", path, "--scene", scene, "--classes", 3, "-o", out, "--json")
    read = read_legend(out)
    assert code == 0 and json.loads(text)["classes"][0]["name"] == "class 1"
    assert [item.name for item in read.classes] == ["class 1", "class 2", "class 3"]
    found = {frozenset(item.clusters) for item in read.classes}
    assert found == {frozenset(range(first, 61, 3)) for first in (1, 2, 3)}
    sizes = [np.isin(labels, item.clusters).sum() for item in read.classes]
    assert sizes == sorted(sizes, reverse=True)
    assert all(reason.how == "spectra" and reason.doubt is not None for reason in read.evidence.values())
    assert read.evidence[1].pixels < (labels == 1).sum() + 1


@pytest.mark.parametrize(
    ("row", "share", "doubt", "following"),
    [
        ((6, 0, 0), 1.0, 0.0, None),
        ((5, 3, 2), 0.5, 0.375, "b"),
        ((2, 2, 0), 0.5, 0.5, "b"),
        ((1, 2, 7), 0.7, 0.2222, "b"),
    ],
)
def test_doubt_is_how_near_the_next_class_comes(
    row: tuple[int, ...], share: float, doubt: float, following: str | None
) -> None:
    table = np.zeros((256, 4), np.int64)
    table[9, 1:] = row
    found = by_reference(table, "abc", (None, None, None), {}).evidence[9]
    assert (found.pixels, found.share, found.doubt, found.next) == (sum(row), share, doubt, following)


def test_a_reference_of_one_class_has_no_next(tmp_path: Path) -> None:
    table = np.zeros((256, 2), np.int64)
    table[9] = 5, 5
    found = by_reference(table, ["only"], [None], {}).evidence[9]
    assert (found.share, found.doubt, found.next) == (1.0, None, None)


def test_what_is_worth_a_look_is_said(tmp_path: Path, rsseg: Run) -> None:
    labels, reference = np.ones((10, 20), np.uint8), np.ones((10, 20), np.uint8)
    reference[:, :9] = 2
    labels[0, 19] = 2
    paths = write_map(tmp_path / "m.tif", labels), write_map(tmp_path / "r.tif", reference)
    code, text, _ = rsseg("legend", paths[0], "--reference", paths[1], "-o", tmp_path / "l.yaml")
    assert code == 0
    assert "cluster 1 in cluster 1: only 55% of its 199 reference pixels are, 45% are cluster 2" in text
    assert "cluster 2 in cluster 1: only 1 reference pixels say so" in text


def test_a_part_of_the_reference_makes_the_legend(tmp_path: Path, rsseg: Run) -> None:
    path = write_map(tmp_path / "m.tif", (1 + fields(*SHAPE)).astype(np.uint8))
    reference = write_reference(tmp_path / "r.gpkg", *SHAPE)
    words = ("legend", path, "--reference", reference, "--field", "class")
    pixels = {}
    for name, options in (("all", ()), ("fit", ("--part", "fit")), ("score", ("--part", "score"))):
        code, _, err = rsseg(*words, *options, "-o", tmp_path / f"{name}.yaml")
        read = read_legend(tmp_path / f"{name}.yaml")
        assert code == 0 and ("part fit" in err or "fit has" in err or name == "all"), err
        assert read.made.get("part", "all").startswith(name)
        pixels[name] = sum(item.pixels for item in read.evidence.values())
    assert 0 < pixels["fit"] < pixels["all"] == pixels["fit"] + pixels["score"]
    code, _, err = rsseg("legend", path, "--like", path, "--part", "fit", "-o", tmp_path / "n.yaml")
    assert code == 2 and "--part splits the reference" in err


def test_how_clusters_are_numbered_does_not_matter(tmp_path: Path, scene: Path) -> None:
    labels = many_clusters(SHAPE, 50)
    order = np.concatenate([[0], np.random.default_rng(2).permutation(255) + 1]).astype(np.uint8)
    maps = []
    for name, values in (("a", labels), ("b", order[labels])):
        path = write_map(tmp_path / f"{name}.tif", values)
        maps.append(legend(path, tmp_path / f"{name}.yaml", scene=scene, classes=7).table[values])
    assert np.array_equal(maps[0], maps[1])


def test_the_same_map_gives_the_same_bytes(tmp_path: Path, scene: Path) -> None:
    path = write_map(tmp_path / "map.tif", many_clusters(SHAPE, 50))
    for name in "ab":
        legend(path, tmp_path / f"{name}.yaml", scene=scene, classes=4)
    assert (tmp_path / "a.yaml").read_bytes() == (tmp_path / "b.yaml").read_bytes()


def test_clusters_without_a_valid_pixel_stay_unknown(tmp_path: Path, scene: Path) -> None:
    labels = (1 + fields(*SHAPE)).astype(np.uint8)
    labels[:3, :5] = 200
    read = legend(write_map(tmp_path / "m.tif", labels), tmp_path / "l.yaml", scene=scene, classes=2)
    assert [(item.name, item.unknown) for item in read.classes] == [
        *(("class 1", False), ("class 2", False), ("cluster 200", True))
    ]


def test_a_reference_raster_gives_its_names_and_colours(tmp_path: Path) -> None:
    kinds = (1 + fields(*SHAPE)).astype(np.uint8)
    classes = [LabelClass(2, "cluster 9", "#123456"), LabelClass(5, "water", "#0000ff"), LabelClass(7, "x", "#0072b2")]
    reference = write_map(tmp_path / "r.tif", np.array([0, 2, 5, 7], np.uint8)[kinds] * (kinds > 1), classes=classes)
    labels = kinds.copy()
    labels[kinds == 1] = 9
    read = legend(write_map(tmp_path / "m.tif", labels), tmp_path / "l.yaml", reference=reference)
    assert [(item.name, item.colour, item.clusters) for item in read.classes[:2]] == [
        *(("water", "#0000ff", (2,)), ("x", "#0072b2", (3,)))
    ]
    assert read.classes[2].name == "cluster 9" and read.classes[2].unknown
    assert read == from_yaml(to_yaml(read))


def test_names_that_occur_twice_are_told_apart(tmp_path: Path) -> None:
    kinds = (1 + fields(*SHAPE)).astype(np.uint8)
    classes = [LabelClass(1, "cluster 9", "#123456"), LabelClass(2, "a", "#0000ff"), LabelClass(3, "a", "#0000fe")]
    reference = kinds.copy()
    reference[:, 48:] = 0
    labels = kinds.copy()
    labels[:, 48:] = 9
    paths = write_map(tmp_path / "m.tif", labels), write_map(tmp_path / "r.tif", reference, classes=classes)
    read = legend(paths[0], tmp_path / "l.yaml", reference=paths[1])
    assert [item.name for item in read.classes] == ["cluster 9", "a", "a (3)", "cluster 9 (4)"]


def test_more_classes_than_values_are_refused(tmp_path: Path, rsseg: Run) -> None:
    labels, reference = np.ones((2, 200), np.uint8), np.zeros((2, 200), np.uint8)
    reference[0] = np.arange(1, 201)
    labels[1, :56] = np.arange(2, 58)
    paths = write_map(tmp_path / "m.tif", labels), write_map(tmp_path / "r.tif", reference)
    code, _, err = rsseg("legend", paths[0], "--reference", paths[1], "-o", tmp_path / "l.yaml")
    assert code == 2 and "200 classes and 56 clusters" in err and "--scene" in err


def test_wrong_use_says_the_way_out(tmp_path: Path, scene: Path, rsseg: Run) -> None:
    labels = write_map(tmp_path / "map.tif", (1 + fields(*SHAPE)).astype(np.uint8))
    reference = write_reference(tmp_path / "r.gpkg", *SHAPE)
    other = write_scene(tmp_path / "other.tif", 48, 48)
    empty = write_map(tmp_path / "empty.tif", np.zeros(SHAPE, np.uint8))
    out = tmp_path / "l.yaml"
    cases = [
        ((), 2, "--reference REF, with --like MAP, or with --scene SCENE (and --classes N"),
        (("--classes", 3), 2, "--scene SCENE"),
        (("--reference", reference, "--field", "class", "--classes", 3), 2, "leave out --classes"),
        (("--reference", reference), 2, "--field"),
        (("--scene", scene, "--classes", 4), 2, "3 clusters in the scene, too few for 4 classes"),
        (("--scene", scene, "--classes", 0), 2, "0"),
        (("--scene", other, "--classes", 2), 1, "another grid"),
        (("--scene", other), 1, "another grid"),
        (("--reference", reference, "--field", "class", "--scene", other), 1, "another grid"),
        (("--scene", tmp_path / "absent.tif", "--classes", 2), 1, "does not exist"),
    ]
    for words, expected, message in cases:
        code, _, err = rsseg("legend", labels, *words, "-o", out)
        assert (code, message in err) == (expected, True), err
        assert not out.exists()
    code, _, err = rsseg("legend", labels, "--scene", scene, "--classes", 2, "-o", tmp_path / "l.tif")
    assert code == 2 and "end it in .yaml" in err
    code, _, err = rsseg("legend", empty, "--scene", scene, "--classes", 2, "-o", out)
    assert code == 1 and "labels no pixel" in err


def test_a_reference_raster_of_another_grid_needs_resampling(tmp_path: Path, rsseg: Run) -> None:
    path = write_map(tmp_path / "m.tif", np.array([[1, 1, 2, 2]] * 4, np.uint8))
    coarse = write_map(tmp_path / "r.tif", np.array([[2, 1]] * 2, np.uint8), grid=grid_for((4, 4)).coarsened(2))
    words = ("legend", path, "--reference", coarse, "-o", tmp_path / "l.yaml")
    code, _, err = rsseg(*words)
    assert code == 1 and "--resample nearest" in err
    assert rsseg(*words, "--resample", "nearest")[0] == 0
    assert [item.clusters for item in read_legend(tmp_path / "l.yaml").classes] == [(2,), (1,)]


def test_outputs_are_replaced_on_request_and_never_inputs(tmp_path: Path, scene: Path, rsseg: Run) -> None:
    labels = write_map(tmp_path / "map.tif", (1 + fields(*SHAPE)).astype(np.uint8))
    words = ("legend", labels, "--scene", scene, "--classes", 2, "-o")
    out = tmp_path / "l.yaml"
    assert rsseg(*words, out)[0] == 0
    assert rsseg(*words, out)[0] == 2
    assert rsseg(*words, out, "--overwrite")[0] == 0
    link = tmp_path / "link.yaml"
    link.symlink_to(labels)
    code, _, err = rsseg(*words, link, "--overwrite")
    assert code == 2 and "input" in err
    with LabelMap(labels) as opened:
        assert opened.grid.shape == SHAPE


def test_reflectance_is_what_the_spectra_are_in(tmp_path: Path, scene: Path) -> None:
    from rsseg.label.spectra import cluster_spectra
    from rsseg.scene.sensors import open_scene

    with LabelMap(write_map(tmp_path / "map.tif", (1 + fields(*SHAPE)).astype(np.uint8))) as source:
        found = cluster_spectra(source, open_scene(scene))
    assert np.allclose(found.means[1:4], REFLECTANCE, atol=0.002)
    assert np.allclose(found.variances[1:4], 1e-4, rtol=0.2)
