"""The default map: what it writes, what it chooses and says, that a reference changes nothing, and what it refuses."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import yaml
from heard import Heard
from products import make_liss4
from scenes import write_reference, write_scene

from rsseg.errors import GridError, InputError, TrainingError, UsageError
from rsseg.label.legend_file import read_legend
from rsseg.learn.methods import context
from rsseg.learn.methods.context import ContextSettings
from rsseg.pipeline.configuration import load_pipeline
from rsseg.pipeline.plan import Machine
from rsseg.pipeline.stages import map as map_stage
from rsseg.pipeline.stages.map import MapResult, map_scene
from rsseg.pipeline.stages.run import run

pytestmark = pytest.mark.filterwarnings("ignore::rsseg.errors.CollapseWarning")

SMALL = {"fine": 8, "width": 4, "crop": 16, "batch": 2}
"""Settings that make the default recipe quick enough for tests."""


STEPS = context.LEAST_STEPS


@pytest.fixture(autouse=True)
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The default recipe with a smaller network and few steps."""
    content = yaml.safe_load((Path(__file__).parents[2] / "pipelines" / "default.yaml").read_text(encoding="utf-8"))
    content["models"]["map"] |= {**SMALL, "epochs": 1, "warm_epochs": 1}
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(content))
    with monkeypatch.context() as patched:
        patched.setattr(map_stage, "RECIPE", str(path))
        patched.setattr(context, "LEAST_STEPS", 4)
        yield path


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_scene(tmp_path / "a scene.tif")


Go = Callable[..., MapResult]


@pytest.fixture
def go(tmp_path: Path, scene: Path) -> Go:
    def start(folder: str = "out", source: Path = scene, **options: Any) -> MapResult:
        return map_scene(source, tmp_path / folder, **{"machine": Machine("cpu"), **options})

    return start


def ran(result: MapResult) -> list[str]:
    return [stage["stage"] for stage in result.run.stages if stage["state"] == "ran"]


def answers(folder: Path) -> dict[str, bytes]:
    """Maps, models, legends, choices and configuration of a run, by their place."""
    kept = (".tif", ".safetensors", ".yaml", ".qml", ".xml", ".png", "choices.json")
    places = [path for path in folder.rglob("*") if path.is_file() and path.name.endswith(kept)]
    return {str(path.relative_to(folder)): path.read_bytes() for path in places if ".rsseg" not in path.parts}


def test_the_recipe_has_the_methods_own_values() -> None:
    """What stands in the file for people to read is what the method does without it."""
    default = load_pipeline("default").models["map"]
    assert default.method == "context"
    assert default.settings == ContextSettings(classes=default.settings.classes)
    assert (default.restarts, default.merge_to) == (1, None)


def test_a_map_has_names_and_says_how_it_was_made(go: Go, tmp_path: Path, scene: Path) -> None:
    result = go()
    out = tmp_path / "out" / "a scene"
    with rasterio.open(scene) as source, rasterio.open(out / "labels" / "map.tif") as made:
        labels = made.read(1)
        assert (made.shape, made.transform, made.crs) == (source.shape, source.transform, source.crs)
        assert np.array_equal(labels == 0, source.read_masks(1) == 0)
    with rasterio.open(out / "clusters" / "map.tif") as clusters:
        assert np.array_equal(clusters.read(1), labels)
    legend = read_legend(out / "labels" / "map.legend.yaml")
    assert {item.value for item in legend.classes} >= set(np.unique(labels)) - {0}
    assert all(item.clusters == (item.value,) for item in legend.classes)
    assert result.run.outputs["labels"] == [str(out / "labels" / "map.tif")]
    assert (out / "confidence" / "map.tif").is_file() and (out / "pictures" / "map.png").is_file()
    told = json.loads((tmp_path / "out" / "choices.json").read_text())
    assert told == {name: found.as_dict() for name, found in result.choices.items()}
    written = yaml.safe_load((tmp_path / "out" / "run.yaml").read_text())["models"]["map"]
    chosen = {key: value for found in told.values() for key, value in found["settings"].items()}
    assert {key: written[key] for key in chosen} == chosen
    assert chosen["patch"] == 48 and chosen["channels"] == ["components", "indices", "brightness"]


def test_the_same_command_again_does_nothing(go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "train map" in ran(go())
    monkeypatch.setattr(map_stage, "scene_levels", lambda *_, **__: pytest.fail("chosen again"))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.tif")}
    assert ran(go(machine=Machine("cpu", batch=2, memory=1 << 30))) == []
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_choices_are_made_anew_for_a_changed_scene(go: Go, scene: Path) -> None:
    assert go(dry_run=True).choices["tile"].settings["patch"] == 48
    go()
    write_scene(scene, 40, 64, seed=3)
    assert go(dry_run=True).choices["tile"].settings["patch"] == 40


def test_a_reference_changes_no_byte_of_the_map(go: Go, tmp_path: Path) -> None:
    reference = write_reference(tmp_path / "reference.gpkg")
    scored = go("with", references=[reference], reference_field="class")
    assert not go("without").run.scores and scored.run.scores[0]["many-to-one"]["accuracy"] > 0.5
    first, second = answers(tmp_path / "with"), answers(tmp_path / "without")
    first = {name: content for name, content in first.items() if "/evaluation/" not in name}
    assert {"models/map.safetensors", "a scene/labels/map.tif", "a scene/labels/map.legend.yaml"} <= second.keys()
    assert first == second


def test_run_gives_the_same_map_from_the_values_that_were_chosen(go: Go, tmp_path: Path, scene: Path) -> None:
    go(classes=4)
    run(str(tmp_path / "out" / "run.yaml"), [scene], tmp_path / "again", machine=Machine("cpu"))
    first, second = answers(tmp_path / "out"), answers(tmp_path / "again")
    del first["choices.json"]
    assert first == second


def test_each_choice_is_said_in_one_line(go: Go) -> None:
    notes = Heard()
    choices = go(reporter=notes).choices
    said = [str(found) for found in choices.values()]
    assert notes.said[: len(said)] == said and list(choices) == ["tile", "effort", "classes", "channels"]


def test_a_dry_run_chooses_and_writes_nothing(go: Go, tmp_path: Path) -> None:
    notes = Heard()
    result = go(dry_run=True, reporter=notes)
    assert {stage["state"] for stage in result.run.stages} == {"to run"} and result.choices["classes"].reason
    assert notes.said == [] and not (tmp_path / "out").exists()


def test_classes_that_are_asked_for_need_no_look_at_the_scene(go: Go, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(map_stage, "scene_levels", lambda *_, **__: pytest.fail("looked"))
    found = go(classes=7, dry_run=True).choices["classes"]
    assert (found.settings, found.reason) == ({"classes": 7}, "as asked")


def test_effort_changes_the_training_alone(go: Go) -> None:
    quick, thorough = go(effort="quick", dry_run=True), go(effort="thorough", dry_run=True)
    assert thorough.choices["effort"].settings["restarts"] == 3
    assert {**quick.choices, "effort": None} == {**thorough.choices, "effort": None}


def test_bands_without_names_make_a_map_too(go: Go, tmp_path: Path, scene: Path) -> None:
    with rasterio.open(scene, "r+") as file:
        file.descriptions = (None,) * 3
    found = go(classes=3).choices["channels"]
    assert found.settings["channels"] == ["components", "brightness"] and "docs/map.md" in found.reason
    assert len(read_legend(tmp_path / "out" / "a scene" / "labels" / "map.legend.yaml").classes) == 3


def test_one_band_makes_a_map_too(go: Go, tmp_path: Path) -> None:
    found = go(bands=["nir"], classes=3).choices["channels"]
    assert found.settings["channels"] == ["bands"] and "--bands green,red,nir" in found.reason
    with rasterio.open(tmp_path / "out" / "a scene" / "labels" / "map.tif") as made:
        assert len(np.unique(made.read(1))) > 2


def test_a_product_is_converted_first(go: Go, tmp_path: Path) -> None:
    product = make_liss4(tmp_path / "product", shape=(40, 48))
    result = go(source=product, classes=3)
    assert result.run.stages[0]["stage"] == "toa product"
    assert (tmp_path / "out" / "product" / "labels" / "map.tif").is_file()


def test_the_smallest_scene_makes_a_map(go: Go, tmp_path: Path) -> None:
    tiny = write_scene(tmp_path / "tiny.tif", 11, 24)
    assert go(source=tiny, classes=2).choices["tile"].settings == {"patch": 8, "stride": 4}
    with pytest.raises(GridError, match="a map needs at least 8 x 8"):
        go("none", source=write_scene(tmp_path / "dot.tif", 7, 24))


def test_what_cannot_be_mapped_is_said_before_anything_is_written(go: Go, tmp_path: Path, scene: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.tif"):
        go(source=tmp_path / "nowhere.tif")
    with pytest.raises(UsageError, match="no band swir"):
        go(bands=["swir"])
    with pytest.raises(UsageError, match="choose quick, normal or thorough"):
        go(effort="heroic")
    with rasterio.open(scene, "r+") as file:
        file.write(file.read() * 0 + 65535)
    with pytest.raises(TrainingError, match="check the nodata value"):
        go()
    write_scene(scene)
    with pytest.raises(UsageError, match="nofield"):
        go(classes=3, references=[write_reference(tmp_path / "r.gpkg")], reference_field="nofield")
    assert not (tmp_path / "out").exists()


def test_merged_clusters_are_named_too(tmp_path: Path, scene: Path, recipe: Path) -> None:
    content = yaml.safe_load(recipe.read_text())
    content["models"] = {"k": {"method": "kmeans", "classes": 8, "merge_to": 3, "starts": 1}}
    recipe.write_text(yaml.safe_dump(content))
    result = run(str(recipe), [scene], tmp_path / "out", machine=Machine("cpu"))
    out = tmp_path / "out" / "a scene"
    assert [row["stage"].split()[0] for row in result.stages][1:] == [
        "train",
        "segment",
        "refine",
        "merge",
        "name",
        "picture",
    ]
    maps = []
    for folder in ("clusters", "merged", "labels"):
        with rasterio.open(out / folder / "k.tif") as file:
            maps.append(file.read(1))
    assert len(np.unique(maps[0])) == 9 and len(np.unique(maps[1])) == 4 and np.array_equal(maps[1], maps[2])
    assert {row["state"] for row in run(str(recipe), [scene], tmp_path / "out").stages} == {"finished"}


def test_names_need_a_map_of_pixels(tmp_path: Path, scene: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(
        yaml.safe_dump({"models": {"k": {"method": "kmeans"}}, "names": "spectra", "segment": {"resolution": "patch"}})
    )
    with pytest.raises(UsageError, match="names need a map of pixels"):
        run(str(path), [scene], tmp_path / "out")


@pytest.mark.slow
def test_the_sample_products_map_is_good_and_reads_as_land(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(map_stage, "RECIPE", "default")
    monkeypatch.setattr(context, "LEAST_STEPS", STEPS)
    folder = Path(__file__).parents[2] / "sample_data"
    result = map_scene(
        folder / "liss4_january",
        tmp_path / "out",
        references=[folder / "liss4_january_reference.gpkg"],
        reference_field="class",
        machine=Machine("cpu"),
    )
    assert result.run.scores[0]["many-to-one"]["accuracy"] > 0.85
    legend = read_legend(tmp_path / "out" / "liss4_january" / "labels" / "map.legend.yaml")
    names = " ".join(item.name for item in legend.classes)
    assert "water-like" in names and "dense vegetation-like" in names and "bare or built-up-like" in names
