"""The maps of each scene: pictures, legends with areas, and the swipe between map and image."""

from collections.abc import Sequence

import numpy as np

from rsseg.label.shares import NO_SHARE, SHARE_STEPS
from rsseg.publish.quicklook import aspect, share_colours
from rsseg.publish.report.html import Html, Section, join, name, number, paragraphs, percent, plain, table, tag
from rsseg.publish.report.images import Album, figure_of, indexed_png, lightest, scaled
from rsseg.publish.report.marks import marks
from rsseg.publish.report.scenes import MapView, SceneView
from rsseg.publish.run_folder import SceneFolder


def maps_section(scenes: Sequence[tuple[SceneFolder, SceneView | None, Sequence[MapView]]], album: Album) -> Section:
    """The maps, a part for each scene."""
    hint = "Choose a layer and move the swipe: left of the line is the layer, right of it the scene."
    about = (
        "Colours and names are those of the map's own legend. Shares are of the labelled pixels. Confidence is the "
        "mean share of the votes that the winning cluster got: it is no accuracy."
    )
    parts = tuple(_part(number, *scene, album) for number, scene in enumerate(scenes, 1))
    return Section("Maps", paragraphs(Html(tag("span", hint, class_="scripted")), about), parts)


def _part(place: int, folder: SceneFolder, view: SceneView | None, maps: Sequence[MapView], album: Album) -> Section:
    layers: list[tuple[str, str]] = []
    still, under = Html(""), None
    if view is not None:
        under = f"image-{place}"
        still = _scene_figure(folder, view, album, under)
    blocks = []
    for item in maps:
        stem = f"{place}-{len(layers) + 1}"
        layers.append((stem, item.model))
        blocks.append(_layer(stem, _map_figure(stem, folder, item, album), legend(item, folder.name)))
        if item.confidence is not None:
            stem = f"{place}-{len(layers) + 1}"
            layers.append((stem, f"{item.model}, confidence"))
            blocks.append(_layer(stem, _confidence_figure(stem, folder, item, item.confidence, album), _scale()))
    viewer = _viewer(place, under, layers, folder.name) if under and layers else Html("")
    note = paragraphs(folder.problem, *(f"{item.model}: {item.problem}" for item in maps if item.problem))
    return Section(
        folder.name, join([note, tag("div", viewer, still, *blocks, class_="scene swiped" if viewer else "scene")])
    )


def _layer(stem: str, figure: Html, beside: Html) -> Html:
    return tag("div", figure, beside, class_="layer", id=f"layer-{stem}")


def _scene_figure(folder: SceneFolder, view: SceneView, album: Album, anchor: str) -> Html:
    shown = " ".join(f"{channel} shows {band}." for channel, band in zip(_CHANNELS, view.bands, strict=False))
    if len(view.bands) == 1:
        shown = f"Grey shows {view.bands[0]}."
    title = f"{folder.name} scene"
    size = scaled(view.picture.shape, aspect(view.shown.grid, view.picture.shape))
    alt = f"The scene {folder.name}. {shown}"
    light, kind, png = lightest(view.picture)
    image = album.add(title, light, alt, kind=kind, shown=size, file=png, id=anchor, class_="pixels")
    stretch = "Each is stretched from its 2nd to its 98th percentile; white is no data."
    return figure_of(image, join([name(folder.name), f": {shown} {stretch}"]), class_="still")


_CHANNELS = ("Red", "Green", "Blue")


def _map_figure(stem: str, folder: SceneFolder, item: MapView, album: Album) -> Html:
    colours = item.palette
    largest = sorted(item.values, key=lambda value: -item.counts[value])[:5]
    told = ", ".join(f"{item.titles[value]} {percent(item.share(value))}" for value in largest)
    alt = f"Map of {folder.name} by {item.model}. Largest: {told}."
    data = indexed_png(item.shown, colours, clear=0)
    size = scaled(item.shown.shape, aspect(item.grid, item.shown.shape))
    image = album.add(f"{folder.name} map {item.model}", data, alt, shown=size, id=f"image-{stem}", class_="pixels")
    framed = tag("div", image, marks(item), class_="frame")
    caption = join(["Map by ", name(item.model), ". Numbers on it are those of the legend."])
    return tag("figure", framed, tag("figcaption", caption), class_="still")


def legend(item: MapView, scene: str) -> Html:
    """The legend of a map: number, colour, name, share with a bar, and hectares (pixels where they have no size)."""
    columns = ["No.", "Class", "Share", "Hectares" if item.areas is not None else "Pixels"]
    largest = max((item.share(value) for value in item.values), default=1.0)
    rows = []
    for value in item.values:
        swatch = tag("span", class_="swatch", style=f"background:{item.colours[value]}", aria_hidden="true")
        length = 4.5 * item.share(value) / max(largest, 1e-9)
        look = f"width:{length:.2f}rem;background:{item.colours[value]}"
        bar = tag("span", class_="bar", style=look, aria_hidden="true")
        share = tag("td", tag("span", percent(item.share(value)), class_="amount"), bar, class_="share")
        cells: list[object] = [
            tag("td", swatch, name(item.titles[value]), data_value=value, data_colour=item.colours[value]),
            share,
            int(item.counts[value]) if item.areas is None else _hectares(float(item.areas[value])),
        ]
        rows.append([value, *cells])
    caption = join(["Legend of ", name(item.model), " on ", name(scene)])
    return table(caption, columns, rows, class_="legend")


def _hectares(area: float) -> Html:
    return tag("td", number(area, 1), class_="n")


def _confidence_figure(stem: str, folder: SceneFolder, item: MapView, values: np.ndarray, album: Album) -> Html:
    size = scaled(values.shape, aspect(item.grid, item.shown.shape))
    known = values[values <= SHARE_STEPS]
    mean = float(known.mean()) / SHARE_STEPS if known.size else float("nan")
    alt = f"Confidence of {item.model} on {folder.name}: dark blue is low, yellow is high. Its mean is {number(mean)}."
    colours = confidence_colours()
    # half as fine: it shows where to look, and does not compress well
    light, kind, _ = lightest(colours[values[::2, ::2]] if max(values.shape) > 500 else colours[values])
    file = indexed_png(values, colours, clear=NO_SHARE)
    title = f"{folder.name} confidence {item.model}"
    image = album.add(title, light, alt, kind=kind, file=file, shown=size, id=f"image-{stem}", class_="pixels")
    caption = join(["Confidence of ", name(item.model), f", mean {number(mean)}"])
    return figure_of(image, caption, class_="still")


def confidence_colours() -> np.ndarray:
    """Colours (256, 3) uint8 of stored confidences; white where there is no data."""
    table = share_colours(SHARE_STEPS)
    table[NO_SHARE] = 255
    return table


def _scale() -> Html:
    """The colours of confidence in words and as a strip."""
    stops = confidence_colours()[[0, 64, 127, 190, 254]]
    colours = ", ".join("#{:02x}{:02x}{:02x}".format(*stop) for stop in stops)
    strip = tag("span", class_="ramp", style=f"background:linear-gradient(90deg, {colours})", aria_hidden="true")
    return tag("p", "0 ", strip, " 1 (all votes for one cluster)", class_="scale")


def _viewer(place: int, under: str, layers: Sequence[tuple[str, str]], scene: str) -> Html:
    """The swipe; it is shown by the script, which has nothing else to make."""
    group = f"layer-of-{place}"
    choices = [
        tag("label", tag("input", type="radio", name=group, value=stem, checked=index == 0), " ", name(title))
        for index, (stem, title) in enumerate(layers)
    ]
    fieldset = tag("fieldset", tag("legend", "Layer"), *choices)
    controls = [
        _slider(f"swipe-{place}", "Swipe", 50, "swipe"),
        _slider(f"opacity-{place}", "Opacity", 100, "opacity"),
        tag("label", "Class ", tag("select", tag("option", "all", value=""), class_="only"), class_="control"),
        tag("label", tag("input", type="checkbox", class_="numbers", checked=True), " Numbers", class_="control"),
    ]
    stage = tag("div", class_="stage", data_under=under)
    label = plain(join(["Map and image of ", name(scene)]))
    inner = (fieldset, tag("div", *controls, class_="controls"), stage)
    return tag("div", *inner, class_="viewer", hidden=True, role="group", aria_label=label)


def _slider(anchor: str, title: str, value: int, kind: str) -> Html:
    field = tag("input", type="range", id=anchor, class_=kind, min=0, max=100, value=value, aria_valuetext=f"{value} %")
    return tag("span", tag("label", title, for_=anchor), field, class_="control")
