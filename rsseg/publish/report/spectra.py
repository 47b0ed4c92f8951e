"""What the clusters look like in the bands of their scene, and how large they are."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rsseg.label.spectra import ClusterSpectra
from rsseg.publish.quicklook import short
from rsseg.publish.report.html import Html, Section, join, name, number, percent, table, tag
from rsseg.publish.report.images import Album, figure_of
from rsseg.publish.report.scenes import MapView
from rsseg.publish.run_folder import SceneFolder

_PANELS = 24
_NAME_LETTERS = 20


def spectra_section(scenes: Sequence[tuple[SceneFolder, Sequence[MapView]]], album: Album) -> Section | None:
    """Spectra and sizes, a part for each scene; None where no scene's pixels are to be found."""
    parts = [_part(folder, maps, album) for folder, maps in scenes if any(item.spectra for item in maps)]
    if not parts:
        return None
    about = tag(
        "p",
        "Each panel is a cluster: the line is the mean of its pixels in each band, the band around it one standard "
        "deviation to each side, grey lines are the other clusters of the map.",
    )
    return Section("Spectra and sizes", about, tuple(parts))


def words(folder: SceneFolder) -> str:
    """What the scene's values are."""
    return folder.units if folder.units in ("reflectance", "radiance") else "stored values"


def _part(folder: SceneFolder, maps: Sequence[MapView], album: Album) -> Section:
    parts = [_of_map(folder, item, item.spectra, album) for item in maps if item.spectra]
    return Section(folder.name, parts=tuple(parts))


def _of_map(folder: SceneFolder, item: MapView, spectra: ClusterSpectra, album: Album) -> Section:
    title = f"{folder.name} spectra {item.model}"
    alt = f"Mean spectra of the clusters of {item.model} on {folder.name}; the table has the numbers."
    seen = [value for value in item.values if spectra.counts[value]]
    chart = Html("")
    if seen:
        image = album.add_chart(title, _chart(item, spectra, seen, words(folder)), alt)
        listed = sorted(seen, key=lambda value: -item.counts[value])[:_PANELS]
        left = f" The {_PANELS} largest of {len(seen)} clusters." if len(listed) < len(seen) else ""
        caption = join(["Spectra of ", name(item.model), f", {words(folder)}.", left])
        chart = figure_of(image, caption)
        album.add_chart(f"{folder.name} sizes {item.model}", _sizes(item), f"Sizes of the clusters of {item.model}")
    return Section(item.model, join([chart, _table(item, spectra, folder)]))


def _chart(item: MapView, spectra: ClusterSpectra, seen: Sequence[int], units: str) -> Figure:
    shown = sorted(sorted(seen, key=lambda value: -item.counts[value])[:_PANELS])
    down = -(-len(shown) // 6)
    across = max(3, -(-len(shown) // down))
    axes = panels(down, across, 1.3, shared=True)
    figure = axes[0].figure
    for place, value in enumerate(shown):
        _panel(axes[place], item, spectra, value, seen)
    for empty in axes[len(shown) :]:
        empty.set_axis_off()
    _label_bands(axes, len(shown), across, spectra.bands)
    figure.supylabel(units, fontsize=8, x=0.004, ha="left")
    return figure


def panels(down: int, across: int, height: float, *, letters: float = 0.5, shared: bool = False) -> np.ndarray:
    """The axes of a chart of the page's width, row by row; each row is ``height`` inches, besides its ``letters``."""
    tall = down * (height + letters) + 0.15
    figure = Figure(figsize=(9.2, tall))
    edges = {"left": 0.075, "right": 0.99, "top": 1 - 0.3 / tall, "bottom": 0.38 / tall}
    space = {"wspace": 0.09 if shared else 0.28, "hspace": letters / height}
    grid = figure.add_gridspec(down, across, **edges, **space)
    return np.ravel(grid.subplots(sharex=shared, sharey=shared, squeeze=False))


def _panel(axes: Axes, item: MapView, spectra: ClusterSpectra, value: int, seen: Sequence[int]) -> None:
    places = np.arange(len(spectra.bands))
    for other in seen:
        if other != value:
            axes.plot(places, spectra.means[other], color="#c8c8c8", linewidth=0.6, zorder=1)
    mean, spread = spectra.means[value], np.sqrt(spectra.variances[value])
    colour = item.colours[value]
    axes.fill_between(places, mean - spread, mean + spread, color=colour, alpha=0.3, linewidth=0, zorder=2)
    # a dark core: pale colours alone would not be seen on white
    axes.plot(places, mean, color="#303030", linewidth=3, zorder=3, solid_capstyle="round")
    axes.plot(places, mean, color=colour, linewidth=2, zorder=4, marker="o", markersize=3.5, markeredgecolor="#303030")
    axes.set_title(
        f"{value}  {short(item.titles[value], _NAME_LETTERS)}", fontsize=7, parse_math=False, loc="left", pad=2
    )
    axes.margins(x=0.12)
    style(axes)


def style(axes: Axes) -> None:
    """Small letters, no frame above and to the right, faint lines."""
    axes.tick_params(labelsize=7, length=2)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e4e4e4", linewidth=0.5)
    axes.set_axisbelow(True)


def _label_bands(axes: np.ndarray, shown: int, across: int, bands: Sequence[str]) -> None:
    """The bands' names under the lowest panel of each column."""
    for place, one in enumerate(axes[:shown]):
        one.set_xticks(range(len(bands)), [short(band, 10) for band in bands], rotation=90 if len(bands) > 4 else 0)
        for label in one.get_xticklabels():
            label.set_parse_math(False)
        one.tick_params(axis="x", labelbottom=place + across >= shown)


def _sizes(item: MapView) -> Figure:
    """Shares as bars, in the order of the values."""
    values = item.values
    figure = Figure(figsize=(7, 0.6 + 0.24 * len(values)), layout="constrained")
    axes = figure.add_subplot()
    shares = [100 * item.share(value) for value in values]
    bars = axes.barh(range(len(values)), shares, color=[item.colours[value] for value in values], edgecolor="#404040")
    axes.bar_label(bars, [f"{share:.1f} %" for share in shares], fontsize=7, padding=2)
    axes.set_yticks(range(len(values)), [f"{value}  {short(item.titles[value], 36)}" for value in values], fontsize=7)
    for label in axes.get_yticklabels():
        label.set_parse_math(False)
    axes.invert_yaxis()
    axes.set_xlabel("share of the labelled pixels, %", fontsize=8)
    axes.margins(x=0.12)
    style(axes)
    return figure


def _table(item: MapView, spectra: ClusterSpectra, folder: SceneFolder) -> Html:
    columns = ["No.", "Class", "Pixels", "Share", *(join([name(band), " mean \u00b1 dev."]) for band in spectra.bands)]
    rows = []
    for value in item.values:
        known = spectra.counts[value] > 0
        deviations = np.sqrt(spectra.variances[value])
        cells = [
            _pair(float(mean), float(spread)) if known else tag("td", "\u2013", class_="n")
            for mean, spread in zip(spectra.means[value], deviations, strict=True)
        ]
        size = [int(item.counts[value]), tag("td", percent(item.share(value)), class_="n")]
        rows.append([value, name(item.titles[value]), *size, *cells])
    caption = join(["Spectra of ", name(item.model), " on ", name(folder.name), f", {words(folder)}"])
    return table(caption, columns, rows)


def _pair(mean: float, spread: float) -> Html:
    digits = 4 if max(abs(mean), spread) < 10 else 1
    return tag("td", f"{number(mean, digits)} \u00b1 {number(spread, digits)}", class_="n")
