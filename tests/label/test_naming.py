from pathlib import Path

import numpy as np
import pytest
from labelmaps import grid_for, write_map
from scenes import write_scene

from rsseg.errors import GridError
from rsseg.label import naming
from rsseg.label.maps import LabelMap
from rsseg.label.naming import RuleCounts, by_rules, count_rules
from rsseg.label.rules import REFLECTANCE, Pixels
from rsseg.scene.sensors import open_scene

CLOUD, WATER, DARK, DENSE, SPARSE, BARE = range(6)
"""The places of the rules on reflectance."""


def counts(rows: dict[int, dict[int, int]], light: dict[int, int] | None = None) -> RuleCounts:
    """Clusters with the pixels that meet each rule."""
    pixels, met, brightness = np.zeros(256, np.int64), np.zeros((256, 6), np.int64), np.zeros(256, np.int64)
    for cluster, row in rows.items():
        pixels[cluster] = max(1, sum(row.values()))
        met[cluster, list(row)] = list(row.values())
        brightness[cluster] = (light or {}).get(cluster, 0) * sum(row.values())
    return RuleCounts(pixels, met, brightness, 0)


def names(rows: dict[int, dict[int, int]]) -> dict[int, str]:
    return {item.value: item.name for item in by_rules(counts(rows), REFLECTANCE, {}).classes}


def test_counts_are_those_of_a_loop(tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = open_scene(write_scene(tmp_path / "s.tif", 600, 48))
    labels = rng.integers(0, 5, (600, 48)).astype(np.uint8)
    labels[:3, :5] = 200  # where the scene has no data
    with LabelMap(write_map(tmp_path / "l.tif", labels)) as source:
        found = count_rules(source, scene, REFLECTANCE)
        monkeypatch.setattr(naming, "_CHUNK", 999)
        again = count_rules(source, scene, REFLECTANCE)
    with scene.open() as reader:
        values, valid = reader.read(scene.grid.window)
    physical = values.astype(np.float32) * np.float32(1e-4) - np.float32(0.1)
    met = np.zeros((256, 6), np.int64)
    for row, col in zip(*np.nonzero(valid & (labels > 0)), strict=True):
        met[labels[row, col], REFLECTANCE.of(Pixels(("green", "red", "nir"), physical[:, row, col, None]))[0]] += 1
    assert np.array_equal(found.met, met)
    assert found.pixels[0] == 0 and found.pixels[200] == 15 and found.met[200].sum() == 0
    total = physical.mean(axis=0)[(labels == 3) & valid].sum() * 1e4
    assert found.light[3] == pytest.approx(total, rel=1e-3)
    for one, other in zip(vars(found).values(), vars(again).values(), strict=True):
        assert np.array_equal(one, other)


def test_a_cluster_takes_the_rule_of_most_of_its_pixels() -> None:
    legend = by_rules(counts({3: {WATER: 90, DARK: 10}, 200: {BARE: 5, SPARSE: 5}}), REFLECTANCE, {"by": "rules"})
    assert [(item.value, item.name, item.clusters, item.unknown) for item in legend.classes] == [
        *((3, "water-like", (3,), False), (200, "sparse vegetation-like", (200,), False))
    ]
    assert legend.evidence[3].how == "rules" and legend.evidence[3].pixels == 100 and legend.evidence[3].share == 0.9
    assert legend.evidence[200].share == 0.5


def test_less_than_half_is_mixed() -> None:
    assert names({1: {BARE: 40, SPARSE: 35, DENSE: 25}}) == {1: "mixed: bare or built-up-like / sparse vegetation-like"}


def test_equal_names_are_numbered_by_falling_size() -> None:
    rows = {1: {DENSE: 5}, 2: {DENSE: 50}, 3: {WATER: 9}, 4: {DENSE: 20}}
    mixed = {6: {BARE: 4, DARK: 3, WATER: 2}, 7: {BARE: 40, DARK: 30, WATER: 20}}
    found = names(rows | mixed)
    assert [found[value] for value in (2, 4, 1)] == [f"dense vegetation-like {number}" for number in (1, 2, 3)]
    assert found[3] == "water-like"
    assert found[7] == "mixed: bare or built-up-like / shadow-like or dark 1" and found[6].endswith("dark 2")


def test_names_are_unique_for_any_counts(rng: np.random.Generator) -> None:
    rows = {cluster: dict(enumerate(rng.integers(0, 4, 6).tolist())) for cluster in range(1, 256)}
    rows[9] = {}
    found = names(rows)
    assert len(set(found.values())) == len(found) == 255 and found[9] == "cluster 9"


def test_brighter_clusters_of_a_rule_have_lighter_shades() -> None:
    rows = {1: {DENSE: 5}, 2: {DENSE: 50}, 3: {DENSE: 20}, 4: {WATER: 1}}
    legend = by_rules(counts(rows, {1: 300, 2: 900, 3: 100}), REFLECTANCE, {})
    shades = {item.value: int((item.colour or "#0")[3:5], 16) for item in legend.classes}
    assert shades[3] < shades[1] < shades[2]
    assert len({item.colour for item in legend.classes}) == 4


def test_a_cluster_without_a_valid_pixel_is_unknown() -> None:
    item = by_rules(counts({4: {}}), REFLECTANCE, {}).classes[0]
    assert (item.name, item.unknown, item.colour) == ("cluster 4", True, None)


def test_a_scene_of_another_grid_is_refused(tmp_path: Path) -> None:
    scene = open_scene(write_scene(tmp_path / "s.tif", 48, 64))
    path = write_map(tmp_path / "l.tif", np.ones((48, 63), np.uint8), grid=grid_for((48, 63)))
    with LabelMap(path) as source, pytest.raises(GridError, match="another grid"):
        count_rules(source, scene, REFLECTANCE)
