"""The page in a real browser (headless Chromium, driven by playwright; both are optional)."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labelmaps import write_map
from viewing import NAMES, Client, serving, write_confidence, write_run

from rsseg.label.legend_file import read_legend
from rsseg.pipeline.stages.view import prepare

pytestmark = pytest.mark.slow

HOSTILE = "<img src=x onerror=alert(1)>\"'; 森"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium; install it, or name it in CHROMIUM")
    with api.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / HOSTILE.replace("/", "")
    labels = write_run(folder)
    write_map(folder / "town" / "labels" / "other.tif", np.where(labels == 0, 0, 4 - labels))
    write_confidence(folder / "town" / "consensus" / "entropy.tif", labels)
    write_map(folder / "village" / "labels" / f"{HOSTILE}.tif", labels[:40, :50])
    return folder


@pytest.fixture
def client(run: Path) -> Iterator[Client]:
    with serving(prepare(run, port=0)) as client:
        yield client


@pytest.fixture
def page(browser: Any, client: Client) -> Iterator[Any]:
    """The page, loaded; whatever it complained of, or asked another machine for, fails the test."""
    page = browser.new_page(viewport={"width": 1200, "height": 800})
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda problem: wrong.append(str(problem)))
    page.on("dialog", lambda dialog: wrong.append(f"dialog: {dialog.message}") or dialog.dismiss())
    page.on("request", lambda asked: None if asked.url.startswith(client.server.url) else wrong.append(asked.url))
    page.goto(client.server.url)
    settle(page)
    yield page
    page.close()
    assert wrong == []


def until(page: Any, truth: str) -> None:
    """Wait for an expression to be true; playwright's own way is forbidden by the page's policy."""
    for _ in range(200):
        if page.evaluate(truth):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never true: {truth}")


def settle(page: Any) -> None:
    """Wait until all tiles are there and drawn."""
    until(page, "document.getElementById('scale').textContent !== ''")
    page.wait_for_timeout(150)
    until(page, "document.getElementById('loading').hidden")
    page.wait_for_timeout(100)


def colour_at(page: Any, row: float, col: float) -> tuple[int, ...]:
    """What the canvas shows at a position of the scene, when the whole scene of 48 x 64 pixels is in view."""
    return tuple(
        page.evaluate(
            """([row, col]) => {
              const canvas = document.getElementById("canvas"), wide = canvas.width, tall = canvas.height;
              const unit = 0.96 * Math.min(wide / 64, tall / 48);
              const x = wide / 2 + (col - 32) * unit, y = tall / 2 + (row - 24) * unit;
              return [...canvas.getContext("2d").getImageData(x, y, 1, 1).data.slice(0, 3)];
            }""",
            [row, col],
        )
    )


def layer(page: Any, title: str) -> Any:
    return page.locator("#layers li").filter(has=page.get_by_text(title, exact=True))


def pick(page: Any, row: float, col: float) -> None:
    box = page.locator("#map").bounding_box()
    unit = 0.96 * min(box["width"] / 64, box["height"] / 48)
    x, y = box["x"] + box["width"] / 2 + (col - 32) * unit, box["y"] + box["height"] / 2 + (row - 24) * unit
    page.mouse.click(x, y)
    page.wait_for_selector("#here table")


def labels_of(run: Path) -> np.ndarray:
    import rasterio

    with rasterio.open(run / "town" / "labels" / "model.tif") as file:
        return file.read(1)


def test_the_page_shows_layers_legend_and_the_map(page: Any, run: Path) -> None:
    assert page.locator("#title").text_content() == run.name
    titles = page.locator("#layers .title").all_text_contents()
    assert titles == ["confidence of model", "entropy", "model", "other", "scene"]
    assert page.locator("#legend .name").all_text_contents() == list(NAMES)
    layer(page, "scene").get_by_role("checkbox").uncheck()
    layer(page, "model").get_by_role("slider").fill("100")
    settle(page)
    value = labels_of(run)[20, 30]
    assert colour_at(page, 20.5, 30.5) == {1: (0, 0x72, 0xB2), 2: (0xE6, 0x9F, 0), 3: (0, 0x9E, 0x73)}[value]


def test_opacity_and_checkboxes_change_what_is_seen(page: Any) -> None:
    full = colour_at(page, 20.5, 30.5)
    layer(page, "model").get_by_role("slider").fill("70")
    settle(page)
    mixed = colour_at(page, 20.5, 30.5)
    layer(page, "model").get_by_role("checkbox").uncheck()
    settle(page)
    bare = colour_at(page, 20.5, 30.5)
    for some, whole, without in zip(mixed, full, bare, strict=True):
        assert abs(some - (0.7 * whole + 0.3 * without)) <= 2
    assert full != bare


def test_a_layer_that_is_ticked_shows_its_legend_and_the_order_can_be_changed(page: Any) -> None:
    layer(page, "other").get_by_role("checkbox").check()
    until(page, "document.querySelector('#legend .name')?.textContent === 'cluster 1'")
    layer(page, "other").get_by_role("button", name="Move other up").click()
    settle(page)
    assert page.locator("#layers .title").all_text_contents()[2:4] == ["other", "model"]
    assert page.evaluate("document.activeElement.title") == "Up"
    layer(page, "entropy").get_by_role("checkbox").check()
    until(page, "!document.getElementById('ramp').hidden")
    settle(page)


def test_a_click_says_what_is_there(page: Any, run: Path) -> None:
    pick(page, 20.5, 30.5)
    text = page.locator("#here").inner_text()
    assert "20, 30" in text and "Reflectance" in text and "confidence\u00a00.4" in text
    assert NAMES[labels_of(run)[20, 30] - 1] in page.locator("#here").text_content()
    assert page.locator("#legend li.here .name").text_content() == NAMES[labels_of(run)[20, 30] - 1]
    page.locator("#close").click()
    assert not page.locator("#place").is_visible()


def test_the_keyboard_reaches_everything(page: Any) -> None:
    page.locator("#map").focus()
    before = page.locator("#scale").text_content()
    for key in ("+", "+", "ArrowRight", "Shift+ArrowUp"):
        page.keyboard.press(key)
    settle(page)
    assert page.locator("#scale").text_content() != before
    page.keyboard.press("Enter")
    page.wait_for_selector("#here table")
    row, col = map(int, re.findall(r"(\d+), (\d+)", page.locator("#here").inner_text())[0])
    assert row < 24 and col > 32
    page.keyboard.press("Escape")
    page.keyboard.press("0")
    settle(page)
    assert page.locator("#scale").text_content() == before and not page.locator("#place").is_visible()


def test_the_wheel_zooms_about_the_mouse_and_dragging_moves(page: Any) -> None:
    box = page.locator("#map").bounding_box()
    page.mouse.move(box["x"] + 300, box["y"] + 300)
    place = page.locator("#cursor").text_content()
    for _ in range(4):
        page.mouse.wheel(0, -200)
    settle(page)
    page.mouse.move(box["x"] + 301, box["y"] + 300)
    assert page.locator("#cursor").text_content() == place
    page.mouse.down()
    page.mouse.move(box["x"] + 401, box["y"] + 380, steps=4)
    page.mouse.up()
    settle(page)
    assert page.locator("#cursor").text_content() == place and not page.locator("#place").is_visible()
    page.get_by_role("button", name="Show the whole scene").click()
    settle(page)


def test_renaming_is_seen_at_once_and_kept(page: Any, run: Path) -> None:
    layer(page, "scene").get_by_role("checkbox").uncheck()
    layer(page, "model").get_by_role("slider").fill("100")
    value = int(labels_of(run)[20, 30])
    page.locator(f"#legend li[data-value='{value}']").get_by_role("button").click()
    page.keyboard.type(HOSTILE)
    page.get_by_label("Colour").fill("#102030")
    page.get_by_role("button", name="Save").click()
    page.wait_for_selector("#relabel:not([hidden])")
    settle(page)
    assert colour_at(page, 20.5, 30.5) == (0x10, 0x20, 0x30)
    assert page.locator(f"#legend li[data-value='{value}'] .name").text_content() == HOSTILE
    assert page.locator("#command").input_value().startswith("rsseg relabel ")
    kept = {item.value: item for item in read_legend(run / "town" / "legends" / "model.yaml").classes}[value]
    assert (kept.name, kept.colour) == (HOSTILE, "#102030")
    assert page.evaluate("document.activeElement.textContent") == "Rename"
    page.reload()
    settle(page)
    assert page.locator(f"#legend li[data-value='{value}'] .name").text_content() == HOSTILE
    page.locator("#legend button").first.click()
    page.keyboard.press("Escape")
    assert page.locator("#legend form").count() == 0


def test_another_scene_is_shown_with_its_own_maps(page: Any) -> None:
    page.locator("#scene").select_option("village")
    until(page, "document.querySelectorAll('#layers li').length === 1")
    settle(page)
    assert page.locator("#layers .title").text_content() == HOSTILE
    assert "not finished" in page.locator("#notes").text_content()


def test_a_stopped_server_is_said(browser: Any, run: Path) -> None:
    page = browser.new_page()
    with serving(prepare(run, port=0)) as client:
        page.goto(client.server.url)
        settle(page)
    page.locator("#map").focus()
    page.keyboard.press("Enter")
    until(page, "document.getElementById('message').textContent.includes('does not answer')")
    page.close()
