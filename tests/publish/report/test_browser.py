"""The page in a browser: the swipe by keyboard, layers, hostile names, print and no script."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Page, chromium
from run_folders import HOSTILE, write_run

from rsseg.pipeline.stages.report import report

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("browser")
    models = ["<img src=x onerror=alert(3)>", "k'means"]
    report(
        write_run(place / "run", scenes=["<script>alert(0)</script>".replace("/", "_")], models=models, names=HOSTILE)
    )
    return place


@pytest.fixture
def page(folder: Path, tmp_path: Path) -> Iterator[Page]:
    with chromium(tmp_path) as tab:
        tab.open(folder / "run" / "report.html")
        yield tab
        assert tab.problems == []
        assert [url for url in tab.requests if not url.startswith("file:")] == []


def test_the_swipe_moves_by_keyboard(page: Page) -> None:
    assert page.run("getComputedStyle(document.querySelector('.still')).display") == "none"
    page.run("document.querySelector('.swipe').focus()")
    before = page.run("document.querySelector('.over').style.clipPath")
    for _ in range(5):
        page.press("ArrowRight", 39)
    assert page.run("document.querySelector('.swipe').value") == "55"
    assert page.run("document.querySelector('.swipe').getAttribute('aria-valuetext')") == "55 %"
    after = page.run("document.querySelector('.over').style.clipPath")
    assert after != before and "45%" in after


def test_another_layer_brings_its_picture_and_legend(page: Page) -> None:
    shown = "document.querySelector('.over img').src"
    panels = "[...document.querySelectorAll('.layer')].map(l => getComputedStyle(l).display !== 'none')"
    first = page.run(shown)
    assert page.run(panels) == [True, False, False, False]
    page.run("document.querySelector('input[type=radio]').focus()")
    page.press("ArrowDown", 40)
    assert page.run(shown) != first and page.run(panels) == [False, True, False, False]


def test_one_class_alone_is_shown(page: Page) -> None:
    page.run("{const s = document.querySelector('.only'); s.selectedIndex = 2; s.dispatchEvent(new Event('change'))}")
    counted = page.run(
        """(async () => {
          const image = document.querySelector('.over img');
          await image.decode();
          const canvas = document.createElement('canvas');
          canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
          const context = canvas.getContext('2d');
          context.drawImage(image, 0, 0);
          const data = context.getImageData(0, 0, canvas.width, canvas.height).data;
          const seen = new Set();
          for (let i = 0; i < data.length; i += 4) if (data[i + 3]) seen.add(data.slice(i, i + 3).join());
          return [...seen];
        })()"""
    )
    assert counted == ["230,159,0"]


def test_names_are_whole_and_nothing_runs(page: Page) -> None:
    text = page.run("document.body.innerText")
    assert HOSTILE[0] in text and "<img src=x onerror=alert(3)>" in text
    assert page.run("document.querySelectorAll('script').length") == 1
    wide = page.run("document.documentElement.scrollWidth <= innerWidth")
    page.size(400, 800)
    assert wide and page.run("document.documentElement.scrollWidth") <= 400


def test_paper_shows_every_map(page: Page) -> None:
    page.call("Emulation.setEmulatedMedia", media="print")
    shown = "[...document.querySelectorAll('.still')].every(s => s.getBoundingClientRect().height > 50)"
    assert page.run(shown)
    assert page.run("getComputedStyle(document.querySelector('.viewer')).display") == "none"


def test_without_script_all_pictures_are_seen(folder: Path, tmp_path: Path) -> None:
    with chromium(tmp_path) as tab:
        tab.call("Emulation.setScriptExecutionDisabled", value=True)
        tab.open(folder / "run" / "report.html")
        document = tab.call("DOM.getDocument", depth=0)["root"]["nodeId"]
        stills = tab.call("DOM.querySelectorAll", nodeId=document, selector=".still")["nodeIds"]
        assert len(stills) == 5
        for node in stills:
            assert tab.call("DOM.getBoxModel", nodeId=node)["model"]["height"] > 50
        (viewer,) = tab.call("DOM.querySelectorAll", nodeId=document, selector=".viewer[hidden]")["nodeIds"]
        assert viewer
