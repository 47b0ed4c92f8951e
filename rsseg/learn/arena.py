"""Pixels of all scenes in one flat tensor, and patches of them by one gather.

Scenes keep the integer type they came in. Pixels lie with their bands together, so a gathered batch is in
channels-last order without a copy. Pieces of scenes (whole ones, or bands of rows) follow one another; a patch is
found by its piece's base, its row and its column.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rsseg.learn.inputs import SceneInput
from rsseg.learn.normalise import Normalisation, folded
from rsseg.scene.grid import Window

STRIP_PIXELS = 1 << 22
"""Pixels read at a time; what is read is copied once or twice on its way into the arena."""


@dataclass(frozen=True)
class Piece:
    """A window of a scene that lies in the arena."""

    scene: SceneInput
    window: Window


class Arena:
    """Pieces of scenes in memory, on one device, gathered as normalised float32 patches."""

    def __init__(
        self, pieces: Sequence[Piece], normalisation: Normalisation, device: torch.device, masks: bool = False
    ) -> None:
        """Read every piece once, by strips, so that no second copy of it exists.

        Invalid pixels become the band's mean, rounded to the stored type. ``masks``: keep which pixels are valid.
        """
        self.pieces = tuple(pieces)
        self.dtype = common_type([piece.scene for piece in pieces])
        sizes = [piece.window.height * piece.window.width for piece in pieces]
        bands = pieces[0].scene.source.shape[0]
        # filled by numpy: a torch operation here, in a reading thread, would start a second team of OpenMP threads
        # that takes the cores from the network
        flat = np.empty((sum(sizes), bands), np.int16 if self.dtype == np.uint16 else self.dtype)
        valid = np.empty(sum(sizes), bool) if masks else None
        bases = np.concatenate([[0], np.cumsum(sizes)])
        for piece, base in zip(pieces, bases, strict=False):
            for strip in _strips(piece):
                values, mask = read_filled(strip, normalisation, self.dtype)
                first = base + (strip.window.row - piece.window.row) * strip.window.width
                flat[first : first + mask.size] = values.reshape(-1, bands)
                if valid is not None:
                    valid[first : first + mask.size] = mask.reshape(-1)
        self.flat = torch.from_numpy(flat).to(device)
        self.valid = None if valid is None else torch.from_numpy(valid).to(device)
        self.base = torch.as_tensor(bases[:-1], device=device)
        self.height = torch.tensor([piece.window.height for piece in pieces], device=device)
        self.width = torch.tensor([piece.window.width for piece in pieces], device=device)
        lines = [folded(normalisation, piece.scene.scale, piece.scene.offset) for piece in pieces]
        self.gain = torch.tensor(np.array([gain for gain, _ in lines]), dtype=torch.float32, device=device)
        self.bias = torch.tensor(np.array([bias for _, bias in lines]), dtype=torch.float32, device=device)
        self.alike = all(np.array_equal(line, lines[0]) for line in lines)

    def gather(self, piece: Tensor, row: Tensor, col: Tensor, size: int) -> Tensor:
        """Patches (n, bands, size, size), float32, normalised, channels last.

        ``piece``, ``row``, ``col``: (n,) int64, the first pixel of each patch in its piece.
        """
        bands = self.flat.shape[1]
        lines = self._lines(self.flat, piece, row, col, size)
        values = self._widened(lines).view(len(piece), size * size, bands)
        values = torch.addcmul(self._of_piece(self.bias, piece), values, self._of_piece(self.gain, piece))
        return values.view(len(piece), size, size, bands).permute(0, 3, 1, 2)

    def gather_valid(self, piece: Tensor, row: Tensor, col: Tensor, size: int) -> Tensor:
        """Which pixels of patches are valid: (n, size, size) bool; all of them where no masks are kept."""
        if self.valid is None:
            return torch.ones((len(piece), size, size), dtype=torch.bool, device=self.flat.device)
        return self._lines(self.valid[:, None], piece, row, col, size).view(len(piece), size, size)

    def _lines(self, pixels: Tensor, piece: Tensor, row: Tensor, col: Tensor, size: int) -> Tensor:
        """The lines of patches, (n size, size channels), of ``pixels`` (all, channels).

        A line of a patch lies in one run of memory, so lines are looked up, not pixels: the tensor is seen as all of
        its runs of ``size`` pixels, which overlap.
        """
        channels, width = pixels.shape[1], self.width[piece]
        start = self.base[piece] + row * width + col
        index = start[:, None] + torch.arange(size, device=start.device) * width[:, None]
        runs = pixels.as_strided((len(pixels) - size + 1, size * channels), (channels, 1))
        return runs.index_select(0, index.view(-1))

    def _of_piece(self, lines: Tensor, piece: Tensor) -> Tensor:
        """Gain or bias of each patch, (n, 1, bands), or (1, bands) where all pieces share one."""
        return lines[:1] if self.alike else lines[piece][:, None]

    def _widened(self, values: Tensor) -> Tensor:
        """Stored values as float32; uint16 is kept in int16 bits, which every device can index."""
        if self.dtype == np.uint16:
            return values.to(torch.int32).bitwise_and_(0xFFFF).to(torch.float32)
        return values.to(torch.float32)


def _strips(piece: Piece) -> Iterator[Piece]:
    """A piece in full-width strips of about ``STRIP_PIXELS``."""
    window, last = piece.window, piece.window.end[0]
    rows = max(1, STRIP_PIXELS // window.width)
    for row in range(window.row, last, rows):
        yield Piece(piece.scene, Window(row, window.col, min(rows, last - row), window.width))


def read_filled(piece: Piece, normalisation: Normalisation, dtype: np.dtype) -> tuple[NDArray, NDArray[np.bool_]]:
    """Stored values (h, w, bands) of a piece, invalid pixels set to the mean, uint16 as int16 bits; valid pixels."""
    values, valid = piece.scene.source.read(piece.window)
    pixels = np.moveaxis(values, 0, -1).astype(dtype, order="C")  # a copy: the source may own what it gave
    if not valid.all():
        pixels[~valid] = stored_mean(piece.scene, normalisation, dtype)
    return (pixels.view(np.int16) if dtype == np.uint16 else pixels), valid


def stored_mean(scene: SceneInput, normalisation: Normalisation, dtype: np.dtype) -> NDArray:
    """The training mean (bands,) in a scene's stored units."""
    mean = (np.array(normalisation.mean) - np.array(scene.offset)) / np.array(scene.scale)
    if dtype.kind in "ui":
        limits = np.iinfo(dtype)
        mean = np.clip(np.rint(mean), limits.min, limits.max)
    return mean.astype(dtype)


def common_type(scenes: Sequence[SceneInput]) -> np.dtype:
    """The type that holds the values of all scenes; unsigned 32 and 64 bits, which torch cannot index, as float64."""
    common = np.result_type(*(scene.source.dtype for scene in scenes))
    return np.dtype(np.float64) if common.kind == "u" and common.itemsize > 2 else common


def stored_bytes(scenes: Sequence[SceneInput]) -> int:
    """Bytes of a pixel with all its bands in an arena of these scenes."""
    return scenes[0].source.shape[0] * common_type(scenes).itemsize
