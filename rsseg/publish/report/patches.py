"""Where a model is surest of each cluster, and where least: small pieces of the scene."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import rasterio

from rsseg.errors import RssegError
from rsseg.label.maps import strips
from rsseg.label.shares import NO_SHARE, SHARE_STEPS
from rsseg.progress import SILENT, Reporter
from rsseg.publish.report.html import Html, Section, join, name, number, table, tag
from rsseg.publish.report.images import Album, lightest
from rsseg.publish.report.scenes import MapView, SceneView, matched
from rsseg.publish.run_folder import SceneFolder
from rsseg.scene.grid import Grid, Window
from rsseg.scene.raster import gdal_errors, open_raster, to_rasterio

BLOCK, WINDOW, SHOWN = 8, 32, 5
"""Sides of the blocks that are compared and of the pieces that are shown, in pixels; how many are shown of each."""

_KEPT = 200
_ZOOM = 2
_OUTLINE = (255, 255, 0)


@dataclass(frozen=True)
class Blocks:
    """Blocks of a map by falling rank: their first ``rows`` and ``cols``, ``clusters``, mean ``confidence`` (0 to 1).

    ``shares``: the part of each block that is its cluster.
    """

    rows: np.ndarray
    cols: np.ndarray
    clusters: np.ndarray
    shares: np.ndarray
    confidence: np.ndarray

    def take(self, places: np.ndarray) -> "Blocks":
        """Some of the blocks."""
        return Blocks(*(values[places] for values in vars(self).values()))

    def joined(self, other: "Blocks") -> "Blocks":
        """These blocks and others."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Blocks(*(np.concatenate(pair) for pair in pairs))


class _Confidence:
    def __init__(self, dataset: rasterio.DatasetReader) -> None:
        self._dataset = dataset

    def read(self, window: Window) -> np.ndarray:
        with gdal_errors(f"read {self._dataset.name}: it is truncated or damaged"):
            values: np.ndarray = self._dataset.read(1, window=to_rasterio(window))
        return values


def patches_section(
    scenes: Sequence[tuple[SceneFolder, SceneView | None, Sequence[MapView]]],
    album: Album,
    reporter: Reporter = SILENT,
) -> Section | None:
    """The surest and the least sure pieces of each cluster, a part for each scene; None without confidences."""
    parts = []
    for folder, view, maps in scenes:
        if view is not None and any(item.confidence is not None for item in maps):
            found = [_of_map(folder, view, item, album, reporter) for item in maps if item.confidence is not None]
            parts.append(Section(folder.name, parts=tuple(part for part in found if part is not None)))
    if not any(part.parts for part in parts):
        return None
    about = (
        f"Pieces of {WINDOW} x {WINDOW} pixels around the blocks of {BLOCK} x {BLOCK} pixels on which the vote for the "
        "cluster was clearest, and on which it was least clear; yellow outlines the cluster. They are spread over the "
        "scene and share no pixel. Small clusters have fewer."
    )
    return Section("Surest and least sure", tag("p", about), tuple(parts))


def _of_map(folder: SceneFolder, view: SceneView, item: MapView, album: Album, reporter: Reporter) -> Section | None:
    try:
        sure, unsure = extremes(item, view, reporter)
        rows = []
        with matched(item.files.labels, view.shown) as source, view.shown.open() as reader:
            for value in item.values:
                cells = []
                for blocks, word in ((sure, "surest"), (unsure, "least sure")):
                    mine = spread(blocks, value, view.shown.grid)
                    windows = [
                        _around(row, col, view.shown.grid) for row, col in zip(mine.rows, mine.cols, strict=True)
                    ]
                    chips = [
                        outlined(view.colours(*reader.read(window)), source.read(window) == value) for window in windows
                    ]
                    cells.append(_strip(folder, item, value, chips, mine, word, album))
                rows.append([value, name(item.titles[value]), *cells])
    except RssegError as problem:
        return Section(item.model, tag("p", f"The pieces cannot be shown: {problem}."))
    caption = join(["Pieces of ", name(folder.name), " by ", name(item.model)])
    return Section(item.model, table(caption, ["No.", "Class", "Surest", "Least sure"], rows, class_="pieces"))


def _strip(
    folder: SceneFolder, item: MapView, value: int, chips: Sequence[np.ndarray], blocks: Blocks, word: str, album: Album
) -> Html:
    if not chips:
        return tag("td", "none")
    low, high = number(float(blocks.confidence.min()), 2), number(float(blocks.confidence.max()), 2)
    told = f"confidence {low}" if low == high else f"confidence {low} to {high}"
    alt = f"{len(chips)} {word} pieces of {item.titles[value]}, {told}."
    gap = np.full((chips[0].shape[0], 6, 3), 255, np.uint8)
    parts = [part for chip in chips for part in (chip, gap)][:-1]
    picture = np.hstack(parts)
    light, kind, png = lightest(picture)
    title = f"{folder.name} pieces {item.model} {value} {word}"
    image = album.add(title, light, alt, kind=kind, file=png, class_="chips")
    return tag("td", image, tag("span", told, class_="note"))


def extremes(item: MapView, view: SceneView, reporter: Reporter = SILENT) -> tuple[Blocks, Blocks]:
    """Blocks of every cluster with the highest and those with the lowest mean confidence, best first.

    Map and confidence are read once, in strips of 512 rows; some hundred blocks of each cluster are kept.
    Raises: InputError, GridError if the confidence cannot be read or is not of the map.
    """
    assert item.files.confidence is not None
    kept: list[Blocks | None] = [None, None]
    with matched(item.files.labels, view.shown) as source, open_raster(item.files.confidence) as dataset:
        if (dataset.height, dataset.width) != source.grid.shape:
            raise RssegError("the confidence lies on another grid than the map")
        with reporter.task("pieces", source.grid.height) as task:
            for window, (labels, confidence) in strips((source, _Confidence(dataset)), source.grid):
                found = blocks_of(labels, confidence, window.row)
                for place, sign in enumerate((-1, 1)):
                    before = kept[place]
                    kept[place] = _best(found if before is None else before.joined(found), sign)
                task.advance(window.height)
    assert kept[0] is not None and kept[1] is not None
    return kept[0], kept[1]


def blocks_of(labels: np.ndarray, confidence: np.ndarray, top: int) -> Blocks:
    """Whole blocks of a strip whose middle pixel is labelled; each is of that pixel's cluster.

    Args:
        labels, confidence: (h, w) uint8 as stored.
        top: the strip's first row in the map.
    """
    down, across = labels.shape[0] // BLOCK, labels.shape[1] // BLOCK
    cut = (slice(0, down * BLOCK), slice(0, across * BLOCK))
    shape = (down, BLOCK, across, BLOCK)
    cells, votes = labels[cut].reshape(shape), confidence[cut].reshape(shape)
    middle = cells[:, BLOCK // 2, :, BLOCK // 2]
    same = (cells == middle[:, None, :, None]) & (votes != NO_SHARE)
    count = same.sum(axis=(1, 3))
    total = np.where(same, votes, 0).sum(axis=(1, 3), dtype=np.int64)
    rows, cols = np.nonzero((middle > 0) & (count > 0))
    counts = count[rows, cols]
    return Blocks(
        top + rows * BLOCK,
        cols * BLOCK,
        middle[rows, cols],
        counts / BLOCK**2,
        total[rows, cols] / (SHARE_STEPS * counts),
    )


def _best(blocks: Blocks, sign: int) -> Blocks:
    """The first blocks of every cluster: mostly of it, by confidence times ``sign``, equals in scattered order."""
    scatter = (blocks.rows * 2654435761 + blocks.cols * 40503) % 4294967291 * 48271 % 2147483647
    mixed = blocks.shares < 0.5
    order = np.lexsort((scatter, sign * np.round(blocks.confidence, 3), mixed, blocks.clusters))
    clusters = blocks.clusters[order]
    starts = np.searchsorted(clusters, clusters)
    return blocks.take(order[np.arange(len(order)) - starts < _KEPT])


def spread(blocks: Blocks, value: int, grid: Grid) -> Blocks:
    """The first blocks of a cluster whose windows share no pixel."""
    chosen: list[int] = []
    placed: list[Window] = []
    for place in np.flatnonzero(blocks.clusters == value):
        window = _around(int(blocks.rows[place]), int(blocks.cols[place]), grid)
        if all(abs(window.row - w.row) >= WINDOW or abs(window.col - w.col) >= WINDOW for w in placed):
            chosen.append(int(place))
            placed.append(window)
        if len(chosen) == SHOWN:
            break
    return blocks.take(np.array(chosen, np.int64))


def _around(row: int, col: int, grid: Grid) -> Window:
    """The window around a block, pulled back inside the scene."""
    height, width = min(WINDOW, grid.height), min(WINDOW, grid.width)
    reach = (WINDOW - BLOCK) // 2
    top = int(min(max(0, row - reach), grid.height - height))
    left = int(min(max(0, col - reach), grid.width - width))
    return Window(top, left, height, width)


def outlined(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A picture (h, w, 3) twice as large, with the border of a mask (h, w) drawn on it."""
    large = picture.repeat(_ZOOM, 0).repeat(_ZOOM, 1)
    inside = mask.repeat(_ZOOM, 0).repeat(_ZOOM, 1)
    for moved in _neighbours(inside):
        large[inside & ~moved] = _OUTLINE
    return large


def _neighbours(mask: np.ndarray) -> Iterator[np.ndarray]:
    """The mask moved by one pixel to each side; beyond the edge all is as at the edge."""
    padded = np.pad(mask, 1, mode="edge")
    yield from (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
