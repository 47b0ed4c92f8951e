"""--aoi from the command line: what is outside changes nothing, and inside is labelled as in the whole scene."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import geopandas
import numpy as np
import pytest
import rasterio
import yaml
from dense import tiny_dense_model, tiny_trunk
from labelmaps import grid_for, write_plain
from products import make_liss4
from scenes import fields, write_reference, write_scene
from shapely.geometry import Point, Polygon, box
from tiny import thin_vgg, tiny_model

from rsseg.learn.methods import settings_of
from rsseg.learn.model import Model
from rsseg.pipeline.plan import Machine
from rsseg.pipeline.stages.run import RunResult, run
from rsseg.pipeline.stages.segment import segment
from rsseg.pipeline.stages.train import train
from rsseg.scene.grid import Grid, Window
from rsseg.scene.place import TAG
from rsseg.scene.raster import grid_of

Rsseg = Callable[..., tuple[int, str, str]]

SHAPE = (72, 90)
RECT = Window(13, 22, 41, 47)


@pytest.fixture(autouse=True)
def thin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with thin_vgg(monkeypatch), tiny_trunk(monkeypatch):
        yield


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_scene(tmp_path / "scene.tif", *SHAPE)


def write_aoi(path: Path, window: Window = RECT, grid: Grid | None = None, crs: Any = "EPSG:4326") -> Path:
    """A rectangle of whole pixels; of another CRS it is a little larger, so that the same centres lie inside."""
    grid = grid or grid_for(SHAPE)
    left, bottom, right, top = grid.crop(window).bounds
    frame = geopandas.GeoDataFrame(geometry=[box(left + 1, bottom + 1, right - 1, top - 1)], crs=grid.crs)
    frame.to_crs(crs).to_file(path)
    return path


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read(1)


def physical(make: Callable[..., Model], **options: Any) -> Model:
    """A tiny model for reflectance."""
    model = make(**options)
    line = {"centre": (0.1, 0.1, 0.2), "spread": (0.1, 0.1, 0.2), "mean": (0.1, 0.1, 0.2)}
    normalisation = model.inference.normalisation.model_copy(update=line)
    model.inference = model.inference.model_copy(update={"units": "reflectance", "normalisation": normalisation})
    return model


def inner(shape: tuple[int, int], margin: int) -> tuple[slice, slice]:
    return slice(margin, shape[0] - margin), slice(margin, shape[1] - margin)


class TestLabels:
    def kmeans(self, scene: Path, folder: Path) -> Path:
        train([scene], folder / "k.safetensors", settings_of("kmeans", classes=3, patch=5, stride=3), device="cpu")
        return folder / "k.safetensors"

    def dense(self, scene: Path, folder: Path) -> Path:
        physical(tiny_dense_model, patch=16).save(folder / "d.safetensors")
        return folder / "d.safetensors"

    def patches(self, scene: Path, folder: Path) -> Path:
        physical(tiny_model, patch=8, stride=3).save(folder / "p.safetensors")
        return folder / "p.safetensors"

    @pytest.mark.parametrize(("kind", "margin"), [("kmeans", 4), ("dense", 16), ("patches", 7)])
    def test_inside_they_are_the_crop_of_the_whole(self, tmp_path: Path, scene: Path, kind: str, margin: int) -> None:
        """Patches that reach over the border hold pixels without data; all others are the whole scene's."""
        model = getattr(self, kind)(scene, tmp_path)
        segment(scene, model, tmp_path / "whole.tif", device="cpu")
        result = segment(scene, model, tmp_path / "part.tif", aoi=write_aoi(tmp_path / "a.gpkg"), device="cpu")
        whole, part = read(tmp_path / "whole.tif")[RECT.slices], read(tmp_path / "part.tif")
        inside = inner(part.shape, margin)
        assert len(np.unique(part[inside])) > 1
        np.testing.assert_array_equal(part[inside], whole[inside])
        np.testing.assert_array_equal(part == 0, whole == 0)
        assert result.nodata == int((whole == 0).sum())
        with rasterio.open(tmp_path / "part.tif") as file:
            assert grid_of(file) == grid_for(SHAPE).crop(RECT)

    def test_a_part_smaller_than_a_tile(self, tmp_path: Path, scene: Path) -> None:
        aoi = write_aoi(tmp_path / "a.gpkg", Window(30, 30, 5, 9))
        segment(scene, self.dense(scene, tmp_path), tmp_path / "part.tif", aoi=aoi, device="cpu")
        assert read(tmp_path / "part.tif").shape == (5, 9) and (read(tmp_path / "part.tif") > 0).all()

    def test_cells_of_patches_are_the_whole_map_s(self, tmp_path: Path, scene: Path) -> None:
        model, options = self.patches(scene, tmp_path), {"resolution": "patch", "device": "cpu"}
        segment(scene, model, tmp_path / "whole.tif", **options)
        segment(scene, model, tmp_path / "part.tif", aoi=write_aoi(tmp_path / "a.gpkg"), **options)
        cells = Window(RECT.row // 3, RECT.col // 3, 14, 16)
        whole, part = read(tmp_path / "whole.tif")[cells.slices], read(tmp_path / "part.tif")
        inside = inner(part.shape, 3)
        np.testing.assert_array_equal(part[inside], whole[inside])
        with rasterio.open(tmp_path / "part.tif") as file, rasterio.open(tmp_path / "whole.tif") as full:
            assert grid_of(file) == grid_of(full).crop(cells)

    def test_outside_the_polygons_is_no_data(self, tmp_path: Path, scene: Path) -> None:
        grid = grid_for(SHAPE)
        corners = [grid.xy(10.2, 10.4), grid.xy(60.1, 40.3), grid.xy(20.6, 80.2)]
        aoi = tmp_path / "triangle.gpkg"
        geopandas.GeoDataFrame(geometry=[Polygon(corners)], crs=grid.crs).to_file(aoi)
        confidence = tmp_path / "c.tif"
        model = self.patches(scene, tmp_path)
        segment(scene, model, tmp_path / "part.tif", aoi=aoi, confidence=confidence, device="cpu")
        labels = read(tmp_path / "part.tif")
        triangle = Polygon(corners)
        centres = [[grid.xy(10.5 + row, 10.5 + col) for col in range(labels.shape[1])] for row in range(len(labels))]
        expected = [[triangle.contains(Point(place)) for place in row] for row in centres]
        np.testing.assert_array_equal(labels > 0, expected)
        np.testing.assert_array_equal(read(confidence) == 255, labels == 0)

    def test_a_converted_part_of_a_product_is_labelled_as_in_the_product(self, tmp_path: Path) -> None:
        """The raster that toa cut out remembers where it lay, with --aoi as with --bounds."""
        from rsseg.pipeline.stages.toa import toa

        product = make_liss4(tmp_path / "p", shape=SHAPE)
        toa(product, tmp_path / "whole_toa.tif")
        with rasterio.open(tmp_path / "whole_toa.tif") as file:
            grid = grid_of(file)
        aoi = write_aoi(tmp_path / "a.gpkg", RECT, grid)
        model = self.patches(product, tmp_path)
        segment(tmp_path / "whole_toa.tif", model, tmp_path / "whole.tif", device="cpu")
        given: dict[str, Any]
        for name, given in {"aoi": {"aoi": aoi}, "bounds": {"bounds": grid.crop(RECT).bounds}}.items():
            toa(product, tmp_path / f"{name}_toa.tif", **given)
            with rasterio.open(tmp_path / f"{name}_toa.tif") as file:
                assert file.tags()[TAG] == "41 x 47 pixels at row 13, column 22 of 72 x 90"
            segment(tmp_path / f"{name}_toa.tif", model, tmp_path / f"{name}.tif", device="cpu")
            inside = inner((RECT.height, RECT.width), 7)
            found, whole = read(tmp_path / f"{name}.tif"), read(tmp_path / "whole.tif")[RECT.slices]
            np.testing.assert_array_equal(found[inside], whole[inside])


class TestCommands:
    def test_training_sees_the_inside_only(self, tmp_path: Path, scene: Path) -> None:
        aoi, settings = write_aoi(tmp_path / "a.gpkg"), settings_of("kmeans", classes=3)
        first = train([scene], tmp_path / "1.safetensors", settings, aoi=aoi, device="cpu")
        with rasterio.open(scene, "r+") as file:
            values = file.read()
            outside = np.ones(SHAPE, bool)
            outside[RECT.slices] = False
            values[:, outside] = np.random.default_rng(0).integers(0, 60000, (3, int(outside.sum())))
            file.write(values)
        second = train([scene], tmp_path / "2.safetensors", settings, aoi=aoi, device="cpu")
        assert first.identity == second.identity
        assert first.identity != train([scene], tmp_path / "3.safetensors", settings, device="cpu").identity

    def test_heads_learn_from_labels_inside(self, tmp_path: Path, scene: Path, rsseg: Rsseg) -> None:
        physical(tiny_model, patch=8, stride=4).save(tmp_path / "m.safetensors")
        reference = write_reference(tmp_path / "r.gpkg", *SHAPE)
        words = ["train", "recal", scene, "--init", tmp_path / "m.safetensors", "--labels", reference, "--json"]
        words += ["--field", "class", "--epochs", 1, "--device", "cpu", "-q"]
        counts = []
        for name, more in (("whole", []), ("part", ["--aoi", write_aoi(tmp_path / "a.gpkg")])):
            code, out, err = rsseg(*words, "-o", tmp_path / f"{name}.safetensors", *more)
            assert code == 0, err
            counts.append(sum(json.loads(out)["training"].values()))
        assert 0 < counts[1] < counts[0] / 2

    def test_info_and_tile(self, tmp_path: Path, scene: Path, rsseg: Rsseg) -> None:
        aoi = write_aoi(tmp_path / "a.gpkg")
        answer = json.loads(rsseg("info", scene, "--aoi", aoi, "--json")[1])
        assert (answer["height"], answer["width"]) == (RECT.height, RECT.width)
        assert answer["valid_share_estimated"] == pytest.approx(1, abs=0.01)
        assert rsseg("tile", scene, "--aoi", aoi, "-o", tmp_path / "t.parquet", "-q")[0] == 0
        boxes = geopandas.read_parquet(tmp_path / "t.parquet").total_bounds
        np.testing.assert_allclose(boxes, grid_for(SHAPE).crop(RECT).bounds)

    def test_a_map_s_legend_and_refinement(self, tmp_path: Path, scene: Path, rsseg: Rsseg) -> None:
        physical(tiny_model, patch=8, stride=4).save(tmp_path / "m.safetensors")
        labels, given = tmp_path / "l.tif", ["--aoi", write_aoi(tmp_path / "a.gpkg"), "-q"]
        assert rsseg("segment", scene, "--model", tmp_path / "m.safetensors", "-o", labels, *given)[0] == 0
        assert rsseg("legend", labels, "--scene", scene, "-o", tmp_path / "l.yaml", *given)[0] == 0
        assert rsseg("refine", labels, "--scene", scene, "-o", tmp_path / "r.tif", *given)[0] == 0
        assert read(tmp_path / "r.tif").shape == (RECT.height, RECT.width)
        code, _, err = rsseg("refine", labels, "--scene", scene, "-o", tmp_path / "no.tif", "-q")
        assert code == 1 and "another grid" in err

    def test_one_sentence_for_a_scene_without_crs(self, tmp_path: Path, rsseg: Rsseg) -> None:
        bare = write_scene(tmp_path / "bare.tif", crs=None)
        code, out, err = rsseg("info", bare, "--aoi", write_aoi(tmp_path / "a.gpkg"))
        assert (code, out) == (1, "") and err.count("\n") == 1
        assert "bare.tif has no CRS" in err

    def test_the_output_is_not_the_polygons(self, tmp_path: Path, scene: Path, rsseg: Rsseg) -> None:
        aoi = write_aoi(tmp_path / "a.parquet.gpkg")
        code, _, err = rsseg("toa", make_liss4(tmp_path / "p"), "--aoi", aoi, "-o", aoi, "--overwrite")
        assert code == 2 and "named twice" in err


class TestRuns:
    PIPELINE: ClassVar[dict[str, Any]] = {
        "models": {"k": {"method": "kmeans", "classes": 3, "starts": 2}},
        "pictures": True,
        "names": "spectra",
        "segment": {"confidence": True, "refine": {"method": "spectrum"}},
    }

    def go(self, folder: Path, scene: Path, **options: Any) -> RunResult:
        (folder / "p.yaml").write_text(yaml.safe_dump(self.PIPELINE))
        return run(str(folder / "p.yaml"), [scene], folder / "out", machine=Machine("cpu"), **options)

    def states(self, result: RunResult) -> set[str]:
        return {stage["state"] for stage in result.stages}

    def test_a_run_covers_the_area(self, tmp_path: Path, scene: Path) -> None:
        aoi = write_aoi(tmp_path / "a.gpkg")
        reference = write_reference(tmp_path / "r.gpkg", *SHAPE)
        result = self.go(tmp_path, scene, aoi=aoi, references=[reference], reference_field="class")
        assert result.scores[0]["one-to-one"]["accuracy"] > 0.9
        for labels in result.outputs["labels"]:
            with rasterio.open(labels) as file:
                assert grid_of(file) == grid_for(SHAPE).crop(RECT)
        assert json.loads((tmp_path / "out" / "run.json").read_text())["scenes"][0]["aoi"] == str(aoi)

    def test_stages_follow_the_content_of_the_polygons(self, tmp_path: Path, scene: Path) -> None:
        aoi = write_aoi(tmp_path / "a.gpkg")
        assert self.states(self.go(tmp_path, scene, aoi=aoi)) == {"ran"}
        assert self.states(self.go(tmp_path, scene, aoi=aoi)) == {"finished"}
        aoi.unlink()
        write_aoi(aoi, Window(3, 4, 50, 60))
        assert self.states(self.go(tmp_path, scene, aoi=aoi)) == {"ran"}
        assert read(tmp_path / "out" / "scene" / "labels" / "k.tif").shape == (50, 60)
        assert self.states(self.go(tmp_path, scene)) == {"ran"}

    def test_the_run_of_a_product_converts_the_area_only(self, tmp_path: Path) -> None:
        product = make_liss4(tmp_path / "p", shape=SHAPE)
        with rasterio.open(product / "BAND2.tif") as file:
            grid = grid_of(file)
        self.go(tmp_path, product, aoi=write_aoi(tmp_path / "a.gpkg", RECT, grid))
        with rasterio.open(tmp_path / "out" / "p" / "toa.tif") as file:
            assert file.shape == (RECT.height, RECT.width)
        assert read(tmp_path / "out" / "p" / "labels" / "k.tif").shape == (RECT.height, RECT.width)

    def test_what_is_made_of_the_run_afterwards(self, tmp_path: Path, scene: Path, rsseg: Rsseg) -> None:
        """Report, vectors and catalogue read the part of the scene that the maps cover."""
        aoi = write_aoi(tmp_path / "a.gpkg")
        self.go(tmp_path, scene, aoi=aoi)
        out, labels = tmp_path / "out", tmp_path / "out" / "scene" / "labels" / "k.tif"
        assert rsseg("report", out, "-q")[0] == 0
        polygons = tmp_path / "v.gpkg"
        code, _, err = rsseg("vectorize", labels, "--scene", scene, "--aoi", aoi, "-o", polygons, "-q")
        assert (code, err) == (0, "")
        np.testing.assert_allclose(geopandas.read_file(polygons).total_bounds, grid_for(SHAPE).crop(RECT).bounds)
        assert rsseg("stac", out, "-q")[0] == 0
        item = json.loads((out / "stac" / "scene_k" / "scene_k.json").read_text())
        assert item["assets"]["labels"]["proj:shape"] == [RECT.height, RECT.width]

    def test_a_reference_raster_of_the_whole_scene(self, tmp_path: Path, scene: Path) -> None:
        """It counts pixel for pixel: the scores are those of the part of it cut out beforehand."""
        aoi, truth = write_aoi(tmp_path / "a.gpkg"), (fields(*SHAPE) + 1).astype(np.uint8)
        whole = write_plain(tmp_path / "truth.tif", truth, grid_for(SHAPE))
        cut = write_plain(tmp_path / "cut.tif", truth[RECT.slices], grid_for(SHAPE).crop(RECT))
        first = self.go(tmp_path, scene, aoi=aoi, references=[whole])
        second = self.go(tmp_path, scene, aoi=aoi, references=[cut])
        assert first.scores == second.scores
        assert first.scores[0]["one-to-one"]["accuracy"] > 0.9
