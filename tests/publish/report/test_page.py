"""The page as a browser and a screen reader meet it."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from run_folders import HOSTILE, PLAIN, write_run

from rsseg.pipeline.stages.report import report
from rsseg.publish.report.html import clean

SCENES = ("<b>bold & brave", "second")
MODELS = ("<img src=x onerror=alert(3)>", "k'means")
_VOID = {"img", "input", "meta", "br", "hr"}


class Reader(HTMLParser):
    """Elements with their attributes and text, and whether all are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names))
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in ("script", "style"):
            self.texts.append(data)

    def all(self, *tags: str) -> Iterator[dict[str, str | None]]:
        return (attributes for tag, attributes in self.elements if tag in tags)

    @property
    def text(self) -> str:
        return " ".join(self.texts)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two scenes, two models, hostile names everywhere."""
    folder = tmp_path_factory.mktemp("report")
    run = write_run(folder / "run", scenes=SCENES, models=MODELS, names=HOSTILE)
    return report(run).page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def read(page: str) -> Reader:
    return Reader(page)


def test_nothing_is_asked_of_a_network(page: str, read: Reader) -> None:
    policy = next(item["content"] for item in read.all("meta") if item.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and policy.startswith("default-src 'none'; img-src data:; ")
    assert "script-src 'sha256-" in policy and "script-src 'unsafe-inline'" not in policy
    for element, attributes in read.elements:
        assert element not in ("link", "iframe", "object", "embed", "base", "form")
        assert (attributes.get("src") or "data:image/").startswith("data:image/")
        assert (attributes.get("href") or "#").startswith("#")
        assert not [name for name in attributes if name.startswith("on")]
    assert "@import" not in page and "url(" not in page


def test_the_script_is_the_one_that_the_policy_names(page: str) -> None:
    from base64 import b64encode
    from hashlib import sha256

    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert len(scripts) == 1
    assert f"sha256-{b64encode(sha256(scripts[0].encode()).digest()).decode()}" in page


def test_pictures_have_words_and_sizes(read: Reader) -> None:
    images = list(read.all("img"))
    assert len(images) > 20
    for image in images:
        assert image.get("alt") and int(image["width"] or 0) > 0 and int(image["height"] or 0) > 0


def test_ids_are_unique_and_links_arrive(read: Reader) -> None:
    ids = [attributes["id"] for _, attributes in read.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    told = [(key, value) for _, attributes in read.elements for key, value in attributes.items()]
    for key, value in told:
        if key in ("aria-labelledby", "for", "data-under"):
            assert value in ids
        if key == "href":
            assert value is not None and value[1:] in ids


def test_headings_go_down_one_at_a_time(read: Reader) -> None:
    levels = [int(tag[1]) for tag, _ in read.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_tables_say_what_they_are(page: str, read: Reader) -> None:
    tables = re.findall(r"<table.*?</table>", page, re.DOTALL)
    assert tables and all(table.count("<caption>") == 1 for table in tables)
    assert all(head.get("scope") in ("col", "row") for head in read.all("th"))
    assert next(read.all("html"))["lang"] == "en"
    for landmark in ("header", "nav", "main", "footer"):
        assert len(list(read.all(landmark))) == 1
    controls = list(read.all("input", "select"))
    assert controls and all("onclick" not in item for item in controls)


def test_hostile_names_are_text(page: str, read: Reader) -> None:
    for title in (*SCENES, *MODELS, HOSTILE[0], HOSTILE[1], HOSTILE[2].split("\n")[0], HOSTILE[2][-250:].strip()):
        assert clean(title) in read.text, title
    for title in (SCENES[0], MODELS[0], *HOSTILE[:2]):
        assert title not in page
    assert len(list(read.all("script"))) == 1 and not [item for item in read.all("img") if item.get("src") == "x"]


def test_parts_come_in_order(read: Reader) -> None:
    links = [attributes["href"] for attributes in read.all("a") if attributes.get("class") != "skip"]
    assert links == [f"#s{number}" for number in range(1, 10)]
    titles = ("Summary", "Maps", "Spectra and sizes", "Training", "Agreement", "Accuracy", "Surest and least sure")
    places = [read.texts.index(title) for title in (*titles, "Embedding", "Settings")]
    assert places == sorted(places)


def test_equal_runs_give_equal_bytes(tmp_path: Path) -> None:
    pages = []
    for name in ("one", "two"):
        run = write_run(tmp_path / name / "run", shape=(40, 48))
        made = report(run)
        text = made.page.read_text(encoding="utf-8").replace(str(tmp_path / name), "")
        pages.append((text, [path.read_bytes() for path in made.pictures]))
    assert pages[0] == pages[1]


def test_a_run_without_a_crs_counts_pixels(tmp_path: Path) -> None:
    text = Reader(report(write_run(tmp_path / "run", crs=False)).page.read_text(encoding="utf-8")).text
    assert "Hectares" not in text and "Pixels" in text and "Accuracy" not in text


def test_shares_and_hectares_are_those_of_the_map(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", models=["only"])
    text = report(run).page.read_text(encoding="utf-8")
    import numpy as np
    import rasterio

    with rasterio.open(run / "a scene" / "labels" / "only.tif") as file:
        counts = np.bincount(file.read(1).ravel(), minlength=4)
    for value, title in enumerate(PLAIN, 1):
        row = next(line for line in re.findall(r"<tr>.*?</tr>", text) if f"<bdi>{title}</bdi>" in line)
        share, hectares = 100 * counts[value] / counts[1:].sum(), counts[value] * 25 / 1e4
        assert f"{share:.1f}\u00a0%" in row and f">{hectares:.1f}<" in row
    assert "Agreement" not in text


def test_a_scene_that_is_gone_leaves_its_maps(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (tmp_path / "0.tif").unlink()
    text = Reader(report(run).page.read_text(encoding="utf-8")).text
    assert "is not at" in text and "Legend of" in text and "Embedding" not in text
