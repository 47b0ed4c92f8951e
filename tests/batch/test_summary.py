"""What a batch tells its reader: a table, the failures and a page that no name can break."""

import csv
import io
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from batch_folders import done, failed
from browser import chromium
from labelmaps import grid_for, write_map
from rasterio.crs import CRS
from run_folders import HOSTILE, write_confidence

from rsseg.batch import summary
from rsseg.batch.map_facts import map_facts
from rsseg.batch.outcome import Outcome
from rsseg.errors import InputError
from rsseg.publish.palette import LabelClass
from rsseg.scene.grid import Grid

ABOUT = {"Pipeline": "quick", "Archive": "/data/<archive>"}
CLASSES = tuple(LabelClass(value, name, f"#0000{value:02x}") for value, name in enumerate(HOSTILE, 1))


def told(pixels: dict[int, int], names: tuple[str, ...] = ("water", "forest"), **more: Any) -> dict[str, Any]:
    """Facts of a map of 5 m pixels."""
    classes = [
        {"value": value, "name": names[value - 1], "colour": "#0072b2", "pixels": count, "hectares": count * 0.0025}
        for value, count in pixels.items()
    ]
    total = sum(pixels.values())
    figures = {"labelled": 0.5, "found": len(pixels), "largest": max(pixels.values()) / total, "confidence": None}
    return {**figures, "classes": classes, **more}


def outcomes() -> list[Outcome]:
    facts = {"sensor": "LISS4", "satellite": "ResourceSat-2", "time": "2018-10-02T05:15:30Z", "path": "102", "row": 56}
    grid = {
        "height": 48,
        "width": 64,
        "crs": "WGS 84 / UTM zone 45N",
        "units": "reflectance",
        "bands": ["green", "nir"],
    }
    maps = {"a": told({1: 100, 2: 300}), "b": told({2: 10}, confidence=0.75)}
    return [
        done("one", ("b", "a"), **facts, **grid, maps=maps),
        done("two", ("a", "b"), time="some day", maps={"a": told({1: 100}), "b": told({2: 30})}),
        failed("=cmd|' /C calc'!A0", "InputError", "-1 is no\nnumber", 'copy it; "again"'),
        failed("<script>alert(1)</script>", "time", HOSTILE[2], "--time-limit 4h"),
    ]


class Reader(HTMLParser):
    """Elements with their attributes, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str, attribute: str) -> Iterator[str]:
        return (found[attribute] or "" for name, found in self.elements if name == tag and attribute in found)


def test_the_table_has_a_row_for_each_map_and_one_for_each_failure(tmp_path: Path) -> None:
    files = summary.write(outcomes(), tmp_path, ABOUT)
    table = pq.read_table(files.parquet)
    rows = table.to_pylist()
    assert [(row["scene"], row["model"]) for row in rows] == [
        ("<script>alert(1)</script>", None),
        ("=cmd|' /C calc'!A0", None),
        ("one", "a"),
        ("one", "b"),
        ("two", "a"),
        ("two", "b"),
    ]
    assert table.schema.field("time").type == pa.timestamp("ms", tz="UTC")
    assert table.schema.field("largest").type == pa.float64() and table.schema.field("classes").type == pa.int64()
    first = rows[2]
    assert first["time"].isoformat() == "2018-10-02T05:15:30+00:00" and rows[4]["time"] is None
    assert (first["path"], first["row"], first["height"], first["bands"]) == ("102", "56", 48, "green, nir")
    assert (first["labelled"], first["classes"], first["largest"], first["confidence"]) == (0.5, 2, 0.75, None)
    assert rows[3]["confidence"] == 0.75 and first["labels"] == "scenes/one/one/labels/a.tif"
    assert rows[0]["kind"] == "time" and rows[0]["cause"] == HOSTILE[2] and first["kind"] is None


def test_failures_are_a_list_that_no_spreadsheet_computes(tmp_path: Path) -> None:
    text = summary.write(outcomes(), tmp_path, ABOUT).failures.read_text(encoding="utf-8")
    lines = list(csv.reader(io.StringIO(text, newline="")))
    assert lines[0] == ["scene", "place", "kind", "cause", "what to do"]
    assert lines[1][0] == "<script>alert(1)</script>" and lines[1][4] == "'--time-limit 4h"
    assert lines[2][0] == "'=cmd|' /C calc'!A0" and lines[2][3] == "'-1 is no\nnumber"
    assert len(lines) == 3


def test_without_failures_there_is_the_header_alone(tmp_path: Path) -> None:
    files = summary.write(outcomes()[:2], tmp_path, ABOUT)
    assert files.failures.read_text() == "scene,place,kind,cause,what to do\n"
    assert "Failures" not in files.page.read_text(encoding="utf-8")


def test_equal_outcomes_in_any_order_give_the_same_bytes(tmp_path: Path) -> None:
    made = []
    for name, items in (("a", outcomes()), ("b", outcomes()[::-1])):
        (tmp_path / name).mkdir()
        files = summary.write(items, tmp_path / name, ABOUT)
        made.append([path.read_bytes() for path in (files.parquet, files.page, files.failures)])
    assert made[0] == made[1]


def test_an_empty_archive_has_a_page_too(tmp_path: Path) -> None:
    files = summary.write([], tmp_path, ABOUT)
    assert pq.read_table(files.parquet).num_rows == 0
    assert "0 scenes" in files.page.read_text(encoding="utf-8")


def test_names_are_shown_and_run_nowhere(tmp_path: Path) -> None:
    facts = {"maps": {"a": told({1: 5, 2: 6}, HOSTILE[:2])}, "sensor": HOSTILE[1]}
    items = [*outcomes()[2:], done('..\\"><b>x javascript:alert(1)', ("a",), **facts)]
    text = summary.write(items, tmp_path, {"<i>Archive</i>": HOSTILE[0]}).page.read_text(encoding="utf-8")
    page = Reader(text)
    assert {name for name, _ in page.elements}.isdisjoint({"script", "i", "b"})
    assert HOSTILE[0] in page.text and "<i>Archive</i>" in page.text and "\u202e" not in text
    assert all(link.startswith(("./", "#")) and "javascript:" not in link for link in page.all("a", "href"))
    assert not [found for name, found in page.elements if any(key.startswith("on") for key in found)]


def test_shares_of_classes_are_those_of_the_ground(tmp_path: Path) -> None:
    text = Reader(summary.write(outcomes(), tmp_path, ABOUT).page.read_text(encoding="utf-8")).text
    # of model a 200 pixels of water and 300 of forest on two scenes
    assert "Classes over the archive" in text
    assert "40.0\u00a0%" in text and "60.0\u00a0%" in text


def test_clusters_of_each_scene_s_own_models_are_not_added_up(tmp_path: Path) -> None:
    page = summary.write(outcomes(), tmp_path, ABOUT, shared=False).page.read_text(encoding="utf-8")
    assert "Classes over the archive" not in page
    items = [*outcomes()[2:], done("one", ("a",), maps={"a": told({1: 5})}, common={"a": told({2: 9}, path="x/c.tif")})]
    page = summary.write(items, tmp_path, ABOUT, shared=False).page.read_text(encoding="utf-8")
    assert "Classes over the archive" in page and "common legend" in page and "./x/c.tif" in page
    assert pq.read_table(tmp_path / "summary.parquet").to_pylist()[2]["common"] == "x/c.tif"


def test_classes_that_differ_between_scenes_are_not_added_up(tmp_path: Path) -> None:
    items = [done(name, ("a",), maps={"a": told({1: 5}, (name,))}) for name in ("one", "two")]
    assert "Classes over" not in summary.write(items, tmp_path, ABOUT).page.read_text(encoding="utf-8")


def test_ten_thousand_scenes_are_a_light_page(tmp_path: Path) -> None:
    name = "RAF08NOV2018029014010200056SSANSTUC00GTDA-वनस्पति"
    items = [done(f"{name}-{n}", ("a", "b"), maps={"a": told({1: 5, 2: 7}), "b": told({1: 5})}) for n in range(9000)]
    items += [failed(f"bad {n}", "InputError", f"BAND{n}.tif is truncated", "copy it again") for n in range(1000)]
    begun = time.perf_counter()
    page = summary.write(items, tmp_path, ABOUT).page
    assert time.perf_counter() - begun < 20
    assert page.stat().st_size < 5e6
    text = Reader(page.read_text(encoding="utf-8")).text
    assert "the first 500 of 9\u202f000" in text and "The other 8\u202f500 scenes" in text
    assert "the first 500 of 1\u202f000" in text


def test_pictures_are_linked_where_they_lie(tmp_path: Path) -> None:
    names = ("one", "a b#?%c")
    for name in names:
        folder = tmp_path / "scenes" / name / name / "pictures"
        folder.mkdir(parents=True)
        (folder / "a.png").write_bytes(b"x")
    items = [done(name, ("a",), maps={"a": told({1: 5})}) for name in names]
    page = Reader(summary.write(items, tmp_path, ABOUT).page.read_text(encoding="utf-8"))
    assert set(page.all("img", "src")) == {
        "./scenes/one/one/pictures/a.png",
        "./scenes/a%20b%23%3F%25c/a%20b%23%3F%25c/pictures/a.png",
    }
    assert set(page.all("img", "loading")) == {"lazy"}


def test_the_page_fits_and_asks_for_nothing_from_elsewhere(tmp_path: Path) -> None:
    from rsseg.publish.quicklook import picture_labels

    folder = tmp_path / "OUT" / "scenes" / "one" / "one"
    labels = write_map(folder / "labels" / "a.tif", np.tile(np.array([1, 2, 0], np.uint8), (40, 20)))
    picture_labels(labels, folder / "pictures" / "a.png")
    items = [*outcomes(), done("x" * 200, ("a",), maps={"a": told({1: 5, 2: 1}, HOSTILE[1:])})]
    page_file = summary.write(items, tmp_path / "OUT", {**ABOUT, "Long": "y" * 300}).page
    with chromium(tmp_path) as page:
        for width in (1280, 400):
            page.open(page_file, width)
            page.run("document.querySelectorAll('details').forEach(item => item.open = true)")
            assert page.run("document.documentElement.scrollWidth") <= width
        assert page.run("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
        assert page.problems == [] and all(address.startswith("file:") for address in page.requests)
        page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
        light = page.run("getComputedStyle(document.documentElement).backgroundColor")
        assert light == "rgb(20, 23, 26)"


def test_the_figures_of_a_map_against_counting_it_whole(tmp_path: Path) -> None:
    """Taller than a strip, in degrees (where pixels differ in area), with a confidence."""
    rng = np.random.default_rng(1)
    labels = rng.choice(np.array([0, 1, 3], np.uint8), (700, 30), p=[0.2, 0.5, 0.3])
    confidence = np.where(labels > 0, rng.integers(0, 255, labels.shape), 255).astype(np.uint8)
    classes = (*CLASSES, LabelClass(9, "never", "#123456"))
    path = write_map(tmp_path / "a.tif", labels, classes=classes)
    found = map_facts(path, write_confidence(tmp_path / "c.tif", confidence))
    assert found["labelled"] == (labels > 0).mean() and found["found"] == 2
    assert found["largest"] == (labels == 1).sum() / (labels > 0).sum()
    assert found["confidence"] == pytest.approx(confidence[labels > 0].mean() / 254)
    assert [(item["value"], item["pixels"]) for item in found["classes"]] == [
        (1, int((labels == 1).sum())),
        (3, int((labels == 3).sum())),
    ]
    assert found["classes"][0]["hectares"] == pytest.approx((labels == 1).sum() * 25 / 1e4)
    assert found["classes"][0]["name"] == HOSTILE[0] and found["classes"][0]["colour"] == "#000001"


def test_pixels_in_degrees_have_the_area_of_their_row(tmp_path: Path) -> None:
    from rsseg.scene.area import pixel_areas

    wgs84 = CRS.from_epsg(4326).to_wkt()
    grid = Grid(60, 10, (0.5, 0.0, 80.0, 0.0, -0.5, 40.0), wgs84)
    labels = np.ones((60, 10), np.uint8)
    labels[:30] = 2
    found = map_facts(write_map(tmp_path / "a.tif", labels, grid=grid), None)
    areas = pixel_areas(grid)
    assert found["classes"][1]["hectares"] == pytest.approx(areas[:30].sum() * 10 / 1e4)
    assert found["confidence"] is None


def test_a_map_without_crs_or_labels(tmp_path: Path) -> None:
    empty = np.zeros((5, 6), np.uint8)
    path = write_map(tmp_path / "a.tif", empty, grid=grid_for(empty.shape, None))
    confidence = write_confidence(tmp_path / "c.tif", np.full((5, 6), 255), crs=False)
    assert map_facts(path, confidence) == {
        "labelled": 0.0,
        "found": 0,
        "largest": None,
        "confidence": None,
        "classes": [],
    }
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(InputError):
        map_facts(path, None)
