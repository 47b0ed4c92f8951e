"""Names that would steer a terminal are shown escaped by every message."""

import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from labelmaps import Run
from products import LISS4_META_PLAIN, make_liss4, with_keys

from rsseg.cli.printable import one_line, printable, printable_output
from rsseg.cli.progress import TerminalReporter

NAME = "a\x1b]0;owned\x07\r\b\x9b31m\u202egnp.\u2066\x7f"
SHOWN = r"a\x1b]0;owned\x07\x0d\x08\u009b31m\u202egnp.\u2066\u007f"
STEERING = {*map(chr, range(32)), *map(chr, range(0x7F, 0xA0)), "\u202e", "\u2066", "\u2028"} - {"\n", "\t"}


@pytest.fixture
def raster(tmp_path: Path) -> Path:
    path = tmp_path / f"{NAME}.tif"
    profile = {"driver": "GTiff", "width": 8, "height": 6, "count": 2, "dtype": "float32"}
    with rasterio.open(path, "w", crs="EPSG:32643", transform=rasterio.Affine(5, 0, 0, 0, -5, 0), **profile) as out:
        out.write(np.random.default_rng(0).random((2, 6, 8), np.float32))
        out.descriptions = (NAME, "two\nlines")
    return path


def clean(text: str) -> bool:
    return STEERING.isdisjoint(text)


def test_the_letters_that_are_escaped() -> None:
    assert printable(NAME) == SHOWN and printable("half \ud83c") == r"half \ud83c"
    plain = "tab\t line\n नदी लेस\u200dन 森 é \U0001f332 \\n"
    assert printable(plain) == plain
    assert one_line("a\nrsseg: error\tb") == r"a\nrsseg: error\tb"
    assert all(not clean(letter) and clean(printable(letter)) for letter in STEERING)


def test_json_means_what_it_meant() -> None:
    names = [NAME, *STEERING, "\ud83c", "\u2029", "नदी"]
    assert json.loads(printable(json.dumps(names, ensure_ascii=False))) == names


def test_what_a_stream_cannot_hold_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    with printable_output():
        print("नदी\x1b")
    assert sys.stdout is stream
    stream.flush()
    assert raw.getvalue() == b"\\u0928\\u0926\\u0940\\x1b\n"


def test_info_shows_names_escaped(raster: Path, rsseg: Run) -> None:
    code, text, err = rsseg("info", raster)
    assert code == 0 and clean(text) and clean(err)
    assert r"\u202egnp.\u2066" in text and r"\x07" in text
    code, text, err = rsseg("info", raster, "--json")
    assert clean(text) and json.loads(text)["path"] == str(raster)


@pytest.mark.parametrize(
    "words",
    [
        lambda path: ("info", path.with_name(f"{NAME}.gone")),
        lambda path: ("info", path, "--bands", NAME),
        lambda path: ("toa", path, "-o", path),
        lambda path: ("segment", path, "--model", path, "-o", path.with_name("x.tif")),
        lambda path: ("relabel", path, "--legend", path, "-o", path.with_name("x.tif")),
        lambda path: ("run", path, path, "-o", path.with_name("o")),
        lambda path: ("run", NAME, path, "-o", path.with_name("o")),
        lambda path: (NAME,),
        lambda path: ("info", path, f"--{NAME}"),
        lambda path: ("info", path, "--scale", NAME),
        lambda path: ("train", NAME, path, "-o", path.with_name("m.safetensors")),
        lambda path: ("info", path.with_name(f"{NAME}.gone"), "--debug"),
    ],
)
def test_every_refusal_shows_names_escaped(
    raster: Path, rsseg: Run, words: Callable[[Path], tuple[object, ...]]
) -> None:
    code, text, err = rsseg(*words(raster))
    assert code in (1, 2) and clean(text) and clean(err)
    assert "owned" in err


def test_a_line_feed_in_a_name_begins_no_line(tmp_path: Path, rsseg: Run) -> None:
    code, _, err = rsseg("info", tmp_path / "a\nrsseg: all is well")
    assert code != 0 and not any(line.startswith("rsseg: all is well") for line in err.splitlines())


def test_products_show_their_ids_escaped(tmp_path: Path, rsseg: Run) -> None:
    meta = with_keys(LISS4_META_PLAIN, ProductID=NAME.replace("\r", ""), SatID="\x1b[31mred")
    product = make_liss4(tmp_path / "p", meta=meta)
    code, text, err = rsseg("info", product)
    assert code == 0, err
    assert clean(text) and clean(err) and "satellite" in text and "red" in text


def test_a_terminal_gets_no_raw_control_characters(raster: Path) -> None:
    """Through a real terminal, where libraries colour what they write."""
    leader, follower = pty.openpty()
    words = [sys.executable, "-m", "rsseg", "info", str(raster)]
    done = subprocess.run(words, stdout=follower, stderr=follower, timeout=120, check=False, env={**os.environ})
    os.close(follower)
    told = os.read(leader, 1 << 16).decode()
    os.close(leader)
    assert done.returncode == 0 and clean(told.replace("\r\n", "\n")) and r"a\x1b]0;owned\x07" in told


def test_progress_shows_names_escaped(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    reporter = TerminalReporter()
    with reporter.task(NAME, 3) as task:
        task.advance(1, NAME)
        assert reporter.progress is not None
        shown = reporter.progress.tasks[0]
        assert shown.description == SHOWN and shown.fields["note"] == SHOWN
    reporter.say(NAME)
    assert SHOWN in capsys.readouterr().err
