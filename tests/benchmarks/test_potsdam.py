"""Potsdam: how the tiles become images and classes, what is trained and scored on which, and the report."""

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from numpy.typing import NDArray

SIDE, SIZE = 128, 32
"""Of a made tile, and of the images it is cut into: two by two, at half the size."""

PALETTE = np.array(
    [[255, 255, 255], [0, 0, 255], [0, 255, 255], [0, 255, 0], [255, 255, 0], [255, 0, 0], [0, 0, 0]], np.uint8
)
"""The six classes, and the border of the labels that are drawn without borders."""

SPECTRA = np.array([[130, 130, 130, 110], [180, 90, 80, 60], [90, 120, 80, 200], [50, 80, 50, 160]])


@pytest.fixture
def tiles() -> Any:
    return importlib.import_module("potsdam_tiles")


@pytest.fixture
def potsdam() -> Any:
    return importlib.import_module("potsdam")


def write(path: Path, array: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {"driver": "GTiff", "count": len(array), "height": array.shape[1], "width": array.shape[2]}
    with rasterio.open(path, "w", dtype=array.dtype, **profile) as file:
        file.write(array)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three tiles of square fields of four classes, two with ground truth, in folders as the archives unpack."""
    made, rng = tmp_path / "potsdam", np.random.default_rng(0)
    for number, name in enumerate(("2_10", "2_11", "7_13")):
        kinds = np.kron(rng.permutation(np.arange(64) % 4).reshape(8, 8), np.ones((16, 16), int))
        noisy = np.moveaxis(SPECTRA[kinds], -1, 0) + rng.normal(0, 6, (4, SIDE, SIDE))
        write(made / "4_Ortho_RGBIR" / f"top_potsdam_{name}_RGBIR.tif", noisy.clip(0, 255).astype(np.uint8))
        if number < 2:
            colours = np.moveaxis(PALETTE[kinds], -1, 0)
            write(made / "5_Labels_all" / f"top_potsdam_{name}_label.tif", np.ascontiguousarray(colours))
    (made / "4_Ortho_RGBIR" / "top_potsdam_2_10_RGBIR.tfw").write_text("0.05")
    return made


def data_of(tiles: Any, folder: Path, output: Path, **options: Any) -> Any:
    return tiles.Potsdam(tiles.prepared(folder, output), **{"classes": 6, "size": SIZE, "seed": 0, **options})


def test_colours_become_classes_and_pairs_of_them_three(tiles: Any) -> None:
    codes = tiles.class_codes(PALETTE.T[:, None, :])
    assert codes.tolist() == [[0, 1, 2, 3, 4, 5, 255]]
    assert tiles.merged(codes, 6).tolist() == codes.tolist()
    assert tiles.merged(codes, 3).tolist() == [[0, 1, 2, 2, 0, 1, 255]]
    nearly = np.array([[[252]], [[255]], [[0]]], np.uint8)  # one of the tiles has such a yellow
    assert tiles.class_codes(nearly).tolist() == [[4]]


def test_images_are_halved_bilinearly(tiles: Any) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (4, 10, 8), np.uint8)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(pixels)[None].double(), scale_factor=0.5, mode="bilinear", align_corners=False
    )[0].numpy()
    assert np.abs(tiles.halved(pixels) - expected).max() <= 0.5
    assert tiles.halved(np.full((4, 4, 4), 255, np.uint8)).min() == 255


def test_tiles_are_prepared_once_and_labels_lie_on_their_pixels(tiles: Any, folder: Path, tmp_path: Path) -> None:
    said: list[str] = []
    found = tiles.prepared(folder, tmp_path / "made", said.append)
    assert [mosaic.name for mosaic in found] == ["top_potsdam_2_10", "top_potsdam_2_11", "top_potsdam_7_13"]
    assert [mosaic.labels is not None for mosaic in found] == [True, True, False]
    assert found[0].pixels.shape == (4, 64, 64) and found[0].labels.shape == (64, 64) and len(said) == 3
    for code, spectrum in enumerate(SPECTRA):
        assert np.allclose(found[0].pixels[:, found[0].labels == code].mean(axis=1), spectrum, atol=2)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "made").iterdir()}
    tiles.prepared(folder, tmp_path / "made", said.append)
    assert len(said) == 3 and times == {path: path.stat().st_mtime_ns for path in (tmp_path / "made").iterdir()}


def test_images_show_their_part_of_a_tile(tiles: Any, folder: Path, tmp_path: Path) -> None:
    data = data_of(tiles, folder, tmp_path / "made")
    assert len(data.places) == 12 and len(data.labelled) == 8
    last = data.places[3]
    assert np.array_equal(data.pixels(last), data.mosaics[0].pixels[:, 32:, 32:])
    assert np.array_equal(data.truth(last), data.mosaics[0].labels[32:, 32:] + 1)
    assert not data.truth(data.places[-1]).any()


def test_test_images_are_a_fixed_draw_of_labelled_ones_and_never_trained_on(
    tiles: Any, potsdam: Any, folder: Path, tmp_path: Path
) -> None:
    data = data_of(tiles, folder, tmp_path / "made")
    other = data_of(tiles, folder, tmp_path / "made", seed=3)
    assert len(data.tests) == round(8 * 855 / 5400) and set(data.tests) <= set(data.labelled)
    assert {tuple(data_of(tiles, folder, tmp_path / "made", seed=seed).tests) for seed in range(8)} != {
        tuple(other.tests)
    }
    used = potsdam.settings_of("wce", classes=8, patch=SIZE)
    device = torch.device("cpu")
    every, part = (potsdam.samples_of(data, left_out, used, device) for left_out in ((), data.labelled[:3]))
    assert len(every) == 12 and len(part) == 9
    kept, wanted = part.gather(torch.arange(9)), every.gather(torch.arange(3, 12))
    scale = [torch.tensor(s.normalisation.spread)[:, None, None] for s in (part, every)]
    start = [torch.tensor(s.normalisation.centre)[:, None, None] for s in (part, every)]
    assert torch.allclose(kept * scale[0] + start[0], wanted * scale[1] + start[1], atol=1e-4)


@pytest.mark.parametrize("assignment", ["one-to-one", "many-to-one"])
def test_a_perfect_labelling_scores_perfectly(
    tiles: Any, potsdam: Any, folder: Path, tmp_path: Path, assignment: str
) -> None:
    """Clusters in any order; with two clusters a class, only many to one forgives it."""
    data = data_of(tiles, folder, tmp_path / "made")
    answers = {data.pixels(place).tobytes(): data.truth(place) for place in data.labelled}

    def whole(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.stack([(7 - answers[tile.tobytes()]).astype(np.uint8) for tile in pixels])

    def halves(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        labels = whole(pixels)
        labels[:, :, SIZE // 2 :] += 10
        return labels

    scores = potsdam.scored(whole, data, data.labelled, assignment)["scores"]
    assert scores["Acc"] == scores["IoU"] == scores["F1"] == 100
    assert scores["VoI"] == scores["GCE"] == scores["BDE"] == 0 and scores["PRI"] == scores["SC"] == 1
    split = potsdam.scored(halves, data, data.labelled, assignment)["scores"]
    assert split["Acc"] == 100 if assignment == "many-to-one" else split["Acc"] < 60


def test_unlabelled_pixels_enter_no_score(tiles: Any, potsdam: Any, folder: Path, tmp_path: Path) -> None:
    path = folder / "5_Labels_all" / "top_potsdam_2_10_label.tif"
    with rasterio.open(path, "r+") as file:
        colours = file.read()
        colours[:, :, :64] = 0
        file.write(colours)
    data = data_of(tiles, folder, tmp_path / "made")
    found = potsdam.scored(
        lambda pixels: np.ones((len(pixels), SIZE, SIZE), np.uint8), data, data.labelled[:4], "many-to-one"
    )
    assert np.sum(found["confusion"]["matrix"]["counts"]) == 64 * 32


FAST = ["--size", str(SIZE), "--epochs", "2", "--width", "4", "--device", "cpu", "--set", "iic-dense.batch=4"]
FAST += ["iic-dense.displacement=2", "iic-dense.learning_rate=0.001", "wce.classes=12", "wce.superpixel_size=6"]


def test_both_methods_run_from_tiles_to_a_report(
    potsdam: Any, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    potsdam.main([str(folder), "--output", str(tmp_path / "out"), "--classes", "3", *FAST])
    report = json.loads((tmp_path / "out" / "report_3.json").read_text())
    assert [(row["name"], row["assignment"], row["images"]) for row in report["rows"]] == [
        ("pixel k-means", "one-to-one", 8),
        ("iic-dense", "one-to-one", 8),
        ("pixel k-means", "many-to-one", 1),
        ("wce", "many-to-one", 1),
    ]
    assert [(run["epochs_begun"], run["images"]) for run in report["runs"]] == [(2, 12), (2, 11)]
    assert report["rows"][1]["clusters"] <= 3 and report["rows"][0]["scores"]["Acc"] > 50
    text = capsys.readouterr().out
    assert "| IIC | 65.1 |" in text and "| **iic-dense, ours** |" in text
    assert "| Ferreira et al., Table IX, 100 epochs | 76.5 | 61.4 |" in text and "displacement 2" in text
    assert "2 of 2 epochs begun on 11 images" in text and "ended by its epochs; not the paper: " in text
    widths = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert widths == {13}


def test_a_run_out_of_time_is_ended_and_scored(potsdam: Any, folder: Path, tmp_path: Path) -> None:
    potsdam.main(
        [str(folder), "--output", str(tmp_path / "out"), *FAST, "--budget", "1e-6", "--methods", "wce", "--epochs", "9"]
    )
    report = json.loads((tmp_path / "out" / "report_3.json").read_text())
    assert report["runs"][0]["ended_by"] == "budget" and report["runs"][0]["epochs_begun"] == 1
    assert report["rows"][1]["name"] == "wce" and 0 < report["rows"][1]["scores"]["Acc"] <= 100


@pytest.mark.parametrize("classes", [3, 6])
def test_the_papers_settings_hold_unless_others_are_asked_for(potsdam: Any, classes: int) -> None:
    wanted = potsdam.parsed(["DIR", "--output", "OUT", "--classes", str(classes)])
    iic, changed = potsdam.settings_for("iic-dense", wanted)
    assert (iic.classes, iic.patch, iic.width, changed) == (classes, 200, 64, {})
    expected = {3: (1e-5, 75, 24, 1.5, 10), 6: (1e-6, 60, 36, 1.0, 5)}[classes]
    assert (iic.learning_rate, iic.batch, iic.over, iic.entropy_weight, iic.displacement) == expected
    wce, changed = potsdam.settings_for("wce", wanted)
    assert (wce.classes, wce.patch, wce.batch, wce.epochs, wce.classifiers, changed) == (100, 200, 10, 10, 2, {})
    wanted = potsdam.parsed(["DIR", "--output", "OUT", "--width", "8", "--set", "wce.batch=2"])
    assert potsdam.settings_for("iic-dense", wanted)[1] == {"width": 8}
    assert potsdam.settings_for("wce", wanted)[1] == {"batch": 2, "width": 8}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "holds no Potsdam tiles: top_potsdam_2_10_RGBIR.tif and its like are missing"),
        (["--set", "iic.batch=3"], "--set iic.batch names no method"),
        (["--set", "wce.bach=3"], "has no setting 'bach'"),
    ],
)
def test_what_is_missing_is_said_in_a_sentence(
    potsdam: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        potsdam.main([str(tmp_path), "--output", str(tmp_path / "out"), *arguments])
    error = capsys.readouterr().err
    assert stop.value.code in (1, 2) and error.startswith("error: ") and said in error and error.count("\n") == 1


def test_tiles_without_any_ground_truth_cannot_be_scored(
    potsdam: Any, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (folder / "5_Labels_all").iterdir():
        path.unlink()
    with pytest.raises(SystemExit):
        potsdam.main([str(folder), "--output", str(tmp_path / "out"), *FAST])
    assert "has no ground truth: files such as top_potsdam_2_10_label.tif are missing" in capsys.readouterr().err


def test_a_file_of_other_bands_is_refused(tiles: Any, folder: Path, tmp_path: Path) -> None:
    write(folder / "4_Ortho_RGBIR" / "top_potsdam_2_10_RGBIR.tif", np.zeros((3, 8, 8), np.uint8))
    with pytest.raises(tiles.InputError, match=r"2_10_RGBIR\.tif has 3 bands of uint8"):
        tiles.prepared(folder, tmp_path / "made")
