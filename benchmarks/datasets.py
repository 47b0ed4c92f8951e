"""Labelled image data sets for the clustering benchmark: readers, and how images are brought to a network's size.

Known names (mnist, usps, coil20, umist) lie in the data folder, ``RSSEG_DATA``; cifar10, cifar100 and stl10 are read
by torchvision from a root folder, and nothing is downloaded; anything else is a path to an npz, idx or mat file, or to
a folder of class folders. Labels are read to score a clustering, never to train or to choose one.
"""

import gzip
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from rsseg.errors import InputError, UsageError

DATA = Path(os.environ.get("RSSEG_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
UNLABELLED = -1
Fit = Literal["pad", "crop", "resize"]

IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
PICTURES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".pgm", ".ppm", ".gif"}
SPLITS = (("train_images", "train_labels", "test_images", "test_labels"), ("x_train", "y_train", "x_test", "y_test"))
WHOLES = (("images", "labels"), ("X", "Y"), ("x", "y"), ("data", "labels"))
SUPERCLASSES = {
    "aquatic mammals": "beaver dolphin otter seal whale",
    "fish": "aquarium_fish flatfish ray shark trout",
    "flowers": "orchid poppy rose sunflower tulip",
    "food containers": "bottle bowl can cup plate",
    "fruit and vegetables": "apple mushroom orange pear sweet_pepper",
    "household electrical devices": "clock keyboard lamp telephone television",
    "household furniture": "bed chair couch table wardrobe",
    "insects": "bee beetle butterfly caterpillar cockroach",
    "large carnivores": "bear leopard lion tiger wolf",
    "large man-made outdoor things": "bridge castle house road skyscraper",
    "large natural outdoor scenes": "cloud forest mountain plain sea",
    "large omnivores and herbivores": "camel cattle chimpanzee elephant kangaroo",
    "medium-sized mammals": "fox porcupine possum raccoon skunk",
    "non-insect invertebrates": "crab lobster snail spider worm",
    "people": "baby boy girl man woman",
    "reptiles": "crocodile dinosaur lizard snake turtle",
    "small mammals": "hamster mouse rabbit shrew squirrel",
    "trees": "maple_tree oak_tree palm_tree pine_tree willow_tree",
    "vehicles 1": "bicycle bus motorcycle pickup_truck train",
    "vehicles 2": "lawn_mower rocket streetcar tank tractor",
}
"""CIFAR-100's twenty superclasses, which the papers cluster into, and their classes."""


@dataclass(frozen=True)
class ImageSet:
    """Images (n, bands, height, width) with their classes (n,), ``UNLABELLED`` where there is none.

    ``train``: how many of the first images are the data set's own training part; 0 where it has no such split.
    """

    name: str
    images: NDArray
    truth: NDArray[np.int64]
    names: tuple[str, ...]
    train: int = 0

    @property
    def classes(self) -> int:
        return len(self.names)

    def fitted(self, size: int, how: Fit = "resize") -> "ImageSet":
        """The images at (size, size): padded with zeros or cropped about the centre, or resized (bilinear)."""
        height, width = self.images.shape[2:]
        if (height, width) == (size, size):
            return self
        if how == "resize":
            return replace(self, images=_resized(self.images, size))
        if how == "pad" and max(height, width) <= size:
            gaps = [((size - side) // 2, size - side - (size - side) // 2) for side in (height, width)]
            return replace(self, images=np.pad(self.images, ((0, 0), (0, 0), *gaps)))
        if how == "crop" and min(height, width) >= size:
            top, left = (height - size) // 2, (width - size) // 2
            return replace(self, images=self.images[:, :, top : top + size, left : left + size])
        raise UsageError(f"images of {height} x {width} do not {how} to {size} px; choose --fit resize")

    def thinned(self, kept: Mapping[str, float], seed: int = 0) -> "ImageSet":
        """Only a share of some classes, by name or number, drawn by the seed: an imbalanced data set."""
        stays = np.ones(len(self.truth), bool)
        for name, share in kept.items():
            members = np.flatnonzero(self.truth == self._class(name))
            drawn = np.random.default_rng([seed, len(members)]).permutation(members)
            stays[drawn[round(share * len(members)) :]] = False
        train = int(stays[: self.train].sum())
        return replace(self, images=self.images[stays], truth=self.truth[stays], train=train)

    def _class(self, name: str) -> int:
        if name in self.names:
            return self.names.index(name)
        raise UsageError(f"{self.name} has no class {name!r}; choose one of {', '.join(self.names)}")


def _resized(images: NDArray, size: int) -> NDArray:
    def resize(chunk: NDArray) -> NDArray:
        wide = torch.from_numpy(chunk.astype(np.float32))
        smooth = functional.interpolate(
            wide, (size, size), mode="bilinear", antialias=True, align_corners=False
        ).numpy()
        return smooth if images.dtype.kind == "f" else np.rint(smooth).astype(images.dtype)

    return np.concatenate([resize(chunk) for chunk in np.array_split(images, -(-len(images) // 4096))])


def read(source: str, root: Path | None = None, size: int | None = None) -> ImageSet:
    """The data set of a known name, or at a path.

    ``root``: where torchvision's data sets lie. ``size``: what a folder's pictures are resized to if they differ.
    Raises: InputError naming the file that is missing or broken.
    """
    if source in NAMED:
        folder = root or DATA
        try:
            return replace(NAMED[source](folder), name=source)
        except (OSError, RuntimeError) as problem:
            raise InputError(f"{source} is not in {folder} ({problem}); set RSSEG_DATA, or --root") from problem
    path = Path(source)
    if not path.exists():
        raise InputError(f"there is no data set {source!r}: neither one of {', '.join(NAMED)}, nor a file or folder")
    if path.is_dir():
        return _idx_folder(path) if _idx_images(path) else _class_folders(path, size)
    readers: dict[str, Callable[[Path], ImageSet]] = {".npz": _npz, ".mat": _mat}
    return readers.get(path.suffix.lower(), _idx_pair)(path)


def _made(name: str, images: NDArray, truth: NDArray, train: int = 0, names: tuple[str, ...] = ()) -> ImageSet:
    """A data set whose classes count from 0; images become (n, bands, height, width)."""
    images, truth = np.asarray(images), np.asarray(truth).ravel()
    if images.ndim == 3:
        images = images[:, None]
    elif images.ndim == 4 and images.shape[-1] <= 4 and images.shape[-1] < images.shape[1]:
        images = np.moveaxis(images, -1, 1)
    if images.ndim != 4 or len(images) != len(truth):
        raise InputError(f"{name}: images of shape {images.shape} do not go with {len(truth)} labels")
    if not names:
        values, truth = np.unique(truth, return_inverse=True)
        names = tuple(str(int(value)) for value in values)
    return ImageSet(name, images, truth.astype(np.int64), names, train)


def read_idx(path: Path) -> NDArray:
    """The array of an idx file, packed by gzip or not (LeCun's format: type, dimensions, sizes, values)."""
    packed = path.read_bytes()
    content = gzip.decompress(packed) if packed[:2] == b"\x1f\x8b" else packed
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in IDX_TYPES:
        raise InputError(f"{path} is no idx file")
    shape = tuple(int(side) for side in np.frombuffer(content, ">i4", content[3], 4))
    values = np.frombuffer(content, IDX_TYPES[content[2]], offset=4 + 4 * content[3])
    if len(values) != math.prod(shape):
        raise InputError(f"{path} is cut off: {len(values)} values of {math.prod(shape)}")
    return values.reshape(shape)


def _idx_images(folder: Path) -> list[Path]:
    """The image files of a folder, training part first."""
    found = [path for path in folder.iterdir() if "-images" in path.name and "idx" in path.name]
    return sorted(found, key=lambda path: not path.name.startswith("train"))


def _labels_beside(images: Path) -> NDArray:
    beside = images.with_name(images.name.replace("-images", "-labels").replace("idx3", "idx1"))
    if not beside.is_file() or beside == images:
        raise InputError(f"{images} has no file of labels, {beside.name}, beside it")
    return read_idx(beside)


def _idx_folder(folder: Path) -> ImageSet:
    files = _idx_images(folder)
    if not files:
        raise InputError(f"no idx images in {folder}")
    parts = [read_idx(path) for path in files]
    labels = np.concatenate([_labels_beside(path) for path in files])
    train = len(parts[0]) if len(parts) > 1 and files[0].name.startswith("train") else 0
    return _made(folder.name, np.concatenate(parts), labels, train)


def _idx_pair(path: Path) -> ImageSet:
    return _made(path.name, read_idx(path), _labels_beside(path))


def _npz(path: Path) -> ImageSet:
    with np.load(path, allow_pickle=False) as stored:
        for images, labels, more_images, more_labels in SPLITS:
            if images in stored and more_images in stored:
                both = [stored[images], stored[more_images]]
                truth = np.concatenate([stored[labels].ravel(), stored[more_labels].ravel()])
                return _made(path.stem, np.concatenate(both), truth, len(both[0]))
        for images, labels in WHOLES:
            if images in stored and labels in stored:
                return _made(path.stem, _unflattened(stored[images], path, "C"), stored[labels])
        raise InputError(f"{path} holds {', '.join(stored)}; it should hold images and labels")


def _mat(path: Path) -> ImageSet:
    """MATLAB stores an image's columns one behind the other: rows and columns are exchanged."""
    from scipy.io import loadmat

    stored: dict[str, Any] = loadmat(path)
    for images, labels in (("X", "Y"), ("fea", "gnd")):
        if images in stored and labels in stored:
            return _made(path.stem, _unflattened(stored[images], path, "F"), stored[labels])
    raise InputError(f"{path} holds neither X and Y nor fea and gnd")


def _unflattened(images: NDArray, path: Path, order: Literal["C", "F"]) -> NDArray:
    """Square images (n, side, side) from rows of pixels (n, side side); other arrays as they are."""
    if images.ndim != 2:
        return images
    side = math.isqrt(images.shape[1])
    if side * side != images.shape[1]:
        raise InputError(f"{path}: rows of {images.shape[1]} pixels are no square images")
    squares = images.reshape(-1, side, side)
    return squares.transpose(0, 2, 1) if order == "F" else squares


def _class_folders(folder: Path, size: int | None) -> ImageSet:
    names = tuple(sorted(path.name for path in folder.iterdir() if path.is_dir()))
    found = [(path, number) for number, name in enumerate(names) for path in sorted((folder / name).iterdir())]
    files = [(path, number) for path, number in found if path.suffix.lower() in PICTURES]
    if not files:
        raise InputError(f"{folder} holds neither class folders of pictures nor idx files")
    images = [_picture(path, size) for path, _ in files]
    if len({image.shape[:2] for image in images}) > 1:
        raise InputError(f"the pictures in {folder} differ in size; choose one with --size")
    bands = max(image.shape[2] for image in images)
    stacked = np.stack([np.broadcast_to(image, (*image.shape[:2], bands)) for image in images])
    return _made(folder.name, np.moveaxis(stacked, -1, 1), np.array([number for _, number in files]), 0, names)


def _picture(path: Path, size: int | None) -> NDArray:
    """One picture (height, width, 1 or 3) uint8."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            if picture.mode[0] in "IF":
                raise InputError(f"{path} has more than 8 bits a band; put such images into an npz file")
            kept = picture.convert("L" if picture.mode in ("1", "L") else "RGB")
    except UnidentifiedImageError as problem:
        raise InputError(f"{path} cannot be read as a picture") from problem
    return np.atleast_3d(np.asarray(kept.resize((size, size), Image.Resampling.BILINEAR) if size else kept))


def _cifar(kind: str) -> Callable[[Path], ImageSet]:
    """CIFAR-10, or CIFAR-100 by its superclasses."""

    def read_from(root: Path) -> ImageSet:
        from torchvision import datasets

        parts = [getattr(datasets, kind)(str(root), train=train, download=False) for train in (True, False)]
        truth, names = np.concatenate([part.targets for part in parts]), tuple(parts[0].classes)
        if kind == "CIFAR100":
            truth, names = superclasses(names)[truth], tuple(SUPERCLASSES)
        return _made(kind, np.concatenate([part.data for part in parts]), truth, len(parts[0].data), names)

    return read_from


def superclasses(names: Sequence[str]) -> NDArray[np.int64]:
    """The superclass of each of CIFAR-100's classes."""
    members = [kinds.split() for kinds in SUPERCLASSES.values()]
    return np.array([[name in kinds for kinds in members].index(True) for name in names])


def _stl(root: Path) -> ImageSet:
    """STL-10: 5000 images for training, 8000 for testing, then 100 000 that have no label."""
    from torchvision import datasets

    rest = datasets.STL10(str(root), "train+unlabeled", download=False)
    test = datasets.STL10(str(root), "test", download=False)
    labelled = int((rest.labels >= 0).sum())
    images = np.concatenate([rest.data[:labelled], test.data, rest.data[labelled:]])
    truth = np.concatenate([rest.labels[:labelled], test.labels, rest.labels[labelled:]])
    return _made("STL10", images, truth, labelled, tuple(rest.classes))


NAMED: dict[str, Callable[[Path], ImageSet]] = {
    "mnist": lambda data: _idx_folder(data / "mnist"),
    "usps": lambda data: _npz(data / "usps" / "usps.npz"),
    "coil20": lambda data: _mat(data / "coil20" / "COIL20.mat"),
    "umist": lambda data: _mat(data / "umist" / "UMIST.mat"),
    "cifar10": _cifar("CIFAR10"),
    "cifar100": _cifar("CIFAR100"),
    "stl10": _stl,
}
