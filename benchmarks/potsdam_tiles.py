"""The ISPRS Potsdam tiles as IIC's authors prepare them: half the size, and cut into images of 200 pixels.

A folder, or any below it, holds ``top_potsdam_2_10_RGBIR.tif`` (6000 x 6000, red, green, blue, near infrared) and, for
the tiles with ground truth, ``top_potsdam_2_10_label.tif`` in the benchmark's colours. A prepared folder holds, for
each tile, ``top_potsdam_2_10.npy``: (4, 3000, 3000) uint8, and ``top_potsdam_2_10_label.npy``: (3000, 3000) uint8
classes from 0, ``UNLABELLED`` where the colour is none of the six. What is there already is not made again.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rsseg.errors import InputError
from rsseg.files import replacing
from rsseg.learn.inputs import ArraySource, SceneInput
from rsseg.scene.raster import gdal_errors, open_raster

CLASSES = ("roads", "buildings", "low vegetation", "trees", "cars", "clutter")
COLOURS = ((1, 1, 1), (0, 0, 1), (0, 1, 1), (0, 1, 0), (1, 1, 0), (1, 0, 0))
"""White, blue, cyan, green, yellow and red, as bright or dark red, green and blue: a few tiles have 252 for 255."""

MERGED = ("roads and cars", "buildings and clutter", "vegetation and trees")
MERGE = (0, 1, 2, 2, 0, 1)
"""Potsdam-3: for each of the six classes, its class of three."""

UNLABELLED = 255
TEST_SHARE = 855 / 5400
IMAGE = re.compile(r"(top_potsdam_\d+_\d+)_RGBIR\.tiff?$", re.IGNORECASE)
MISSING = (
    "{folder} holds no Potsdam tiles: top_potsdam_2_10_RGBIR.tif and its like are missing, which come with the ISPRS "
    "2D semantic labelling benchmark (4_Ortho_RGBIR and 5_Labels_for_participants, unpacked)"
)


@dataclass(frozen=True)
class Mosaic:
    """A prepared tile: pixels (4, H, W) uint8, and classes (H, W) uint8 if it has ground truth."""

    name: str
    pixels: NDArray[np.uint8]
    labels: NDArray[np.uint8] | None

    def scene(self) -> SceneInput:
        """Values in 0 to 1, as the papers have them."""
        return SceneInput(self.name, ArraySource(self.pixels), (1 / 255,) * 4, (0.0,) * 4)


@dataclass(frozen=True)
class Place:
    """An image: which mosaic, and its first row and column."""

    mosaic: int
    row: int
    col: int


@dataclass(frozen=True)
class Potsdam:
    """The prepared tiles as images, with three or six classes."""

    mosaics: Sequence[Mosaic]
    classes: int
    size: int
    seed: int

    @cached_property
    def places(self) -> list[Place]:
        return list(images(self.mosaics, self.size))

    @cached_property
    def labelled(self) -> list[Place]:
        """Images with ground truth."""
        return [place for place in self.places if self.mosaics[place.mosaic].labels is not None]

    @cached_property
    def tests(self) -> list[Place]:
        """A part of them, drawn by the seed: the papers' share."""
        order = np.random.default_rng(self.seed).permutation(len(self.labelled))
        return [self.labelled[i] for i in sorted(order[: max(1, round(TEST_SHARE * len(order)))])]

    @property
    def names(self) -> tuple[str, ...]:
        return MERGED if self.classes == len(MERGED) else CLASSES

    def pixels(self, place: Place) -> NDArray[np.uint8]:
        """(4, size, size)."""
        return self.mosaics[place.mosaic].pixels[:, *self._window(place)]

    def truth(self, place: Place) -> NDArray[np.uint8]:
        """Class codes (size, size) from 1, 0 where there is none."""
        labels = self.mosaics[place.mosaic].labels
        if labels is None:
            return np.zeros((self.size, self.size), np.uint8)
        codes = merged(np.asarray(labels[self._window(place)]), self.classes)
        return np.where(codes == UNLABELLED, 0, codes + 1).astype(np.uint8)

    def _window(self, place: Place) -> tuple[slice, slice]:
        return slice(place.row, place.row + self.size), slice(place.col, place.col + self.size)


def prepared(folder: Path, output: Path, say: Callable[[str], None] = lambda text: None) -> list[Mosaic]:
    """Every tile, made where it is missing and then read from ``output`` when it is used.

    Raises: InputError if the folder has no tiles, or one that is not four bands of 8 bit.
    """
    found = sorted({match[1]: path for path in folder.rglob("*") if (match := IMAGE.match(path.name))}.items())
    if not found:
        raise InputError(MISSING.format(folder=folder))
    for number, (name, path) in enumerate(found, 1):
        target, label = output / f"{name}.npy", path_of_label(folder, name)
        if not target.exists():
            say(f"preparing {name}, {number} of {len(found)}")
            _save(target, halved(_read(path, 4, "red, green, blue, near infrared")))
        if label and not _labels(target).exists():
            _save(_labels(target), class_codes(_read(label, 3, "red, green, blue")[:, ::2, ::2]))
    return [_opened(output / f"{name}.npy") for name, _ in found]


def path_of_label(folder: Path, name: str) -> Path | None:
    """The ground truth of a tile, if it has any."""
    return next((path for path in sorted(folder.rglob(f"{name}_label.tif*"))), None)


def halved(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(bands, H, W) at half the size, bilinear: exactly between pixels that is the mean of 2 x 2."""
    bands, height, width = (pixels.shape[0], pixels.shape[1] // 2, pixels.shape[2] // 2)
    blocks = pixels[:, : 2 * height, : 2 * width].reshape(bands, height, 2, width, 2)
    return ((blocks.sum(axis=(2, 4), dtype=np.uint16) + 2) // 4).astype(np.uint8)


def class_codes(colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Classes (H, W) of the benchmark's colours (3, H, W)."""
    bright = colours >= 128
    codes = np.full(colours.shape[1:], UNLABELLED, np.uint8)
    for code, colour in enumerate(COLOURS):
        codes[(bright == np.array(colour, bool)[:, None, None]).all(axis=0)] = code
    return codes


def merged(codes: NDArray[np.uint8], classes: int) -> NDArray[np.uint8]:
    """Classes of Potsdam-3 for those of Potsdam; the same where all six are wanted."""
    table = np.full(256, UNLABELLED, np.uint8)
    table[: len(MERGE)] = MERGE if classes == len(MERGED) else range(len(CLASSES))
    return table[codes]


def images(mosaics: Sequence[Mosaic], size: int) -> Iterator[Place]:
    """The images that the mosaics are cut into, without a rest at the edges."""
    for number, mosaic in enumerate(mosaics):
        _, height, width = mosaic.pixels.shape
        for row in range(0, height - size + 1, size):
            yield from (Place(number, row, col) for col in range(0, width - size + 1, size))


def _read(path: Path, bands: int, names: str) -> NDArray[np.uint8]:
    with open_raster(path) as raster, gdal_errors(f"read {path}: it is truncated or damaged"):
        if raster.count < bands or set(raster.dtypes) != {"uint8"}:
            found = f"{raster.count} bands of {raster.dtypes[0]}"
            raise InputError(f"{path} has {found}, where {names} of uint8 are wanted; take the benchmark's own file")
        pixels: NDArray[np.uint8] = raster.read(list(range(1, bands + 1)))
    return pixels


def _labels(target: Path) -> Path:
    return target.with_name(f"{target.stem}_label.npy")


def _save(target: Path, array: NDArray[np.uint8]) -> None:
    with replacing(target) as part:
        np.save(part, array)


def _opened(target: Path) -> Mosaic:
    """Arrays that stay on disk until they are read."""
    labels = _labels(target)
    truth = np.load(labels, mmap_mode="r") if labels.exists() else None
    return Mosaic(target.stem, np.load(target, mmap_mode="r"), truth)
