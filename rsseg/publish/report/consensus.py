"""How far the maps of a scene agree: Jaccard tables, and for the largest matches where both maps say them."""

from collections.abc import Mapping, Sequence

import numpy as np

from rsseg.label.consensus import group_title
from rsseg.publish.palette import rgb
from rsseg.publish.quicklook import picture_matrix
from rsseg.publish.report.heat import heat_table
from rsseg.publish.report.html import Html, Section, join, name, number, percent, table, tag
from rsseg.publish.report.images import Album, indexed_png, scaled
from rsseg.publish.report.pairs import Match, Pair, pairs_of, titles_of
from rsseg.publish.report.scenes import MapView
from rsseg.publish.run_folder import SceneFolder

PANELS = 6
"""How many of the largest matches of a pair are shown; of several pairs, fewer each."""

_PAIRS = 10
_PANEL, _GAP = 400, 12

_WAYS = {
    "names": "Clusters of one class name are matched.",
    "overlap": "Clusters of the map that has more of them were joined with those that they overlap most.",
    "one-to-one": "Clusters are matched so that the sum of their similarities is largest (Hungarian method).",
}

_NEITHER, _FIRST, _SECOND, _BOTH, _NO_DATA = range(5)
_COLOURS = {_NEITHER: "#e6e6e6", _FIRST: "#0072b2", _SECOND: "#e69f00", _BOTH: "#1a1a1a", _NO_DATA: "#ffffff"}


def consensus_section(scenes: Sequence[tuple[SceneFolder, Sequence[MapView]]], album: Album) -> Section | None:
    """Agreement of the maps, a part for each scene; None where no maps were compared."""
    parts = [_part(folder, maps, list(pairs_of(folder.consensus)), album) for folder, maps in scenes]
    found = tuple(part for part in parts if part is not None)
    if not found:
        return None
    about = (
        "Jaccard similarity of two clusters is the number of pixels that both maps give to them, divided by the number "
        "that either does. Matched clusters lie on the diagonal, framed."
    )
    return Section("Agreement", tag("p", about), found)


def _part(folder: SceneFolder, maps: Sequence[MapView], pairs: Sequence[Pair], album: Album) -> Section | None:
    if not pairs:
        return None
    views = {item.model: item for item in maps}
    shown = pairs[:_PAIRS]
    count = max(2, min(PANELS, 24 // len(shown)))
    parts = [_of_pair(folder, pair, views, count, album) for pair in shown]
    note = tag("p", f"The tables of {_PAIRS} of {len(pairs)} pairs are shown.") if len(pairs) > _PAIRS else Html("")
    return Section(folder.name, join([_overall(folder, pairs), note]), tuple(parts))


def _overall(folder: SceneFolder, pairs: Sequence[Pair]) -> Html:
    rows = [
        [
            join([name(pair.first), " and ", name(pair.second)]),
            len(pair.matches),
            tag("td", number(pair.mean), class_="n"),
            tag("td", percent(pair.agreement), class_="n"),
        ]
        for pair in pairs
    ]
    columns = ["Maps", "Matches", "Mean Jaccard of the matches", "Pixels on which matches lie on each other"]
    shared = folder.consensus.get("agreement")
    told = ""
    if len(pairs) > 1 and isinstance(shared, float):
        told = f"All maps agree on {percent(shared)} of the pixels that all of them label."
    return join([tag("p", told) if told else "", table(join(["Pairs of maps of ", name(folder.name)]), columns, rows)])


def _of_pair(folder: SceneFolder, pair: Pair, views: Mapping[str, MapView], count: int, album: Album) -> Section:
    titles = [titles_of(folder.consensus, item) for item in (pair.first, pair.second)]
    rows = [group_title(group, titles[0]) for group in pair.rows]
    columns = [group_title(group, titles[1]) for group in pair.columns]
    matrix = _matrix(folder, pair, rows, columns, album)
    way = tag("p", _WAYS[pair.way]) if pair.way in _WAYS else ""
    largest = sorted(pair.matches, key=lambda match: -match.pixels)[:count]
    first, second = views.get(pair.first), views.get(pair.second)
    panels = Html("")
    if first is not None and second is not None and first.shown.shape == second.shown.shape:
        panels = join(_panel(folder, pair, match, titles, (first, second), album) for match in largest)
    return Section(f"{pair.first} and {pair.second}", join([way, matrix, panels]))


def _matrix(folder: SceneFolder, pair: Pair, rows: Sequence[str], columns: Sequence[str], album: Album) -> Html:
    target = album.file(f"{folder.name} jaccard {pair.first} {pair.second}", f"Jaccard, {pair.first} and {pair.second}")
    picture_matrix(
        pair.jaccard,
        rows,
        columns,
        target,
        title=f"Jaccard similarity: mean of {len(pair.matches)} matches {pair.mean:.3f}",
        row_title=pair.first,
        column_title=pair.second,
        framed=len(pair.matches),
    )
    caption = join(["Jaccard similarity on ", name(folder.name), ": rows ", name(pair.first), ", columns "])
    return heat_table(
        pair.jaccard,
        [name(row) for row in rows],
        [name(column) for column in columns],
        caption=join([caption, name(pair.second), f"; mean of the matches {number(pair.mean)}"]),
        corner="Cluster",
        shown=lambda row, col: f"{pair.jaccard[row, col]:.3f}" if pair.jaccard[row, col] >= 0.0005 else "0",
        framed=len(pair.matches),
    )


def _panel(
    folder: SceneFolder,
    pair: Pair,
    match: Match,
    titles: Sequence[Mapping[int, str]],
    maps: tuple[MapView, MapView],
    album: Album,
) -> Html:
    """A match as the papers show it: the class in each map, and where both have it."""
    codes = panel_codes(maps[0].shown, maps[1].shown, match)
    colours = np.full((256, 3), 255, np.uint8)
    for code, colour in _COLOURS.items():
        colours[code] = rgb(colour)
    left, right = (group_title(group, names) for group, names in zip((match.first, match.second), titles, strict=True))
    alt = f"{left} of {pair.first}, {right} of {pair.second}, and both: Jaccard similarity {match.jaccard:.3f}."
    tall, wide = maps[0].grid.pixel_size
    title = f"{folder.name} match {pair.first} {match.first[0]} {pair.second} {match.second[0]}"
    image = album.add(title, indexed_png(codes, colours), alt, shown=scaled(codes.shape, tall / wide), class_="pixels")
    heads = [
        tag("span", _key(_FIRST), name(left), " of ", name(pair.first)),
        tag("span", _key(_SECOND), name(right), " of ", name(pair.second)),
        tag("span", _key(_BOTH), f"both: Jaccard {match.jaccard:.3f}, {number(match.pixels)} pixels"),
    ]
    return tag("figure", tag("figcaption", *heads, class_="thirds"), image, class_="match")


def _key(code: int) -> Html:
    return tag("span", class_="swatch", style=f"background:{_COLOURS[code]}", aria_hidden="true")


def panel_codes(first: np.ndarray, second: np.ndarray, match: Match) -> np.ndarray:
    """Three pictures side by side, (h, w) uint8 codes: the match in the first map, in the second, and in both.

    Args:
        first, second: labels (h, w) uint8; 0 is no data.
    """
    step = max(1, -(-max(first.shape) // _PANEL))
    first, second = first[::step, ::step], second[::step, ::step]
    empty = (first == 0) | (second == 0)
    ours, theirs = np.isin(first, match.first), np.isin(second, match.second)
    codes = [
        np.where(ours, _FIRST, _NEITHER),
        np.where(theirs, _SECOND, _NEITHER),
        np.select([ours & theirs, ours, theirs], [_BOTH, _FIRST, _SECOND], _NEITHER),
    ]
    gap = np.full((len(first), max(1, _GAP * max(first.shape) // _PANEL)), _NO_DATA)
    parts = [np.where(empty, _NO_DATA, part) for part in codes]
    return np.hstack([parts[0], gap, parts[1], gap, parts[2]]).astype(np.uint8)
