"""Readers of labelled images: orientation, order, classes from 0, and files that are not what they should be."""

import gzip
import importlib
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from rsseg.errors import InputError, UsageError

CORNER = np.zeros((4, 4), np.uint8)
CORNER[0, 3] = 200  # top right: transposed, it would be bottom left


@pytest.fixture
def datasets() -> Any:
    return importlib.import_module("datasets")


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}i", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def idx_folder(folder: Path, packed: bool = True) -> None:
    rng = np.random.default_rng(0)
    for part, count in (("t10k", 3), ("train", 5)):
        images = rng.integers(0, 255, (count, 4, 6), np.uint8)
        labels = np.arange(count, dtype=np.uint8) % 3
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            content = idx_bytes(array)
            name = f"{part}-{kind}-ubyte" + (".gz" if packed else "")
            (folder / name).write_bytes(gzip.compress(content) if packed else content)


@pytest.mark.parametrize("packed", [True, False])
def test_an_idx_folder_is_read_training_part_first(datasets: Any, tmp_path: Path, packed: bool) -> None:
    idx_folder(tmp_path, packed)
    found = datasets.read(str(tmp_path))
    assert found.images.shape == (8, 1, 4, 6)
    assert (found.train, found.classes) == (5, 3)
    assert found.truth.tolist() == [0, 1, 2, 0, 1, 0, 1, 2]
    first = np.random.default_rng(0).integers(0, 255, (3, 4, 6), np.uint8)  # the test part, written first
    assert np.array_equal(found.images[5:, 0], first)


def test_one_idx_file_finds_its_labels(datasets: Any, tmp_path: Path) -> None:
    idx_folder(tmp_path)
    assert len(datasets.read(str(tmp_path / "train-images-idx3-ubyte.gz")).truth) == 5
    (tmp_path / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(InputError, match=r"train-labels-idx1-ubyte\.gz"):
        datasets.read(str(tmp_path / "train-images-idx3-ubyte.gz"))


def test_broken_idx_files_are_named(datasets: Any, tmp_path: Path) -> None:
    cut, other = tmp_path / "cut-idx", tmp_path / "other-idx"
    cut.write_bytes(idx_bytes(np.zeros((2, 3, 3), np.uint8))[:-1])
    other.write_bytes(b"PNG")
    with pytest.raises(InputError, match="17 values of 18"):
        datasets.read_idx(cut)
    with pytest.raises(InputError, match="no idx file"):
        datasets.read_idx(other)


def test_matlab_images_stand_upright(datasets: Any, tmp_path: Path) -> None:
    """MATLAB writes an image column by column."""
    rows = np.stack([CORNER.ravel(order="F"), np.zeros(16, np.uint8)])
    savemat(tmp_path / "objects.mat", {"X": rows, "Y": np.array([[7], [3]])})
    found = datasets.read(str(tmp_path / "objects.mat"))
    assert np.array_equal(found.images[0, 0], CORNER)
    assert (found.truth.tolist(), found.names) == ([1, 0], ("3", "7"))


def test_npz_files_with_and_without_a_split(datasets: Any, tmp_path: Path) -> None:
    images, labels = np.stack([CORNER] * 3), np.array([4, 5, 4])
    np.savez(
        tmp_path / "split.npz", train_images=images, train_labels=labels, test_images=images[:1], test_labels=labels[:1]
    )
    np.savez(tmp_path / "flat.npz", X=images.reshape(3, 16), Y=labels)
    np.savez(tmp_path / "colour.npz", images=np.stack([images] * 3, axis=-1), labels=labels)
    assert datasets.read(str(tmp_path / "split.npz")).train == 3
    flat = datasets.read(str(tmp_path / "flat.npz"))
    assert np.array_equal(flat.images[0, 0], CORNER)
    assert flat.train == 0
    assert datasets.read(str(tmp_path / "colour.npz")).images.shape == (3, 3, 4, 4)
    np.savez(tmp_path / "other.npz", weights=labels)
    with pytest.raises(InputError, match="holds weights"):
        datasets.read(str(tmp_path / "other.npz"))


def test_class_folders_give_names_and_need_one_size(datasets: Any, tmp_path: Path) -> None:
    for name, side in (("water", 4), ("forest", 4)):
        (tmp_path / name).mkdir()
        Image.fromarray(np.resize(CORNER, (side, side))).save(tmp_path / name / "one.png")
        (tmp_path / name / "notes.txt").write_text("no picture")
    found = datasets.read(str(tmp_path))
    assert (found.names, found.truth.tolist()) == (("forest", "water"), [0, 1])
    assert np.array_equal(found.images[0, 0], CORNER)
    Image.new("RGB", (9, 9), (10, 20, 30)).save(tmp_path / "water" / "two.png")
    with pytest.raises(InputError, match="--size"):
        datasets.read(str(tmp_path))
    resized = datasets.read(str(tmp_path), size=4)
    assert resized.images.shape == (3, 3, 4, 4)
    assert resized.images[2, :, 0, 0].tolist() == [10, 20, 30]
    assert np.array_equal(resized.images[0, 0], resized.images[0, 2])  # a grey one among coloured ones


def test_images_are_brought_to_a_size_about_their_centre(datasets: Any) -> None:
    images = np.arange(2 * 36, dtype=np.uint8).reshape(2, 1, 6, 6)
    made = datasets.ImageSet("made", images, np.zeros(2, np.int64), ("only",))
    padded = made.fitted(10, "pad")
    assert np.array_equal(padded.images[:, :, 2:8, 2:8], images)
    assert padded.images.sum() == images.sum()
    assert np.array_equal(padded.fitted(6, "crop").images, images)
    assert np.array_equal(made.fitted(2, "crop").images, images[:, :, 2:4, 2:4])
    smooth = made.fitted(3, "resize").images
    assert smooth.dtype == np.uint8
    assert np.allclose(smooth[:, :, 1, 1], images[:, :, 1:5, 1:5].mean(axis=(2, 3)), atol=1)
    with pytest.raises(UsageError, match="--fit resize"):
        made.fitted(4, "pad")


def test_thinning_keeps_a_share_of_a_class_and_the_split(datasets: Any) -> None:
    truth = np.arange(100) % 2
    images = np.arange(100, dtype=np.uint8).reshape(100, 1, 1, 1)
    made = datasets.ImageSet("made", images, truth, ("a", "b"), train=60)
    thin = made.thinned({"b": 0.2}, seed=1)
    assert np.bincount(thin.truth).tolist() == [50, 10]
    assert np.array_equal(thin.images.ravel() % 2, thin.truth)
    assert thin.train == (thin.images.ravel() < 60).sum()
    assert not np.array_equal(thin.images, made.thinned({"b": 0.2}, seed=2).images)
    with pytest.raises(UsageError, match="no class 'c'; choose one of a, b"):
        made.thinned({"c": 0.5})


def test_each_superclass_has_five_classes(datasets: Any) -> None:
    names = sorted(" ".join(datasets.SUPERCLASSES.values()).split())
    found = datasets.superclasses(names)
    assert len(set(names)) == 100
    assert np.bincount(found).tolist() == [5] * 20
    assert list(datasets.SUPERCLASSES)[found[names.index("whale")]] == "aquatic mammals"


def test_what_is_missing_is_said(datasets: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither one of mnist"):
        datasets.read("mnits")
    for name in ("mnist", "cifar10"):
        with pytest.raises(InputError, match=f"{name} is not in"):
            datasets.read(name, tmp_path)


@pytest.mark.parametrize(
    ("name", "shape", "classes", "train"),
    [("usps", (9298, 1, 16, 16), 10, 7291), ("coil20", (1440, 1, 32, 32), 20, 0), ("umist", (575, 1, 32, 32), 20, 0)],
)
def test_the_papers_data_sets(
    datasets: Any, data: Path, name: str, shape: tuple[int, ...], classes: int, train: int
) -> None:
    if not (data / name).is_dir():
        pytest.skip(f"no {name} in {data}")
    found = datasets.read(name, data)
    assert (found.images.shape, found.classes, found.train) == (shape, classes, train)
    assert np.bincount(found.truth).min() > 0
