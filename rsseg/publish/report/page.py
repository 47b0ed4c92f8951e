"""The page: its parts in order, between a head that lets nothing in from outside and the script of the swipe."""

import base64
import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

from rsseg.progress import SILENT, Reporter
from rsseg.publish.report.accuracy import accuracy_section, assignments
from rsseg.publish.report.consensus import consensus_section
from rsseg.publish.report.curves import curves_section
from rsseg.publish.report.embedding import Embedding, embedding_section
from rsseg.publish.report.html import Html, Section, definitions, join, name, number, percent, tag
from rsseg.publish.report.images import Album
from rsseg.publish.report.maps import maps_section
from rsseg.publish.report.patches import patches_section
from rsseg.publish.report.scenes import MapView, SceneView, view_all
from rsseg.publish.report.script import SCRIPT
from rsseg.publish.report.settings import settings_section
from rsseg.publish.report.spectra import spectra_section
from rsseg.publish.report.spectra import words as said_units
from rsseg.publish.report.style import STYLE
from rsseg.publish.report.tables import tables_section
from rsseg.publish.run_folder import RunFolder, SceneFolder

LARGEST, SMALLEST = 900, 300
"""Sides of the pictures in pixels: of a few, and of so many that the page would grow heavy."""

_BUDGET = 11 * LARGEST**2
"""Pixels of all pictures together."""

Seen = tuple[SceneFolder, SceneView | None, Sequence[MapView]]


def report_page(run: RunFolder, album: Album, embedding: Embedding = "pca", reporter: Reporter = SILENT) -> str:
    """The whole page as text; its pictures are kept in ``album`` too.

    Memory is that of the pictures at the page's size: scenes and maps are read decimated, in strips or by windows.
    Raises: InputError if a map is damaged.
    """
    seen: list[Seen] = [(folder, *view_all(folder, _size(run), reporter)) for folder in run.scenes]
    maps = [(folder, views) for folder, _, views in seen]
    found = (
        _summary(run, maps),
        maps_section(seen, album),
        spectra_section(maps, album),
        curves_section(run.models, album),
        consensus_section(maps, album),
        accuracy_section(run.scenes),
        patches_section(seen, album, reporter),
        embedding_section(maps, embedding, album),
        tables_section(run.folder),
        settings_section(run),
    )
    return _document(run, [section for section in found if section is not None])


def _size(run: RunFolder) -> int:
    """The longer side of the pictures, so that they all together stay within the budget."""
    pictures = sum(1 + sum(2 if item.confidence else 1 for item in scene.maps) for scene in run.scenes)
    return int(min(LARGEST, max(SMALLEST, math.sqrt(_BUDGET / max(1, pictures)))))


def _document(run: RunFolder, sections: Sequence[Section]) -> str:
    script = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode("ascii")
    # a hash instead of 'unsafe-inline': nothing but this one script runs, whatever a name holds
    policy = (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{script}'; "
        "base-uri 'none'; form-action 'none'"
    )
    title = f"{', '.join(scene.name for scene in run.scenes)}: land-cover maps"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="generator", content="rsseg"),
        tag("title", title),
        tag("style", Html(STYLE)),
    )
    links = [tag("li", tag("a", section.title, href=f"#s{place}")) for place, section in enumerate(sections, 1)]
    header = tag("header", tag("h1", name(title)), tag("p", *_made(run)))
    skip = tag("a", "To the content", href="#content", class_="skip")
    nav = tag("nav", tag("ul", *links), aria_label="Contents")
    main = tag("main", *(section.render(f"s{place}") for place, section in enumerate(sections, 1)), id="content")
    footer = tag("footer", tag("p", "Made by rsseg report. This page is one file and asks nothing of any network."))
    body = tag("body", skip, header, nav, main, footer, tag("script", Html(SCRIPT)))
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def _made(run: RunFolder) -> list[object]:
    pipeline, finished = run.provenance.get("pipeline", ""), str(run.provenance.get("finished", ""))
    when = finished.replace("T", " ").replace("Z", " UTC")
    return ["Pipeline ", name(pipeline), f", finished {when}." if when else "."]


def _summary(run: RunFolder, scenes: Sequence[tuple[SceneFolder, Sequence[MapView]]]) -> Section:
    """What was made of what, in a sentence, and the key figures."""
    models = [_described(model.name, model.config) for model in run.models]
    labelled = [folder for folder, maps in scenes if maps]
    sentence = join(
        [
            _count(len(labelled), "scene"),
            " (",
            join([name(folder.name) for folder in labelled], ", "),
            ") ",
            "was" if len(labelled) == 1 else "were",
            " mapped by ",
            _count(len(models), "model"),
            ": " if models else "",
            join(models, ", "),
            ".",
        ]
    )
    rows = [(_scene_title(folder, len(scenes)), _scene_figures(folder, maps)) for folder, maps in scenes if maps]
    seconds = sum(
        float(item.get("seconds") or 0) for item in run.provenance.get("stages", []) if isinstance(item, dict)
    )
    figures = [*rows, ("Time of all stages", f"{number(seconds, 0)} s")]
    return Section("Summary", join([tag("p", sentence), definitions(figures)]))


def _scene_title(folder: SceneFolder, scenes: int) -> Html:
    return name(folder.name) if scenes > 1 else Html("Scene")


def _count(amount: int, word: str) -> str:
    return f"{amount} {word}{'' if amount == 1 else 's'}"


def _described(model: str, config: Mapping[str, Any]) -> Html:
    method, classes = config.get("method"), config.get("merge_to") or config.get("classes")
    words = [str(method) if method and method != model else "", f"{classes} classes" if classes else ""]
    told = ", ".join(word for word in words if word)
    return join([name(model), f" ({told})" if told else ""])


def _scene_figures(folder: SceneFolder, maps: Sequence[MapView]) -> Html:
    """Size, labelled ground, agreement and accuracy of a scene."""
    grid = maps[0].grid
    words = [f"{number(grid.height)} x {number(grid.width)} pixels"]
    words += [said_units(folder)]
    if maps[0].areas is not None:
        words.append(f"{number(float(maps[0].areas[1:].sum()), 0)} ha labelled")
    shared = folder.consensus.get("agreement")
    if isinstance(shared, float):
        words.append(f"the maps agree on {percent(shared)}")
    words += [_score(model, found) for model, found in folder.evaluations.items()]
    return join([word for word in words if word], "; ")


def _score(model: str, found: Mapping[str, Any]) -> Html:
    for way, scored in assignments(found).items():
        if isinstance(scored.get("overall_accuracy"), float):
            return join(["accuracy of ", name(model), f" {scored['overall_accuracy']:.3f} ({way})"])
    return Html("")
