"""Names that would break formats: through the legend's YAML, the map, its sidecars, and back."""

import json
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import rasterio
from labelmaps import Run, write_map
from tiny import tiny_model

from rsseg.label.legend import Legend, LegendClass, in_a_line
from rsseg.label.legend_file import from_yaml, read_legend, to_yaml
from rsseg.label.maps import LabelMap
from rsseg.learn.model import load_model
from rsseg.pipeline.class_names import naming_of
from rsseg.pipeline.stages.legend import legend
from rsseg.pipeline.stages.relabel import relabel
from rsseg.pipeline.stages.relabel_model import name_model

BAD = "\N{REPLACEMENT CHARACTER}"

HARMLESS = [
    "<script>alert(1)</script>",
    "\"double\" 'single' `tick`; DROP TABLE classes; --",
    "]]> &amp; &#0; <!-- x -->",
    "वन, лес, 森林, غابة, 🌲",
    "x" * 300,
    "a: b # c",
    "- [1, 2] {a}",
    "two\nlines\tand a tab",
    "../../etc/passwd",
    "no",
    "%s {0} $(rm) \\n",
    "e\u0301 \u202ereversed\u202c",
    "a\x85b\u2028c\u2029d",
]
"""They come back as they are."""

CLEANED = [
    ("nul\x00 bell\x07 escape\x1b[31m", f"nul{BAD} bell{BAD} escape{BAD}[31m"),
    ("half \ud83c emoji", f"half {BAD} emoji"),
    ("carriage\rreturn\r\nboth", "carriage\nreturn\nboth"),
    ("no \ufffe character \uffff", f"no {BAD} character {BAD}"),
]
"""XML cannot hold these: as they are read back from a map."""

NAMES = [*HARMLESS, *(name for name, _ in CLEANED)]
BACK = [*HARMLESS, *(name for _, name in CLEANED)]


@pytest.fixture
def relabelled(tmp_path: Path) -> Path:
    """A map with a class of every name, by a legend that was written and read."""
    labels = np.arange(1, len(NAMES) + 1, dtype=np.uint8)[None].repeat(4, axis=0)
    classes = tuple(LegendClass(value=n, name=name, clusters=(n,)) for n, name in enumerate(NAMES, 1))
    hostile = tmp_path / "l <b> \x01\n.yaml"
    hostile.write_text(to_yaml(Legend(classes=classes, made={"by": "hand\x1b", "x": "\ud800"})), encoding="utf-8")
    relabel(write_map(tmp_path / "clusters.tif", labels), hostile, tmp_path / "m.tif")
    return tmp_path / "m.tif"


@pytest.mark.parametrize("name", NAMES)
def test_a_legend_gives_back_what_it_was_given(name: str) -> None:
    made = Legend(classes=(LegendClass(value=1, name=name, clusters=(1,)),), made={"reference": name})
    text = to_yaml(made)
    text.encode("utf-8")
    assert from_yaml(text) == made
    assert made.classes[0].name == "".join(BAD if "\ud800" <= letter <= "\udfff" else letter for letter in name)


def test_names_come_back_from_the_map(relabelled: Path) -> None:
    with LabelMap(relabelled) as opened:
        assert [opened.names[value] for value in range(1, len(NAMES) + 1)] == BACK


def test_the_style_and_the_table_hold_the_same_names(relabelled: Path) -> None:
    style = ET.parse(relabelled.with_suffix(".qml"))
    assert [entry.get("label") for entry in style.iter("paletteEntry")] == BACK
    rows = ET.parse(relabelled.with_name("m.tif.aux.xml")).iter("Row")
    assert [row.findall("F")[1].text for row in rows] == BACK


def test_another_legend_takes_them_over(relabelled: Path, tmp_path: Path) -> None:
    legend(tmp_path / "clusters.tif", tmp_path / "again.yaml", like=relabelled)
    assert [item.name for item in read_legend(tmp_path / "again.yaml").classes] == [name.strip() for name in BACK]
    legend(tmp_path / "clusters.tif", tmp_path / "r.yaml", reference=relabelled)
    assert [item.name for item in read_legend(tmp_path / "r.yaml").classes] == [name.strip() for name in BACK]


def test_tags_of_hostile_files_can_be_read(relabelled: Path) -> None:
    with rasterio.open(relabelled) as opened:
        assert opened.tags()["legend"] == f"l <b> {BAD}\n.yaml" and opened.tags()["legend_by"] == f"hand{BAD}"


@pytest.mark.skipif(shutil.which("gdalinfo") is None, reason="gdalinfo (Debian: gdal-bin) is not installed")
def test_gdal_reads_them(relabelled: Path) -> None:
    done = subprocess.run(["gdalinfo", "-json", relabelled], capture_output=True, timeout=60, check=True)
    told = json.loads(done.stdout.decode())
    rows = told["rat"]["row"]
    assert [row["f"][1] for row in rows] == BACK
    text = subprocess.run(["gdalinfo", relabelled], capture_output=True, timeout=60, check=True).stdout.decode()
    for value, name in enumerate(BACK, 1):
        assert f"{value:3}: {name}\n" in text


def test_what_is_said_is_one_line_without_control_characters(relabelled: Path, tmp_path: Path, rsseg: Run) -> None:
    code, text, err = rsseg("legend", tmp_path / "clusters.tif", "--like", relabelled, "-o", tmp_path / "a.yaml")
    assert code == 0 and err == "" and "\x1b" not in text and "\x00" not in text
    assert all(len(line) < 200 for line in text.splitlines() if "clusters.tif" not in line)
    assert in_a_line("a\nb\x1b[31m \u202ec", 60) == "a b [31m c" and in_a_line("x" * 99) == "x" * 57 + "..."


@pytest.mark.parametrize("verb", ["vectorize", "consensus", "sample", "evaluate"])
def test_every_answer_is_said_so(relabelled: Path, tmp_path: Path, rsseg: Run, verb: str) -> None:
    plain = write_map(tmp_path / "plain.tif", np.full((4, len(NAMES)), 1, np.uint8))
    words = {
        "vectorize": (relabelled, "-o", tmp_path / "v.gpkg", "--mmu-pixels", 1),
        "consensus": (relabelled, plain, "-o", tmp_path / "c"),
        "sample": (relabelled, "-o", tmp_path / "s.csv"),
        "evaluate": (plain, "--reference", relabelled),
    }[verb]
    code, text, err = rsseg(verb, *words)
    assert code == 0, err
    assert all(line.isprintable() for line in text.split("\n")) and "x" * 300 not in text and "<script>" in text


def test_a_name_twice_is_said_in_one_line(tmp_path: Path) -> None:
    from rsseg.errors import InputError

    name = json.dumps("two\nlines\x1b " + "x" * 300)
    text = f"classes:\n- {{value: 1, name: {name}, clusters: [1]}}\n- {{value: 2, name: {name}, clusters: [2]}}\n"
    with pytest.raises(InputError) as refused:
        from_yaml(text)
    assert "\n" not in str(refused.value) and "\x1b" not in str(refused.value) and len(str(refused.value)) < 300


def test_a_model_carries_them(tmp_path: Path) -> None:
    classes = tuple(LegendClass(value=n, name=name, clusters=(n,)) for n, name in enumerate(NAMES, 1))
    (tmp_path / "l.yaml").write_text(to_yaml(Legend(classes=classes)), encoding="utf-8")
    tiny_model(patch=4, classes=len(NAMES)).save(tmp_path / "m.safetensors")
    name_model(tmp_path / "m.safetensors", tmp_path / "l.yaml", tmp_path / "n.safetensors")
    found = naming_of(load_model(tmp_path / "n.safetensors"), tmp_path / "n.safetensors")
    assert [item.name for item in found.classes] == [item.name for item in classes]
