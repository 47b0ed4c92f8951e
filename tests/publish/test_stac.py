"""What STAC items are made of: outlines on the globe, classes, addresses, times."""

import re
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import shapely
from pyproj import CRS, Transformer
from shapely.geometry import Point, shape

from rsseg.errors import UsageError
from rsseg.publish.stac import file_names, stac_json, times, timestamp, unique
from rsseg.publish.stac_assets import classes_of, href, metres, projection
from rsseg.publish.stac_footprint import footprint
from rsseg.publish.stac_model import spanned, united
from rsseg.scene.grid import Grid

HOSTILE = [
    "<script>alert(1)</script>",
    "a; b \"c\" 'd'",
    "two\nlines",
    "x" * 300,
    "वन और जल",
    "bell\x07 \u2028 end",
    "#?%20/..\\",
    "",
    "-_",
    ".",
]


def wkt(code: int) -> str:
    return str(CRS.from_epsg(code).to_wkt())


def utm(left: float, top: float, code: int = 32645, pixel: float = 5.0, size: int = 100) -> Grid:
    return Grid(size, size, (pixel, 0.0, left, 0.0, -pixel, top), wkt(code))


class TestFootprint:
    @pytest.mark.parametrize(
        "grid",
        [
            utm(600000, 2500000, size=18000),
            utm(300000, 6000000, 32733, pixel=30, size=6000),
            Grid(300, 400, (4.0, 3.0, 600000.0, 3.0, -4.0, 2500000.0), wkt(32645)),
            Grid(300, 400, (0.001, 0.0, 88.0, 0.0, -0.001, 22.0), wkt(4326)),
        ],
    )
    def test_it_holds_the_scene_and_little_else(self, grid: Grid) -> None:
        found = footprint(grid)
        assert found is not None
        outline, bbox = shape(found[0]), found[1]
        change = Transformer.from_crs(grid.crs, 4326, always_xy=True)
        rng = np.random.default_rng(0)
        for row, col in rng.uniform(-0.2, 1.2, (200, 2)) * grid.shape:
            inside = 0 < row < grid.height and 0 < col < grid.width
            edge = min(abs(row), abs(col), abs(row - grid.height), abs(col - grid.width))
            if edge > 4:
                assert outline.contains(Point(change.transform(*grid.xy(row, col)))) == inside
        np.testing.assert_allclose(bbox, outline.bounds, atol=1e-9)
        assert outline.is_valid and outline.exterior.is_ccw

    @pytest.mark.parametrize("left", [100000, 200000, 300000, -200000])
    def test_around_the_180th_meridian(self, left: float) -> None:
        """Zone 1 begins at 180 degrees: what lies west of it is at 179 east."""
        grid = utm(left, 7500000, 32601, pixel=1000, size=200)
        found = footprint(grid)
        assert found is not None
        outline, (west, _, right, _) = shape(found[0]), found[1]
        assert -180 <= west <= 180 and -180 <= right <= 180
        crosses = west > right
        assert crosses == (outline.geom_type == "MultiPolygon")
        assert all(-180 <= x <= 180 for x, _ in shapely.get_coordinates(outline))
        change = Transformer.from_crs(grid.crs, 4326, always_xy=True)
        for row, col in ((5, 5), (100, 100), (195, 195), (5, 195)):
            assert outline.buffer(1e-6).contains(Point(change.transform(*grid.xy(row, col))))

    def test_across_the_180th_meridian(self) -> None:
        found = footprint(Grid(10, 20, (1.0, 0.0, 170.0, 0.0, -1.0, 10.0), wkt(4326)))
        assert found is not None
        assert found[1] == [170, 0, -170, 10]
        assert shape(found[0]).area == pytest.approx(200)

    def test_a_pole_is_under_a_cap(self) -> None:
        found = footprint(Grid(200, 200, (1000.0, 0.0, -100000.0, 0.0, -1000.0, 100000.0), wkt(3413)))
        assert found is not None
        assert found[1][0] == -180 and found[1][2:] == [180, 90] and 88 < found[1][1] < 89

    def test_no_crs_no_outline(self) -> None:
        assert footprint(Grid(10, 10)) is None
        local = 'LOCAL_CS["plant",UNIT["metre",1],AXIS["X",EAST],AXIS["Y",NORTH]]'
        assert footprint(Grid(10, 10, (1.0, 0.0, 0.0, 0.0, -1.0, 0.0), local)) is None


class TestProjection:
    def test_a_code_is_named_and_never_guessed(self) -> None:
        assert projection(utm(0, 0)) == {"proj:code": "EPSG:32645"}
        assert projection(Grid(2, 2)) == {"proj:code": None}
        nameless = CRS.from_proj4("+proj=utm +zone=45 +a=6378137 +rf=298.25 +units=m").to_wkt()
        found = projection(Grid(2, 2, crs=nameless))
        assert found["proj:code"] is None
        assert CRS.from_wkt(found["proj:wkt2"]) == CRS.from_wkt(nameless)

    def test_metres(self) -> None:
        assert metres(utm(0, 0)) == 5
        assert metres(Grid(2, 2, (1.0, 0.0, 0.0, 0.0, -4.0, 0.0), wkt(2263))) == pytest.approx(2 * 0.3048006, rel=1e-6)
        assert metres(Grid(2, 2, crs=wkt(4326))) is None and metres(Grid(2, 2)) is None


class TestClasses:
    def test_names_for_machines_and_titles_for_people(self) -> None:
        names = {0: "no data", **dict(enumerate(HOSTILE, 1)), 40: "water", 41: "water", 42: "water-41"}
        found = {item["value"]: item for item in classes_of(names, {40: "#1f78b4"})}
        words = [item["name"] for item in found.values()]
        assert len(set(words)) == len(words)
        assert all(re.fullmatch("[0-9A-Za-z_-]+", word) for word in words)
        for value, name in enumerate(HOSTILE, 1):
            assert found[value]["title"] == (name or f"cluster {value}")
        assert found[0]["nodata"] is True
        assert found[40]["color_hint"] == "1F78B4" and "color_hint" not in found[41]


class TestAddresses:
    @pytest.mark.parametrize("name", [name for name in HOSTILE if "/" not in name and 1 < len(name) < 200])
    def test_addresses_lead_to_the_file(self, tmp_path: Path, name: str) -> None:
        target = tmp_path / "run" / name / "map.tif"
        target.parent.mkdir(parents=True)
        target.write_text("x")
        folder = tmp_path / "run" / "stac" / "item"
        found = href(target, folder)
        assert found.startswith("../../")
        assert (folder / unquote(found)).resolve() == target
        assert not set(found) & set(' <>"\\^`{|}#?\n\x07\u2028')

    def test_below_and_with_a_colon(self, tmp_path: Path) -> None:
        assert href(tmp_path / "a:b" / "c.tif", tmp_path) == "./a:b/c.tif"

    def test_files_of_items_are_apart_and_harmless(self) -> None:
        ids = unique([*HOSTILE, "Map", "map", "map"])
        files = file_names(ids)
        assert len({path.casefold() for path in files.values()}) == len(ids) == len(HOSTILE) + 3
        for path in files.values():
            folder, file = path.split("/")
            assert file == f"{folder}.json" and 0 < len(folder) <= 90 and not folder.startswith(".")
            assert not set(path) & set(' <>:"\\|?*#%\n')

    def test_json_is_ascii(self) -> None:
        assert stac_json({"name": "वन \udc80"}).isascii()


class TestTimes:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("2018-10-02T02:28:28.043361Z", "2018-10-02T02:28:28.043361Z"),
            ("2014-10-22T04:37:48.7052949Z", "2014-10-22T04:37:48.7052949Z"),
            ("2018-10-02t02:28:28", "2018-10-02T02:28:28Z"),
            ("2018-10-02T02:28:28+05:30", "2018-10-02T02:28:28+05:30"),
        ],
    )
    def test_times(self, text: str, expected: str) -> None:
        assert timestamp(text) == expected

    @pytest.mark.parametrize("text", ["", "yesterday", "2018:10:02 02:28:28", "2018-13-02T02:28:28Z", "2018-10-02"])
    def test_what_is_none(self, text: str) -> None:
        with pytest.raises(UsageError, match="is no time like"):
            timestamp(text)

    def test_an_unknown_time_is_an_interval(self) -> None:
        finished = "2026-11-22T08:00:59Z"
        assert times("2018-10-02T02:28:28Z", "2000-01-01T00:00:00Z", finished) == {"datetime": "2018-10-02T02:28:28Z"}
        assert times("long ago", "2000-01-01T00:00:00Z", finished) == {"datetime": "2000-01-01T00:00:00Z"}
        unknown = times(None, None, finished)
        assert unknown["datetime"] is None
        assert (unknown["start_datetime"], unknown["end_datetime"]) == ("1970-01-01T00:00:00Z", finished)


class TestTogether:
    def test_scenes_side_by_side_and_apart(self) -> None:
        one, two = utm(600000, 2500000), utm(600000 + 100 * 5, 2500000)
        far = utm(700000, 2500000)
        outlines = [footprint(grid) for grid in (one, two, far)]
        assert united(outlines[:1]) == outlines[0]
        both = united(outlines[:2])
        assert both is not None
        areas = [shape(found[0]).area for found in outlines if found]
        assert shape(both[0]).area == pytest.approx(areas[0] + areas[1], rel=1e-4)
        every = united(outlines)
        assert every is not None
        np.testing.assert_allclose(every[1], shape(every[0]).bounds)
        assert united([outlines[0], None]) is None and united([]) is None

    def test_across_the_180th_meridian_the_box_is_the_whole_turn(self) -> None:
        crossing = footprint(Grid(10, 20, (1.0, 0.0, 170.0, 0.0, -1.0, 10.0), wkt(4326)))
        both = united([crossing, footprint(utm(600000, 2500000))])
        assert both is not None
        assert both[1][0::2] == [-180, 180]

    def test_times_span_all_scenes(self) -> None:
        early, late = ({"datetime": f"{year}-01-01T00:00:00Z"} for year in (2018, 2020))
        assert spanned([early, early]) == early
        assert spanned([late, early]) == {
            "datetime": None,
            "start_datetime": early["datetime"],
            "end_datetime": late["datetime"],
        }
        assert spanned([late, times(None, None, "2026-01-01T00:00:00Z")])["start_datetime"] == "1970-01-01T00:00:00Z"
