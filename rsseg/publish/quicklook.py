"""Pictures of scenes, label maps and matrices for eyes, not for a GIS.

matplotlib is used through its objects on the Agg canvas: no window, no state shared with a notebook.
"""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import rasterio
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from rsseg.files import check_output, replacing
from rsseg.label.legend import in_a_line
from rsseg.label.maps import LabelMap
from rsseg.publish.palette import colour_table, default_colour
from rsseg.scene.grid import Grid
from rsseg.scene.raster import CACHE_BYTES, label_windows
from rsseg.scene.source import Scene, SceneReader

_DPI = 100
_LEGEND_ENTRIES = 30
_NAME_LETTERS = 56

COLOURS = (("nir", "red", "green"), ("red", "green", "blue"))
"""What red, green and blue show, the first that a scene has: false colour (vegetation is red), or natural colour."""


def picture_scene(scene: Scene, target: Path, *, size: int = 1200, overwrite: bool = False) -> None:
    """False-colour picture of a scene, white where it has no data.

    Near infrared, red and green, or red, green and blue, by the bands' names, else the first three (or one, grey); each
    stretched from its 2nd to its 98th percentile. The scene is read decimated to ``size`` pixels on its longer side.
    """
    check_output(target, overwrite)
    shown = in_colours(scene)
    with SceneReader(shown) as reader:
        values, valid = reader.read(shown.grid.window, decimated(shown.grid, size))
    colours = np.stack([_stretched(band, valid) for band in values])
    picture = np.ones((*valid.shape, 3), np.float32)
    picture[valid] = np.broadcast_to(colours, (3, *valid.shape)).transpose(1, 2, 0)[valid]
    figure, axes = _canvas(scene.grid, size)
    axes.imshow(picture, aspect=aspect(scene.grid, valid.shape), interpolation="nearest")
    _title(axes, f"{short(scene.name, 60)} ({', '.join(shown.band_names)})")
    _save(figure, target, overwrite)


def picture_labels(labels: Path, target: Path, *, size: int = 1200, overwrite: bool = False) -> None:
    """A label map with its legend: colours and names from the file, and each class's share of the labelled pixels.

    The picture is read from the overviews; the shares are counted over every pixel.
    """
    check_output(target, overwrite)
    with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES >> 20), LabelMap(labels) as source:
        counts = np.zeros(256, np.int64)
        for window in label_windows(source.grid):
            counts += np.bincount(source.read(window).ravel(), minlength=256)
        shown = source.read(source.grid.window, decimated(source.grid, size))
    colours = {value: source.colours.get(value, default_colour(value)) for value in range(1, 256)}
    lookup = colour_table(colours, nothing="#ffffff")
    figure, axes = _canvas(source.grid, size)
    axes.imshow(lookup[shown], aspect=aspect(source.grid, shown.shape), interpolation="nearest")
    _title(axes, short(labels.stem, 60))
    _legend(axes, source, counts, colours)
    _save(figure, target, overwrite)


def picture_matrix(
    values: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    target: Path,
    *,
    title: str,
    row_title: str = "",
    column_title: str = "",
    framed: int = 0,
    overwrite: bool = False,
) -> None:
    """Heat map of a matrix (rows, columns) with its numbers.

    Args:
        values: 0 to 1; NaN stays white.
        rows, columns: their names.
        framed: how many cells of the diagonal are framed (the matched pairs).
    """
    height, width = values.shape
    figure = Figure(figsize=(3.2 + 0.55 * max(width, 4), 2.6 + 0.45 * max(height, 3)), layout="constrained", dpi=_DPI)
    axes = figure.add_subplot()
    image = axes.imshow(values, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(width), [short(name) for name in columns], rotation=90, fontsize=8)
    axes.set_yticks(range(height), [short(name) for name in rows], fontsize=8)
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        label.set_parse_math(False)
    axes.set_xlabel(short(column_title, 60), parse_math=False)
    axes.set_ylabel(short(row_title, 60), parse_math=False)
    _title(axes, title)
    _numbers(axes, values)
    for place in range(framed):
        axes.add_patch(
            Rectangle((place - 0.47, place - 0.47), 0.94, 0.94, fill=False, edgecolor="#d55e00", linewidth=1.5)
        )
    figure.colorbar(image, ax=axes, shrink=0.8)
    _save(figure, target, overwrite)


def _numbers(axes: Axes, values: np.ndarray) -> None:
    if max(values.shape) > 40:
        return
    for (row, col), value in np.ndenumerate(values):
        if np.isfinite(value):
            # what would read 0.00 steps back behind the numbers that say something
            colour = "white" if value > 0.6 else "black" if value >= 0.005 else "#b0b0b0"
            axes.text(
                col, row, f"{value:.2f}" if value >= 0.005 else "0", ha="center", va="center", fontsize=7, color=colour
            )


def _legend(axes: Axes, source: LabelMap, counts: np.ndarray, colours: dict[int, str]) -> None:
    present = [value for value in range(1, 256) if counts[value]]
    listed = sorted(sorted(present, key=lambda value: -counts[value])[:_LEGEND_ENTRIES])
    total = max(1, int(counts[1:].sum()))
    entries = [
        Patch(facecolor=colours[value], edgecolor="#808080", linewidth=0.5, label=_entry(source, value, counts, total))
        for value in listed
    ]
    if len(present) > len(listed):
        entries.append(Patch(alpha=0, label=f"and {len(present) - len(listed)} smaller ones"))
    if entries:
        legend = axes.legend(
            handles=entries, loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0, frameon=False
        )
        for text in legend.get_texts():
            text.set_parse_math(False)


def _entry(source: LabelMap, value: int, counts: np.ndarray, total: int) -> str:
    share = 100 * int(counts[value]) / total
    return f"{short(source.title(value))}  " + (f"{share:.1f} %" if share >= 0.05 else "< 0.1 %")


def in_colours(scene: Scene) -> Scene:
    """A scene with the bands that red, green and blue show: by their names, else the first three, or one for grey."""
    named = {name.casefold(): name for name in scene.band_names}
    names = next(([named[name] for name in order] for order in COLOURS if set(order) <= named.keys()), [])
    return scene.select(names or scene.band_names[: 3 if len(scene.bands) >= 3 else 1])


def share_colours(highest: int) -> np.ndarray:
    """Colours (256, 3) uint8 of shares stored as 0 to ``highest``: cividis, which is even for every kind of eyes."""
    shares = np.minimum(np.arange(256) / max(1, highest), 1)
    return np.rint(255 * matplotlib.colormaps["cividis"](shares)[:, :3]).astype(np.uint8)


def decimated(grid: Grid, size: int) -> tuple[int, int]:
    """Rows and columns of a grid brought to at most ``size`` on its longer side."""
    step = max(1.0, max(grid.shape) / size)
    return max(1, round(grid.height / step)), max(1, round(grid.width / step))


def _canvas(grid: Grid, size: int) -> tuple[Figure, Axes]:
    """A figure with frameless axes as large as the picture; saving adds what title and legend need."""
    height, width = grid.shape
    tall, wide = grid.pixel_size
    ground = np.array([height * tall, width * wide])
    inches = size / _DPI * ground / ground.max()
    figure = Figure(figsize=(max(1.0, inches[1]), max(1.0, inches[0])), dpi=_DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    return figure, axes


def aspect(grid: Grid, shape: tuple[int, ...]) -> float:
    """Height over width of a pixel of a picture (h, w) of a grid."""
    tall, wide = grid.pixel_size
    return (tall * grid.height / shape[0]) / (wide * grid.width / shape[1])


def _stretched(band: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """A band (h, w) as 0 to 1 between its 2nd and 98th percentile over the valid pixels."""
    if not valid.any():
        return np.zeros(band.shape, np.float32)
    low, high = np.percentile(band[valid].astype(np.float32), (2, 98))
    return np.clip((band.astype(np.float32) - low) / max(float(high - low), 1e-12), 0, 1)


def _title(axes: Axes, text: str) -> None:
    axes.set_title(text, fontsize=11, parse_math=False, pad=6)


def short(text: str, letters: int = _NAME_LETTERS) -> str:
    """One line of at most ``letters`` that charts can draw."""
    return in_a_line(text, letters, "…")


def _save(figure: Figure, target: Path, overwrite: bool) -> None:
    FigureCanvasAgg(figure)
    with replacing(target, overwrite) as part:
        # no version of matplotlib in the file: the same picture is the same bytes
        figure.savefig(part, format="png", bbox_inches="tight", pad_inches=0.1, metadata={"Software": None})
