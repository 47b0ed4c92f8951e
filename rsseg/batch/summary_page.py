"""The page of a batch: how many scenes were mapped, what failed and what to do, the classes, and every scene."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rsseg.batch.class_shares import ClassShare, Shares, class_shares
from rsseg.batch.outcome import Outcome
from rsseg.batch.summary_scenes import MOST, link, scenes_section, shown_of
from rsseg.label.legend import in_a_line
from rsseg.publish.report.html import (
    Html,
    Section,
    definitions,
    join,
    name,
    number,
    paragraphs,
    percent,
    table,
    tag,
)
from rsseg.publish.report.style import STYLE

_OWN = """
.failure summary { cursor: pointer; } .failure { margin: .3rem 0 1rem; }
thead th { overflow-wrap: normal; } .files tbody th { min-width: 10.5rem; } .failed tbody th { min-width: 6.5rem; }
.scenes { width: 100%; } .scenes td, .scenes th { vertical-align: top; max-width: none; }
.scenes tbody th { width: 20rem; } .scenes th .note { display: block; font-size: .9em; font-weight: 400; }
.scenes .map { display: inline-block; width: 9rem; margin: 0 1rem .5rem 0; vertical-align: top; }
.scenes .map .note { display: block; font-size: .85em; }
.scenes img { width: 9rem; height: 6.75rem; object-fit: contain; background: var(--pale); margin-bottom: .2rem; }
.rest { columns: 16rem; padding-left: 1.2rem; font-size: .88rem; } .rest li { overflow-wrap: anywhere; }
.state { display: flex; height: .9rem; max-width: 46rem; border: 1px solid var(--soft); margin: .6rem 0; }
.state .done { background: #009e73; } .state .failed { background: #d55e00; }
@media screen and (max-width: 40rem) { dl div { flex-direction: column; gap: 0; } dt { flex-basis: auto; }
  h1 { font-size: 1.4rem; } .share { min-width: 8rem; } th, td { padding: .22rem .4rem; }
  .scenes thead, .failed thead { display: none; } .failed { width: 100%; }
  .scenes tr, .scenes th, .scenes td, .failed tr, .failed td { display: block; width: auto; border: 0; }
  .failed th { display: block; border: 0; } .failed td { max-width: none; } .failed td.n { text-align: left; }
  .failed td.n::before { content: "Scenes: "; } .failed td:last-child::before { content: "\\2192\\a0"; }
  .failed tr { border-bottom: 1px solid var(--line); padding: .4rem 0; }
  .scenes tbody th { width: auto; } .scenes tr { border-bottom: 1px solid var(--line); padding: .4rem 0; }
  .scenes .map, .scenes img { width: 8.2rem; } .scenes img { height: 6.15rem; } .scenes .map { margin-right: .6rem; } }
@media screen and (prefers-color-scheme: dark) {
  :root { --ink: #e4e7ea; --soft: #a3acb6; --line: #3a414a; --link: #7db8f0; --pale: #20252b; color-scheme: dark; }
  html { background: #14171a; } .skip:focus { background: #14171a; } .scenes img { background: #fff; }
  .swatch, .bar { border-color: #c8ccd0; } }
"""


def summary_page(outcomes: Sequence[Outcome], output: Path, about: Mapping[str, str], shared: bool) -> str:
    """The whole page as text; pictures and maps are linked where they lie below ``output``.

    Args:
        outcomes: of all scenes, in the order in which they are shown.
        output: the batch's folder; only looked at for what is there to link to.
        about: terms and texts that the page begins with.
        shared: as of ``summary.write``.
    """
    done = [item for item in outcomes if item.done]
    failed = [item for item in outcomes if not item.done]
    found = (
        _counts(done, failed, about),
        _failures(failed) if failed else None,
        _classes(class_shares(done, shared)),
        scenes_section(done, output) if done else None,
        _files(output),
    )
    return _document([section for section in found if section is not None], f"{len(outcomes):,} scenes")


def _document(sections: Sequence[Section], size: str) -> str:
    # no script at all; pictures may come from beside the page, however it is served
    policy = "default-src 'none'; img-src 'self' file:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    title = f"Land-cover maps of an archive ({size})"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="generator", content="rsseg"),
        tag("title", title),
        tag("style", Html(STYLE + _OWN)),
    )
    links = [tag("li", tag("a", section.title, href=f"#s{place}")) for place, section in enumerate(sections, 1)]
    skip = tag("a", "To the content", href="#content", class_="skip")
    nav = tag("nav", tag("ul", *links), aria_label="Contents")
    main = tag("main", *(section.render(f"s{place}") for place, section in enumerate(sections, 1)), id="content")
    footer = tag(
        "footer", tag("p", "Made by rsseg batch. The page asks nothing of any network; pictures lie beside it.")
    )
    body = tag("body", skip, tag("header", tag("h1", title)), nav, main, footer)
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def _counts(done: Sequence[Outcome], failed: Sequence[Outcome], about: Mapping[str, str]) -> Section:
    total = max(1, len(done) + len(failed))
    parts = [
        tag("div", class_=state, style=f"width:{100 * len(items) / total:.2f}%")
        for state, items in (("done", done), ("failed", failed))
    ]
    maps = sum(len(item.maps) for item in done)
    figures: list[tuple[object, object]] = [
        ("Scenes", number(len(done) + len(failed))),
        ("Mapped", f"{number(len(done))} ({percent(len(done) / total)}), {number(maps)} label maps"),
        ("Failed", f"{number(len(failed))} ({percent(len(failed) / total)})"),
        *((name(term), name(text)) for term, text in about.items()),
    ]
    return Section("Summary", join([tag("div", *parts, class_="state", aria_hidden="true"), definitions(figures)]))


def _failures(failed: Sequence[Outcome]) -> Section:
    """Failures by kind, the most frequent first; what to do is told once for all that have the same way out."""
    counts = Counter(item.kind for item in failed)
    kinds = sorted(counts, key=lambda kind: (-counts[kind], kind))
    rows = [[name(kind), counts[kind], *_told(failed, kind)] for kind in kinds]
    overview = table("Failures by kind", ["Kind", "Scenes", "Most frequent cause", "What to do"], rows, class_="failed")
    most = max(10, MOST // len(kinds))
    lists = [_failed(kind, [item for item in failed if item.kind == kind], most) for kind in kinds]
    again = "The same command tries again what may have passed; --retry-failed tries all. failures.csv lists them all."
    return Section("Failures", join([tag("p", again), overview, *lists]))


def _told(failed: Sequence[Outcome], kind: str) -> Iterator[Html]:
    for texts in (
        Counter(item.cause for item in failed if item.kind == kind),
        Counter(item.remedy for item in failed if item.kind == kind),
    ):
        text, count = min(texts.items(), key=lambda pair: (-pair[1], pair[0]))
        more = f" (and {len(texts) - 1} other)" if len(texts) > 1 else ""
        yield tag("td", name(in_a_line(text, 300)), more if count else "")


def _failed(kind: str, items: Sequence[Outcome], most: int) -> Html:
    rows = [
        [name(in_a_line(item.name, 120)), _told_cell(item.place, 200), _told_cell(item.cause), _told_cell(item.remedy)]
        for item in items[:most]
    ]
    caption = join([name(kind), f": {shown_of(len(items), most)}"])
    listed = table(caption, ["Scene", "In the archive", "Cause", "What to do"], rows, class_="failed")
    title = join([name(kind), f": {number(len(items))} scene{'' if len(items) == 1 else 's'}"])
    return tag("details", tag("summary", title), listed, class_="failure")


def _told_cell(text: str, longest: int = 400) -> Html:
    return tag("td", name(in_a_line(text, longest)))


def _classes(shares: Sequence[Shares]) -> Section | None:
    """How much of the mapped ground each class has, over all scenes, where maps share their classes."""
    if not shares:
        return None
    note = "Ground that lies on several scenes counts as often as it was mapped; shares are of the labelled ground."
    return Section("Classes over the archive", join([paragraphs(note), *map(_bars, shares)]))


def _bars(shares: Shares) -> Html:
    largest = max(item.share for item in shares.classes)
    unit = "Hectares" if shares.hectares else "Pixels"
    rows = [[item.value, *_bar(item, largest), _amount(item, shares.hectares), item.scenes] for item in shares.classes]
    what = " (common legend)" if shares.common else ""
    caption = join([name(shares.model), f"{what}, {number(shares.scenes)} scenes"])
    return table(caption, ["No.", "Class", "Share", unit, "On scenes"], rows, class_="legend")


def _bar(item: ClassShare, largest: float) -> Iterator[Html]:
    swatch = tag("span", class_="swatch", style=f"background:{item.colour}", aria_hidden="true")
    yield tag("td", swatch, name(in_a_line(item.name, 120)))
    look = f"width:{4.5 * item.share / max(largest, 1e-9):.2f}rem;background:{item.colour}"
    bar = tag("span", class_="bar", style=look, aria_hidden="true")
    yield tag("td", tag("span", percent(item.share), class_="amount"), bar, class_="share")


def _amount(item: ClassShare, hectares: bool) -> Html:
    return tag("td", number(item.hectares, 1) if hectares else number(item.pixels), class_="n")


def _files(output: Path) -> Section:
    told = (
        ("summary.parquet", "every scene and map with its figures"),
        ("failures.csv", "the scenes that failed and what to do"),
        ("catalog.json", "STAC catalogue of all scenes and maps"),
    )
    legend = [("legend.yaml", "the common legend")] if (output / "legend.yaml").is_file() else []
    rows = [[link(file, file), text] for file, text in (*told, *legend)]
    rows += [[link(path.name, path.name), "mosaic of the maps"] for path in sorted(output.glob("*.vrt"))]
    return Section("Files", table("In this folder", ["File", "What it is"], rows, class_="files"))
