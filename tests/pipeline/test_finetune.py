"""Training that starts from a model, and heads trained on labels: from files to files."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from labelmaps import Run, grid_for, write_boxes, write_map
from scenes import NAMES, fields, write_reference, write_scene
from tiny import thin_vgg

from rsseg.errors import ModelError, TrainingError, UsageError
from rsseg.label.labelled_scene import LabelledScene, split
from rsseg.label.maps import LabelMap
from rsseg.learn.model import load_model
from rsseg.pipeline.stages import finetune as stage
from rsseg.pipeline.stages.finetune import finetune
from rsseg.pipeline.stages.segment import segment
from rsseg.pipeline.stages.train import train

pytestmark = [
    pytest.mark.filterwarnings("ignore::rsseg.errors.CollapseWarning"),
    pytest.mark.filterwarnings("ignore::rsseg.errors.WeightsWarning"),
]

SIZE = (96, 128)
QUICK = {"epochs": 5}


@pytest.fixture(autouse=True)
def thin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with thin_vgg(monkeypatch):
        yield


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene, polygons in its fields, and models of it: k-means on the means of patches, and RECAL."""
    from rsseg.learn.methods import settings_of

    folder = tmp_path_factory.mktemp("finetune")
    write_scene(folder / "scene.tif", *SIZE)
    write_reference(folder / "r.gpkg", *SIZE)
    words = {"classes": 6, "patch": 4, "stride": 4}
    train([folder / "scene.tif"], folder / "k.safetensors", settings_of("kmeans", features="mean", **words))
    with pytest.MonkeyPatch.context() as patched, thin_vgg(patched):
        recal = settings_of("recal", **{**words, "patch": 8, "epochs": 1})
        train([folder / "scene.tif"], folder / "m.safetensors", recal)
    return folder


def truth() -> np.ndarray:
    """The codes (H, W) of the fields in the reference's order, by name."""
    order = np.array([sorted(NAMES).index(name) + 1 for name in NAMES])
    codes: np.ndarray = order[fields(*SIZE)]
    return codes


@pytest.mark.parametrize("freeze", [True, False])
def test_a_head_gives_the_classes_of_the_reference_with_their_names(work: Path, tmp_path: Path, freeze: bool) -> None:
    model = tmp_path / "head.safetensors"
    result = finetune(
        *(work / "scene.tif", model, work / "m.safetensors", work / "r.gpkg"),
        field="class",
        share=0.5,
        options={"freeze": freeze, "stride": 4, **({} if freeze else {"epochs": 10, "learning_rate": 1e-3})},
    )
    assert result.method == "recal" and list(result.training) == sorted(NAMES) and result.unit == "patches"
    assert result.accuracy and result.accuracy["overall_accuracy"] > 0.9 and result.held_out > 50
    assert min(result.training.values()) > 10
    loaded = load_model(model)
    assert loaded.provenance["classes"] == sorted(NAMES)
    start = load_model(work / "m.safetensors")
    assert loaded.inference.normalisation == start.inference.normalisation and loaded.inference.classes == 3
    last = json.loads((tmp_path / "head.history.jsonl").read_text("utf-8").splitlines()[-1])
    assert last["accuracy"] == result.accuracy["overall_accuracy"]
    segment(work / "scene.tif", model, tmp_path / "l.tif")
    with LabelMap(tmp_path / "l.tif") as found:
        assert [found.title(value) for value in (1, 2, 3)] == sorted(NAMES)
        answers = found.read(found.grid.window)
    assert (answers == truth())[answers > 0].mean() > 0.85


def test_a_dense_network_learns_from_polygons_pixel_by_pixel(work: Path, tmp_path: Path) -> None:
    from rsseg.learn.methods import settings_of

    dense = settings_of("iic-dense", patch=32, stride=16, width=4, classes=3, epochs=1, displacement=2)
    train([work / "scene.tif"], tmp_path / "d.safetensors", dense)
    result = finetune(
        *(work / "scene.tif", tmp_path / "h.safetensors", tmp_path / "d.safetensors", work / "r.gpkg"),
        field="class",
        share=0.5,
        options={"epochs": 20, "freeze": False, "learning_rate": 3e-3},
    )
    assert result.unit == "pixels" and min(result.training.values()) > 1000
    assert result.accuracy and result.accuracy["overall_accuracy"] > 0.9
    segment(work / "scene.tif", tmp_path / "h.safetensors", tmp_path / "l.tif")
    with LabelMap(tmp_path / "l.tif") as found:
        answers = found.read(found.grid.window)
    assert (answers == truth())[answers > 0].mean() > 0.85


def test_held_out_labels_do_not_touch_the_model(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = []
    for swapped in (False, True):

        def splitting(found: LabelledScene, share: float, seed: int, swapped: bool = swapped) -> object:
            chosen, held = split(found, share, seed)
            if swapped:
                found.labels.codes[~chosen] = found.labels.codes[~chosen] % 3 + 1
            return chosen, held

        monkeypatch.setattr(stage, "split", splitting)
        model = tmp_path / f"{swapped}.safetensors"
        result = finetune(
            *(work / "scene.tif", model, work / "k.safetensors", work / "r.gpkg"),
            field="class",
            share=0.3,
            options=QUICK,
        )
        assert result.accuracy and (result.accuracy["overall_accuracy"] > 0.6) != swapped
        files.append(hashlib.sha256(model.read_bytes()).hexdigest())
    assert files[0] == files[1]


def test_the_share_counts_and_all_labels_leave_none_to_score(work: Path, tmp_path: Path) -> None:
    counts = {}
    for share in (1.0, 0.5, 0.25):
        result = finetune(
            *(work / "scene.tif", tmp_path / f"{share}.safetensors", work / "k.safetensors", work / "r.gpkg"),
            field="class",
            share=share,
            options=QUICK,
        )
        counts[share] = result.training
        assert (result.accuracy is None) == (share == 1) and (result.held_out == 0) == (share == 1)
    for name in NAMES:
        assert counts[0.5][name] == pytest.approx(counts[1.0][name] / 2, abs=9)  # a polygon has nine to 16 patches
        assert counts[0.25][name] == pytest.approx(counts[1.0][name] / 4, abs=9)


def test_a_raster_labels_as_polygons_do_and_a_class_without_patches_keeps_its_number(
    work: Path, tmp_path: Path
) -> None:
    codes = truth().astype(np.uint8)
    codes[codes == 3] = 9
    codes[0, :2] = 5
    reference = write_map(tmp_path / "r.tif", codes)
    result = finetune(work / "scene.tif", tmp_path / "h.safetensors", work / "k.safetensors", reference, share=0.5)
    assert list(result.training.values())[2] == 0 and len(result.training) == 4
    segment(work / "scene.tif", tmp_path / "h.safetensors", tmp_path / "l.tif")
    with rasterio.open(tmp_path / "l.tif") as found:
        answers = found.read(1)
    assert set(np.unique(answers)) <= {0, 1, 2, 4}
    assert ((answers == 4) == (codes == 9))[answers > 0].mean() > 0.9


def test_a_training_starts_from_a_model_and_keeps_its_normalisation(rsseg: Run, work: Path, tmp_path: Path) -> None:
    write_scene(tmp_path / "other.tif", *SIZE, seed=5)
    words = ("--classes", 6, "--patch", 8, "--stride", 4, "--epochs", 1, "-q")
    code, _, err = rsseg(
        *("train", "recal", tmp_path / "other.tif", "--init", work / "m.safetensors"),
        *("-o", tmp_path / "new.safetensors", *words),
    )
    assert code == 0 and "random weights" not in err
    start, new = load_model(work / "m.safetensors"), load_model(tmp_path / "new.safetensors")
    assert new.inference.normalisation == start.inference.normalisation
    assert new.provenance["init"] == start.identity and new.identity != start.identity
    code, _, _ = rsseg("train", "recal", tmp_path / "other.tif", "-o", tmp_path / "bare.safetensors", *words)
    bare = load_model(tmp_path / "bare.safetensors")
    assert code == 0 and bare.inference.normalisation != start.inference.normalisation
    assert "init" not in bare.provenance


def test_a_stopped_head_is_resumed_to_the_same_file(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rsseg.learn.methods.supervised import SupervisedPhase

    def head(name: str, resume: bool = False, share: float = 0.5) -> bytes:
        path = tmp_path / name
        finetune(
            *(work / "scene.tif", path, work / "k.safetensors", work / "r.gpkg"),
            field="class",
            share=share,
            options=QUICK,
            resume=resume,
        )
        return path.read_bytes()

    wanted, complete = head("a.safetensors"), SupervisedPhase.start_of_epoch

    def stopping(self: SupervisedPhase, samples: object, epoch: int) -> None:
        if epoch == 3:
            raise KeyboardInterrupt
        complete(self, samples, epoch)  # type: ignore[arg-type]

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(SupervisedPhase, "start_of_epoch", stopping)
        head("b.safetensors")
    with pytest.raises(UsageError, match=r"other settings \(labels\)"):
        head("b.safetensors", resume=True, share=0.25)
    assert head("b.safetensors", resume=True) == wanted


REFUSED = [
    ("train kmeans scene.tif --labels r.gpkg --field class", 2, "name the model with --init"),
    ("train kmeans scene.tif scene.tif --init k.safetensors --labels r.gpkg --field class", 2, "of one scene"),
    ("train kmeans scene.tif --init k.safetensors --field class", 2, "name them with --labels"),
    ("train kmeans scene.tif --no-freeze", 2, "--freeze is of training on labels"),
    ("train ddc scene.tif --init k.safetensors --labels r.gpkg --field class", 2, "was trained by kmeans"),
    ("train kmeans scene.tif --init k.safetensors --labels r.gpkg", 2, "--field says which field holds the class"),
    ("train kmeans scene.tif --init k.safetensors --labels r.gpkg --field class --patch 2", 2, "leave it out"),
    ("train kmeans scene.tif --init k.safetensors --labels r.gpkg --field class --starts 3", 2, "no setting 'starts'"),
    (
        "train kmeans scene.tif --init k.safetensors --labels r.gpkg --field class --vote 2 --restarts 2",
        2,
        "do not vote",
    ),
    ("train kmeans scene.tif --init k.safetensors --labels r.gpkg --field class --label-share 0", 2, "--label-share"),
    ("train kmeans scene.tif --init k.safetensors --labels far.gpkg --field class", 1, "labels no patch of 4 x 4"),
    ("train kmeans scene.tif --init k.safetensors --labels one.gpkg --field class", 2, "one class, 'a'"),
    ("train kmeans scene.tif --init k.safetensors --labels few.gpkg --field class", 1, "of one class only"),
    ("train kmeans scene.tif --init k.safetensors", 2, "kmeans is fitted at once"),
    ("train recal scene.tif --init k.safetensors", 1, "made by kmeans with patch 4 but here 8"),
    ("train recal bare.tif --init m.safetensors", 1, "trained on reflectance values, but bare is uncalibrated"),
    ("train recal scene.tif --bands 2,1,3 --init m.safetensors", 1, "trained on the bands green, red, nir"),
    ("train kmeans bare.tif --init k.safetensors --labels r.gpkg --field class", 1, "but bare is uncalibrated"),
]


@pytest.mark.parametrize(("words", "code", "message"), REFUSED, ids=[words for words, _, _ in REFUSED])
def test_what_is_refused_in_one_sentence(
    rsseg: Run, work: Path, monkeypatch: pytest.MonkeyPatch, words: str, code: int, message: str
) -> None:
    monkeypatch.chdir(work)
    if not (work / "bare.tif").exists():
        write_scene(work / "bare.tif", *SIZE, stored=False)
        grid = grid_for(SIZE)
        write_boxes(work / "far.gpkg", grid, [(0, 0, 1, 1, "a"), (9, 9, 1, 1, "b")])
        write_boxes(work / "one.gpkg", grid, [(0, 0, 9, 9, "a")])
        write_boxes(work / "few.gpkg", grid, [(20, 20, 20, 20, "a"), (60, 60, 1, 1, "b")])
    found, _, err = rsseg(*words.split(), "-o", "new.safetensors", "-q")
    assert found == code and message in err
    assert not (work / "new.safetensors").exists()


def test_the_command_tells_what_came_of_it(rsseg: Run, work: Path, tmp_path: Path) -> None:
    words = ("--init", work / "k.safetensors", "--labels", work / "r.gpkg", "--field", "class", "--epochs", 5)
    target = tmp_path / "h.safetensors"
    code, out, _ = rsseg("train", "kmeans", work / "scene.tif", *words, "-o", target, "--label-share", 0.5)
    assert code == 0 and "labelled patches; accuracy 0." in out.replace("1.0", "0.") and "held out" in out
    code, out, _ = rsseg("train", "kmeans", work / "scene.tif", *words, "-o", target, "--overwrite", "--json", "-q")
    answer = json.loads(out)
    assert code == 0 and answer["accuracy"] is None and answer["unit"] == "patches"
    settings = load_model(target).provenance["settings"]
    assert settings["epochs"] == 5 and settings["patch"] == 4 and settings["freeze"]


def test_a_scene_that_does_not_fit_in_memory_is_refused(work: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="give more --memory"):
        finetune(
            *(work / "scene.tif", tmp_path / "h.safetensors", work / "k.safetensors", work / "r.gpkg"),
            field="class",
            memory=10_000,
        )


def test_a_model_of_other_bands_takes_no_head(work: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="choose the scene's bands of these names"):
        finetune(
            *(work / "scene.tif", tmp_path / "h.safetensors", work / "k.safetensors", work / "r.gpkg"),
            field="class",
            bands=("nir", "red", "green"),
        )
