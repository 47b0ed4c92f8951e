"""Label maps made smooth along the scene's own edges: by a vote of alike neighbours, or by superpixels.

Both are streamed by strips and cut into tiles. The vote of neighbours reads a margin around each tile and sums whole
numbers, so that no tile leaves a trace. Superpixels are made tile by tile from the scene's corner on.
"""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from rsseg.label.maps import LabelMap
from rsseg.learn.channels.base import Pixels
from rsseg.learn.channels.pixels import grown, relative
from rsseg.learn.channels.smooth import Bilateral
from rsseg.learn.inputs import SceneInput
from rsseg.prefetch import prefetch
from rsseg.scene.grid import Window
from rsseg.scene.raster import BLOCK, label_windows
from rsseg.scene.superpixels import superpixels

STEPS = 1 << 16
"""Steps of a vote's weight between 0 and 1: sums of whole numbers have no order, and ties are ties."""

TILE = 256
"""Side of the tiles in which neighbours vote: their weights, a plane a pair of neighbours, stay small."""

Labels = NDArray[np.uint8]


def edge_vote(labels: Labels, values: NDArray[np.float32], valid: NDArray[np.bool_], likeness: Bilateral) -> Labels:
    """Each pixel takes the label with the largest sum of weights among its neighbours; ties go to the smaller label.

    Args:
        labels: (h, w), 0 for pixels without a label, which neither vote nor get one.
        values: (bands, h, w) in the units that ``likeness`` was fitted in.
        valid: (h, w); labelled pixels without valid values keep their label and do not vote.
        likeness: gives the weights of neighbours, the radius, and how often is voted.

    Returns: (h - 2 reach, w - 2 reach), with the reach of ``likeness``.
    """
    voters = valid & (labels > 0)
    present = np.unique(labels[voters])
    places = np.searchsorted(present, labels).astype(np.intp) + 1
    places[~voters] = 0
    if len(present) > 1:
        flat, pairs = places.ravel(), _weights(values, likeness)
        for _ in range(likeness.passes):
            flat = _pass(flat, pairs, len(present) + 1)
        places = flat.reshape(labels.shape)
    inside = slice(likeness.reach, -likeness.reach)
    chosen = np.concatenate([[0], present]).astype(np.uint8)[places[inside, inside]]
    return np.where(voters[inside, inside], chosen, labels[inside, inside])


def _weights(values: NDArray[np.float32], likeness: Bilateral) -> list[tuple[int, NDArray[np.int32]]]:
    """The weights of all pairs of neighbours, in whole ``STEPS``, as ``Bilateral.pairs`` has them."""
    scaled = likeness.scaled(values)
    pairs = likeness.pairs(scaled.reshape(len(scaled), -1), scaled.shape[2])
    return [(step, np.rint(weight * np.float32(STEPS)).astype(np.int32)) for step, weight in pairs]


def _pass(places: NDArray[np.intp], pairs: list[tuple[int, NDArray[np.int32]]], count: int) -> NDArray[np.intp]:
    """One vote among places (n,) below ``count``; place 0 takes the votes of pixels that have none, and stays."""
    total = np.zeros(len(places) * count, np.int32)
    own = np.arange(0, len(total), count)
    total[own + places] = STEPS
    at = np.empty_like(own)
    for step, weight in pairs:
        here, first = at[: len(weight)], own[: len(weight)]
        for voter, voted in ((places[step:], first), (places[: len(weight)], own[step:])):
            np.add(voter, voted, out=here)
            total[here] += weight
    winner: NDArray[np.intp] = total.reshape(-1, count)[:, 1:].argmax(axis=1) + 1
    winner[places == 0] = 0
    return winner


def superpixel_vote(labels: Labels, values: NDArray, valid: NDArray[np.bool_], size: int) -> Labels:
    """Each superpixel takes its most frequent label, the smaller one of several; (h, w), 0 stays 0.

    ``values``: (bands, h, w) in any unit, of which superpixels of about ``size`` pixels a side are made where they are
    ``valid``; labelled pixels without valid values keep their label.
    """
    voters = valid & (labels > 0)
    if not voters.any():
        return labels
    regions = superpixels(values, voters, size=size)
    count = int(regions.max()) + 1
    table = np.bincount(regions[voters] * np.int64(256) + labels[voters], minlength=256 * count)
    winner = table.reshape(count, 256).argmax(axis=1).astype(np.uint8)
    return np.where(voters, winner[regions], labels)


def refined_by_edges(source: LabelMap, pixels: Pixels, likeness: Bilateral) -> Iterator[tuple[Window, Labels]]:
    """A map with ``edge_vote`` applied, as strips of its full width; memory is a few strips and one tile's votes.

    ``pixels``: the scene on the map's grid.
    """
    margin = likeness.reach

    def read(window: Window) -> tuple[Labels, NDArray[np.float32], NDArray[np.bool_]]:
        return read_around(source, window, margin), *pixels.read(window, margin)

    windows = tuple(label_windows(source.grid, TILE))
    for window, arrays in zip(windows, prefetch(map(read, windows)), strict=True):
        yield window, by_tiles(partial(edge_vote, likeness=likeness), arrays, TILE, margin)


def refined_by_superpixels(source: LabelMap, scene: SceneInput, size: int) -> Iterator[tuple[Window, Labels]]:
    """A map with ``superpixel_vote`` applied, as strips of its full width; superpixels end at tiles' borders.

    ``scene``: on the map's grid; ``size``: the mean side of a superpixel in pixels.
    """

    def read(window: Window) -> tuple[Labels, NDArray, NDArray[np.bool_]]:
        return source.read(window), *scene.source.read(window)

    windows = tuple(label_windows(source.grid))
    for window, arrays in zip(windows, prefetch(map(read, windows)), strict=True):
        yield window, by_tiles(partial(superpixel_vote, size=size), arrays, BLOCK)


def by_tiles(refine: Callable[..., Labels], arrays: tuple[NDArray, ...], side: int, margin: int = 0) -> Labels:
    """``refine`` of the tiles, ``side`` pixels wide, of a strip's arrays, which have a ``margin`` on all sides."""
    width = arrays[0].shape[-1] - 2 * margin
    tiles = [slice(left, min(left + side, width) + 2 * margin) for left in range(0, width, side)]
    return np.concatenate([refine(*(array[..., cols] for array in arrays)) for cols in tiles], axis=1)


def read_around(source: LabelMap, window: Window, margin: int) -> Labels:
    """Labels of a window and ``margin`` pixels around it, 0 beyond the map's borders."""
    asked, (height, width) = grown(window, margin), source.grid.shape
    top, left = max(0, asked.row), max(0, asked.col)
    inside = Window(top, left, min(height, asked.end[0]) - top, min(width, asked.end[1]) - left)
    labels = np.zeros((asked.height, asked.width), np.uint8)
    labels[relative(inside, asked)] = source.read(inside)
    return labels
