"""What a user meets: exit codes, one line of what went wrong, JSON, and silence when asked for."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from scenes import write_reference, write_scene
from tiny import thin_vgg, tiny_model

from rsseg.learn.model import load_model

Rsseg = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def thin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with thin_vgg(monkeypatch):
        yield


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A folder with a scene of reflectance, a model for it, and a list of things that are wrong."""
    write_scene(tmp_path / "scene.tif")
    model = tiny_model(stride=4, units="reflectance", centre=(0.1, 0.1, 0.2), spread=(0.1, 0.1, 0.2))
    model.save(tmp_path / "model.safetensors")
    write_scene(tmp_path / "bare.tif", stored=False)
    write_scene(tmp_path / "small.tif", 7, 40)
    (tmp_path / "text.tif").write_text("this is no image")
    (tmp_path / "text.safetensors").write_text("this is no model")
    (tmp_path / "truncated.tif").write_bytes((tmp_path / "scene.tif").read_bytes()[:4000])
    with rasterio.open(write_scene(tmp_path / "other.tif"), "r+") as file:
        file.descriptions = ("blue", "red", "nir")
    with rasterio.open(write_scene(tmp_path / "empty.tif"), "r+") as file:
        file.write(np.full((3, 48, 64), 65535, np.uint16))
    (tmp_path / "existing.tif").write_text("a map of last year")
    (tmp_path / "folder").mkdir()
    return tmp_path


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file with its size and time."""
    return {str(p): (p.stat().st_size, p.stat().st_mtime_ns) for p in folder.rglob("*") if p.is_file()}


def fails(rsseg: Rsseg, folder: Path, *words: object) -> tuple[int, str]:
    """Run a command that must fail: one line on stderr, nothing on stdout, no file touched."""
    before = listing(folder)
    code, out, err = rsseg(*words)
    assert code in (1, 2), err
    assert out == ""
    assert "Traceback" not in err
    lines = err.strip().splitlines()
    if not err.startswith("Usage:"):
        assert len(lines) == 1 and lines[0].startswith("rsseg: "), err
    assert listing(folder) == before
    return code, lines[-1]


SEGMENT = [
    ("scene.tif --model model.safetensors -o existing.tif", 2, "existing.tif exists; use --overwrite"),
    ("bare.tif --model model.safetensors -o new.tif", 1, "trained on reflectance values, but bare is uncalibrated"),
    ("other.tif --model model.safetensors -o new.tif", 1, "trained on the bands green, red, nir, but other gives blue"),
    ("small.tif --model model.safetensors -o new.tif", 1, "7 x 40 pixels, smaller than a patch of 8 x 8"),
    ("text.tif --model model.safetensors -o new.tif", 1, "text.tif"),
    ("truncated.tif --model model.safetensors -o new.tif", 1, "truncated.tif"),
    ("folder --model model.safetensors -o new.tif", 1, "folder holds neither"),
    ("nowhere.tif --model model.safetensors -o new.tif", 1, "nowhere.tif does not exist"),
    ("scene.tif --model nowhere.safetensors -o new.tif", 1, "there is no model at"),
    ("scene.tif --model text.safetensors -o new.tif", 1, "is not a model of rsseg"),
    ("scene.tif --model scene.tif -o new.tif", 1, "is not a model of rsseg"),
    ("scene.tif --model model.safetensors -o new.png", 2, "end it in .tif"),
    ("scene.tif --model model.safetensors -o folder", 2, "is a folder where a file should be"),
    ("scene.tif --model model.safetensors -o existing.tif/new.tif", 2, "is a file where a folder should be"),
    ("scene.tif --model model.safetensors -o scene.tif --overwrite", 2, "is named twice"),
    ("scene.tif --model model.safetensors -o new.tif --confidence new.tif", 2, "is named twice"),
    ("scene.tif --model model.safetensors -o new.tif --confidence existing.tif", 2, "existing.tif exists"),
    ("scene.tif --model model.safetensors -o new.tif --stride 9", 2, "--resolution patch"),
    ("scene.tif --model model.safetensors -o new.tif --bounds 0 0 1 1", 2, "do not touch the scene"),
    ("scene.tif --model model.safetensors -o new.tif --bands nir,red", 1, "but scene gives nir, red"),
    ("scene.tif --model model.safetensors -o new.tif --bands swir", 2, "no band swir; its bands are green, red, nir"),
    ("scene.tif --model model.safetensors -o new.tif --device quantum", 2, "no device 'quantum'"),
    ("scene.tif --model model.safetensors -o new.tif --scale a", 2, "is not a list of numbers"),
    ("scene.tif --model model.safetensors -o new.tif --batch 0", 2, "0 is not in the range"),
    ("scene.tif --model model.safetensors", 2, "Missing option '-o'"),
    ("scene.tif -o new.tif", 2, "Missing option '--model'"),
]


@pytest.mark.parametrize(("words", "code", "message"), SEGMENT, ids=[words for words, _, _ in SEGMENT])
def test_what_segment_refuses(
    rsseg: Rsseg, work: Path, monkeypatch: pytest.MonkeyPatch, words: str, code: int, message: str
) -> None:
    monkeypatch.chdir(work)
    found, line = fails(rsseg, work, "segment", *words.split())
    assert found == code and message in line


TRAIN = [
    ("recal scene.tif -o model.safetensors", 2, "model.safetensors exists; use --overwrite"),
    ("recal scene.tif -o model.pth", 2, "a model is a .safetensors file"),
    ("recal scene.tif -o new.safetensors --classes 1", 2, "recal: classes = 1 cannot be used"),
    ("recal scene.tif -o new.safetensors --epochs 0", 2, "recal: epochs = 0 cannot be used"),
    ("recal scene.tif -o new.safetensors --learning-rate fast", 2, "'fast' is not a valid float"),
    ("recal scene.tif -o new.safetensors --rate 3", 2, "No such option"),
    ("recal scene.tif -o new.safetensors --patch 64", 1, "48 x 64 pixels, smaller than a patch of 64 x 64"),
    ("recal scene.tif -o new.safetensors --patch 1 --stride 1", 2, "too small for VGG16"),
    ("recal scene.tif -o new.safetensors --weights nowhere.pth", 1, "nowhere.pth"),
    ("recal empty.tif -o new.safetensors", 1, "no patch of 8 x 8 pixels in empty is 99% valid"),
    ("recal text.tif -o new.safetensors", 1, "text.tif"),
    ("recal scene.tif bare.tif -o new.safetensors", 1, "bare is uncalibrated"),
    ("recal scene.tif other.tif -o new.safetensors", 1, "choose the same ones with --bands"),
    ("recal -o new.safetensors", 2, "Missing argument 'SCENES...'"),
    ("recal scene.tif -o new.safetensors --memory none", 2, "is not a memory size"),
    ("dec scene.tif -o new.safetensors", 2, "No such command 'dec'"),
]


@pytest.mark.parametrize(("words", "code", "message"), TRAIN, ids=[words for words, _, _ in TRAIN])
def test_what_train_refuses(
    rsseg: Rsseg, work: Path, monkeypatch: pytest.MonkeyPatch, words: str, code: int, message: str
) -> None:
    monkeypatch.chdir(work)
    found, line = fails(rsseg, work, "train", *words.split())
    assert found == code and message in line


RUN = [
    ("nothing scene.tif -o new", 2, "there is no pipeline nothing"),
    ("text.tif scene.tif -o new", 2, "is not a pipeline"),
    ("quick text.tif -o new", 1, "text.tif"),
    ("quick scene.tif -o folder/..", 2, "is no run of rsseg"),
    ("quick scene.tif -o existing.tif", 2, "is a file where a folder should be"),
    ("quick scene.tif -o new --reference nowhere.gpkg", 1, "nowhere.gpkg does not exist"),
    ("quick scene.tif -o new --classes 1", 2, "1 is not in the range"),
    ("quick scene.tif -o new --bands swir", 2, "no band swir"),
    ("quick -o new", 2, "Missing argument 'SCENES...'"),
]


@pytest.mark.parametrize(("words", "code", "message"), RUN, ids=[words for words, _, _ in RUN])
def test_what_run_refuses(
    rsseg: Rsseg, work: Path, monkeypatch: pytest.MonkeyPatch, words: str, code: int, message: str
) -> None:
    monkeypatch.chdir(work)
    found, line = fails(rsseg, work, "run", *words.split())
    assert found == code and message in line


def test_an_unknown_verb_is_said(rsseg: Rsseg, tmp_path: Path) -> None:
    assert fails(rsseg, tmp_path, "paint") == (2, "Error: No such command 'paint'.")


def test_debug_shows_where_it_happened(rsseg: Rsseg, work: Path) -> None:
    words = ("segment", work / "text.tif", "--model", work / "model.safetensors", "-o", work / "new.tif")
    code, _, err = rsseg(*words, "--debug")
    assert code == 1 and "Traceback" in err and err.strip().splitlines()[-1].startswith("rsseg: ")


# what works


def test_training_and_labelling_tell_what_came_of_it(rsseg: Rsseg, work: Path) -> None:
    model, labels = work / "new.safetensors", work / "labels.tif"
    code, out, err = rsseg("train", "recal", work / "scene.tif", "-o", model, "--epochs", 2, "--classes", 4)
    assert code == 0 and "recal on" in out and f"rsseg segment SCENE --model {model}" in out
    assert "rsseg: warning: VGG16 starts from random weights" in err
    assert all(line.startswith("rsseg: warning:") for line in err.splitlines())
    assert load_model(model).inference.units == "reflectance"
    assert {path.name for path in work.glob("new*")} == {"new.safetensors", "new.history.jsonl"}
    code, out, err = rsseg("segment", work / "scene.tif", "--model", model, "-o", labels)
    assert (code, err) == (0, "") and "15 without data" in out and "next: open" in out


def test_json_is_all_that_is_on_stdout(rsseg: Rsseg, work: Path) -> None:
    model, labels = work / "new.safetensors", work / "labels.tif"
    code, out, _ = rsseg("train", "kmeans", work / "scene.tif", "-o", model, "--classes", 3, "--json")
    told = json.loads(out)
    assert code == 0 and told["identity"] == load_model(model).identity and told["shares"]["clusters_used"] == 3
    code, out, _ = rsseg(
        "segment", work / "scene.tif", "--model", model, "-o", labels, "--confidence", work / "sure.tif", "--json"
    )
    told = json.loads(out)
    assert code == 0 and sum(told["pixels"].values()) + told["nodata"] == 48 * 64 and told["nodata"] == 15
    code, out, _ = rsseg("run", "quick", work / "scene.tif", "-o", work / "run", "--dry-run", "--no-estimate", "--json")
    assert code == 0 and {stage["state"] for stage in json.loads(out)["stages"]} == {"to run"}
    assert not (work / "run").exists()


def test_quiet_says_nothing_on_stderr(rsseg: Rsseg, work: Path) -> None:
    model = work / "new.safetensors"
    code, _, err = rsseg("train", "kmeans", work / "bare.tif", "-o", model, "--classes", 3, "-q")
    assert (code, err) == (0, "")
    code, _, err = rsseg("segment", work / "bare.tif", "--model", model, "-o", work / "labels.tif", "-q")
    assert (code, err) == (0, "")


def test_bare_numbers_are_said_once(rsseg: Rsseg, work: Path) -> None:
    code, _, err = rsseg("train", "kmeans", work / "bare.tif", "-o", work / "new.safetensors", "--classes", 3)
    assert code == 0 and err.count("bare numbers without calibration") == 1


def test_a_scene_without_a_valid_pixel_gives_an_empty_map(rsseg: Rsseg, work: Path) -> None:
    words = ("segment", work / "empty.tif", "--model", work / "model.safetensors", "-o", work / "labels.tif")
    code, out, _ = rsseg(*words)
    assert code == 0 and "0 labelled" in out
    with rasterio.open(work / "labels.tif") as file:
        assert not file.read(1).any()


def test_a_part_within_bounds_is_the_crop_of_the_whole(rsseg: Rsseg, work: Path) -> None:
    words = ("segment", work / "scene.tif", "--model", work / "model.safetensors")
    with rasterio.open(work / "scene.tif") as file:
        left, top = file.xy(5, 9, offset="ul")
    bounds = (left, top - 5 * 20, left + 5 * 30, top)
    for resolution in ("pixel", "patch"):
        whole, part = work / f"{resolution}.tif", work / f"{resolution}-part.tif"
        assert rsseg(*words, "-o", whole, "--resolution", resolution)[0] == 0
        assert rsseg(*words, "-o", part, "--resolution", resolution, "--bounds", *bounds)[0] == 0
        with rasterio.open(whole) as complete, rasterio.open(part) as cut:
            window = complete.window(*cut.bounds).round()
            assert cut.shape == ((20, 30) if resolution == "pixel" else (6, 8))
            assert np.array_equal(cut.read(1), complete.read(1, window=window))


def test_the_models_bands_are_found_by_name(rsseg: Rsseg, work: Path) -> None:
    with rasterio.open(work / "scene.tif") as file:
        values, profile, scales, offsets = file.read(), file.profile, file.scales, file.offsets
    with rasterio.open(work / "turned.tif", "w", **profile) as file:
        file.write(values[::-1])
        file.descriptions, file.scales, file.offsets = ("nir", "red", "green"), scales, offsets
    maps = []
    for name in ("scene", "turned"):
        labels = work / f"{name}-labels.tif"
        assert rsseg("segment", work / f"{name}.tif", "--model", work / "model.safetensors", "-o", labels)[0] == 0
        with rasterio.open(labels) as file:
            maps.append(file.read(1))
    assert np.array_equal(*maps)


def test_a_stopped_training_is_resumed_and_other_settings_are_refused(
    rsseg: Rsseg, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rsseg.learn.methods.recal import RecalPhase

    words = ["train", "recal", work / "scene.tif", "--epochs", 3, "--patience", 0, "--batch", 16, "--json"]
    whole = json.loads(rsseg(*words, "-o", work / "whole.safetensors")[1])
    complete, steps = RecalPhase.step, iter(range(1000))

    def dying(self: RecalPhase, *arguments: object) -> object:
        if next(steps) == 5:
            raise KeyboardInterrupt
        return complete(self, *arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(RecalPhase, "step", dying)
        code, out, err = rsseg(*words, "-o", work / "part.safetensors")
    assert (code, out) == (130, "") and err.splitlines()[-1].startswith("rsseg: stopped")
    code, _, err = rsseg(*words, "-o", work / "part.safetensors", "--resume", "--seed", 4)
    assert code == 2 and "other settings (" in err and "seed" in err
    code, out, _ = rsseg(*words, "-o", work / "part.safetensors", "--resume")
    assert code == 0 and json.loads(out)["identity"] == whole["identity"]
    assert (work / "part.safetensors").read_bytes() == (work / "whole.safetensors").read_bytes()
    assert not list(work.glob("*checkpoint*"))


def test_a_run_ends_with_what_to_open(rsseg: Rsseg, work: Path) -> None:
    (work / "p.yaml").write_text("models: {k: {method: kmeans, classes: 3}}\npictures: false\n")
    reference = write_reference(work / "reference.gpkg")
    words = ("run", work / "p.yaml", work / "scene.tif", "-o", work / "out", "--reference", reference)
    code, out, err = rsseg(*words, "--field", "class")
    assert code == 0 and str(work / "out" / "scene" / "labels" / "k.tif") in out and "accuracy" in out
    assert err.splitlines() == ["[1/3] train k", "[2/3] segment scene k", "[3/3] evaluate scene k"]
    code, out, err = rsseg(*words, "--field", "class", "-q")
    assert code == 0 and "3 finished before" in out and err == ""


def test_help_of_every_method_lists_its_settings(rsseg: Rsseg) -> None:
    code, out, _ = rsseg("train", "recal", "--help")
    assert code == 0 and "--entropy-weight" in out and "--accumulate" in out and "--learning-rate" in out
    code, out, _ = rsseg("train", "--help")
    assert code == 0 and "recal" in out and "kmeans" in out


def test_settings_of_methods_have_names_of_their_own() -> None:
    """A setting called like an option that all methods share would silently take its place."""
    import click

    from rsseg.cli.train import command
    from rsseg.learn.methods import METHODS

    for method in METHODS:
        made = command.get_command(None, method)  # type: ignore[arg-type]
        names = [parameter.name for parameter in made.params]
        assert len(names) == len(set(names)), [name for name in names if names.count(name) > 1]
        flags = [flag for p in made.params if isinstance(p, click.Option) for flag in [*p.opts, *p.secondary_opts]]
        assert len(flags) == len(set(flags)), method
