"""How the clusters lie to each other by what their patches look like, in two dimensions."""

from collections.abc import Sequence
from itertools import groupby
from typing import Literal, get_args

import numpy as np
from matplotlib.figure import Figure

from rsseg.errors import RssegError
from rsseg.publish.report.html import Html, Section, join, name, number, percent, tag
from rsseg.publish.report.images import Album, figure_of
from rsseg.publish.report.scenes import MapView, matched
from rsseg.publish.run_folder import SceneFolder
from rsseg.scene.grid import Grid, Window
from rsseg.scene.source import Scene

Embedding = Literal["pca", "tsne", "none"]
"""How features become two numbers: principal components, t-SNE, or not at all."""

EMBEDDINGS: tuple[Embedding, ...] = get_args(Embedding)

ACROSS = 40
"""Patches are taken at as many places along each axis of the scene."""

PATCH = 8
"""Side of the patches, in pixels; half of their pixels need to be valid."""

_LEAST = 10


def embedding_section(
    scenes: Sequence[tuple[SceneFolder, Sequence[MapView]]], how: Embedding, album: Album
) -> Section | None:
    """A part for each scene whose pixels are there; None without one, or where it is not wanted."""
    parts = []
    for folder, maps in scenes:
        if how != "none" and folder.scene is not None and maps:
            part = _part(folder, folder.scene, maps, how, album)
            parts += [part] if part else []
    if not parts:
        return None
    about = (
        f"Each point is a patch of {PATCH} x {PATCH} pixels, taken at even steps over the scene. Its features are the "
        "mean and the standard deviation of each band in it, standardised over the patches: what patches look like, "
        "not what a network makes of them. Colour and number are those of the cluster that most of the patch has; a "
        "number stands at the median of its cluster."
    )
    return Section("Embedding", tag("p", about), tuple(parts))


def _part(folder: SceneFolder, scene: Scene, maps: Sequence[MapView], how: Embedding, album: Album) -> Section | None:
    try:
        places, features = patch_features(scene)
        if len(features) < _LEAST or not features.shape[1]:
            return None
        points, told = embedded(features, how)
        figures = [_figure(folder, item, _clusters(item, scene, places), points, told, how, album) for item in maps]
    except RssegError as problem:
        return Section(folder.name, tag("p", f"The patches cannot be shown: {problem}."))
    return Section(folder.name, tag("div", *figures, class_="side"))


def patch_places(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The first rows and the first columns of patches at even steps over a raster of (height, width)."""
    rows, cols = (
        np.unique(np.linspace(0, size - min(PATCH, size), min(ACROSS, -(-size // PATCH))).astype(int)) for size in shape
    )
    return rows, cols


def patch_features(scene: Scene) -> tuple[list[tuple[int, int]], np.ndarray]:
    """Patches with enough valid pixels, (row, column), and their standardised features (patches, features) float64.

    The scene is read by strips as high as a patch.
    """
    kept, lines = [], []
    tops, lefts = patch_places(scene.grid.shape)
    with scene.open() as reader:
        for top in tops:
            strip, known = reader.read(_strip(top, scene.grid))
            for left in lefts:
                valid = known[:, left : left + PATCH]
                if 2 * np.count_nonzero(valid) >= valid.size:
                    values = strip[:, :, left : left + PATCH][:, valid].astype(np.float64)
                    kept.append((int(top), int(left)))
                    lines.append(np.concatenate([values.mean(axis=1), values.std(axis=1)]))
    features = np.array(lines).reshape(len(kept), -1)
    if not len(features):
        return kept, features
    spread = features.std(axis=0)
    features = features[:, spread > 0]
    return kept, (features - features.mean(axis=0)) / spread[spread > 0]


def _strip(top: int, grid: Grid) -> Window:
    """The full-width strip of a row of patches."""
    return Window(int(top), 0, min(PATCH, grid.height - int(top)), grid.width)


def embedded(features: np.ndarray, how: Embedding) -> tuple[np.ndarray, str]:
    """Two numbers a patch, (patches, 2) float64, and what they are in words."""
    if how == "tsne":
        from sklearn.manifold import TSNE

        perplexity = min(30.0, (len(features) - 1) / 4)
        points = TSNE(random_state=0, init="pca", perplexity=perplexity).fit_transform(features)
        return np.asarray(
            points, np.float64
        ), f"t-SNE (perplexity {perplexity:g}); distances between groups mean little"
    _, sizes, axes = np.linalg.svd(features, full_matrices=False)
    axes = axes[:2]
    # the sign of an axis is nobody's choice: its largest part is positive
    axes = axes * np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]
    points = np.zeros((len(features), 2))
    points[:, : len(axes)] = features @ axes.T
    shares = sizes[:2] ** 2 / (sizes**2).sum()
    return points, f"principal components with {percent(float(shares.sum()))} of the variance"


def _clusters(item: MapView, scene: Scene, places: Sequence[tuple[int, int]]) -> np.ndarray:
    """The most frequent cluster of each patch, the smaller of equals: (patches,); 0 without a labelled pixel."""
    found = []
    with matched(item.files.labels, scene) as source:
        for top, lefts in groupby(places, key=lambda place: place[0]):
            labels = source.read(_strip(top, source.grid))
            for _, left in lefts:
                counts = np.bincount(labels[:, left : left + PATCH].ravel(), minlength=256)
                counts[0] = 0
                found.append(int(counts.argmax()))
    return np.array(found, np.int64)


def _figure(
    folder: SceneFolder,
    item: MapView,
    clusters: np.ndarray,
    points: np.ndarray,
    told: str,
    how: Embedding,
    album: Album,
) -> Html:
    alt = f"Patches of {folder.name} as points, coloured by the clusters of {item.model}: {told}."
    chart = _chart(item, clusters, points, how)
    image = album.add_chart(f"{folder.name} {how} {item.model}", chart, alt)
    return figure_of(image, join([name(item.model), f": {number(len(points))} patches, {told}"]))


def _chart(item: MapView, clusters: np.ndarray, points: np.ndarray, how: Embedding) -> Figure:
    figure = Figure(figsize=(4.6, 4.2))
    axes = figure.add_axes((0.11, 0.11, 0.87, 0.87))
    for value in item.values:
        mine = points[clusters == value]
        if len(mine):
            axes.scatter(mine[:, 0], mine[:, 1], s=9, color=item.colours[value], edgecolor="#30303080", linewidth=0.25)
    for value in item.values:
        mine = points[clusters == value]
        if len(mine):
            across, up = np.median(mine, axis=0)
            box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": item.colours[value], "alpha": 0.85}
            axes.text(across, up, str(value), fontsize=7.5, ha="center", va="center", bbox=box)
    word = "component" if how == "pca" else "t-SNE"
    axes.set_xlabel(f"{word} 1", fontsize=8)
    axes.set_ylabel(f"{word} 2", fontsize=8)
    axes.tick_params(labelsize=7, length=2)
    axes.spines[["top", "right"]].set_visible(False)
    return figure
