"""``rsseg map``: what is on stdout and stderr, and exit codes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from scenes import write_reference, write_scene

from rsseg.learn.methods import context
from rsseg.pipeline.stages import map as map_stage

Rsseg = Callable[..., tuple[int, str, str]]

pytestmark = pytest.mark.filterwarnings("ignore::rsseg.errors.CollapseWarning")


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    small = {"method": "context", "fine": 8, "width": 4, "crop": 16, "batch": 2}
    recipe = tmp_path / "small.yaml"
    recipe.write_text(yaml.safe_dump({"models": {"map": small}, "names": "spectra"}))
    monkeypatch.setattr(map_stage, "RECIPE", str(recipe))
    monkeypatch.setattr(context, "LEAST_STEPS", 2)
    return write_scene(tmp_path / "scene.tif")


def test_it_tells_its_choices_and_what_to_do_next(rsseg: Rsseg, scene: Path, tmp_path: Path) -> None:
    reference = write_reference(tmp_path / "r.gpkg")
    words = ("map", scene, "-o", tmp_path / "out", "--effort", "quick", "--reference", reference, "--field", "class")
    code, out, err = rsseg(*words)
    labels = tmp_path / "out" / "scene" / "labels" / "map.tif"
    assert code == 0 and out.splitlines()[0] == f"map: {labels}" and labels.is_file()
    assert "many-to-one: accuracy" in out and "open the map in QGIS" in out
    assert "patch 48, stride 24: " in err and "classes " in err and "epochs 1, warm_epochs 1: a quick effort" in err
    relabel = next(line for line in out.splitlines() if "rsseg relabel" in line).split()[1:]
    legend = labels.with_suffix(".legend.yaml")
    given = [{"COPY.yaml": legend, "MY_MAP.tif": tmp_path / "mine.tif"}.get(word, word) for word in relabel]
    assert rsseg(*given)[0] == 0 and (tmp_path / "mine.tif").is_file()


def test_a_dry_run_prints_choices_and_stages(rsseg: Rsseg, scene: Path, tmp_path: Path) -> None:
    code, out, err = rsseg("map", scene, "-o", tmp_path / "out", "--dry-run")
    assert (code, err) == (0, "") and "  chosen  classes " in out and "  to run  train map" in out
    assert not (tmp_path / "out").exists()
    code, out, _ = rsseg("map", scene, "-o", tmp_path / "out", "--dry-run", "--json", "--classes", 4)
    told = json.loads(out)
    assert told["choices"]["classes"] == {"settings": {"classes": 4}, "reason": "as asked"}
    assert {stage["state"] for stage in told["stages"]} == {"to run"}


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("nowhere.tif -o new", 1, "nowhere.tif does not exist"),
        ("scene.tif -o scene.tif", 2, "is a file where a folder should be"),
        ("scene.tif -o .", 2, "is no run of rsseg"),
        ("scene.tif -o new --effort heroic", 2, "'heroic' is not one of 'quick', 'normal', 'thorough'"),
        ("scene.tif -o new --classes 1", 2, "1 is not in the range"),
        ("scene.tif -o new --reference nowhere.gpkg", 1, "nowhere.gpkg does not exist"),
        ("scene.tif", 2, "Missing option '-o'"),
    ],
)
def test_what_it_refuses(
    rsseg: Rsseg, scene: Path, monkeypatch: pytest.MonkeyPatch, words: str, code: int, message: str
) -> None:
    monkeypatch.chdir(scene.parent)
    found, out, err = rsseg("map", *words.split(), "-q")
    assert (found, out) == (code, "") and message in err
    assert not (scene.parent / "new").exists()
