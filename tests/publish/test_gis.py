from xml.etree import ElementTree as ET

import pytest

from rsseg.publish.gis import aux_xml, qml
from rsseg.publish.palette import LabelClass

HOSTILE = ["\"q' & <script>alert(1)</script>", "two\nlines\tand a tab", "水域 воды ماء", "x" * 300, "]]>&amp;", ""]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_survive(name: str) -> None:
    item = LabelClass(2, name, "#102030")
    style = ET.fromstring(qml([item])).find("pipe/rasterrenderer/colorPalette/paletteEntry")
    assert style is not None
    assert style.attrib == {"value": "2", "color": "#102030", "label": name, "alpha": "255"}
    root = ET.fromstring(aux_xml([item], {2: 7}))
    categories = [entry.text or "" for entry in root.iter("Category")]
    assert categories == ["no data", "", name]
    row = [cell.text or "" for cell in root.iter("F")]
    assert row == ["2", name, "7", "16", "32", "48"]


def test_characters_that_xml_cannot_hold_are_replaced() -> None:
    text = qml([LabelClass(1, "a\x00b\x1fc\ud800", "#000000")])
    entry = next(ET.fromstring(text).iter("paletteEntry"))
    assert entry.get("label") == "a�b�c�"
    text.encode("utf-8")


def test_the_table_has_the_usages_that_gdal_needs() -> None:
    root = ET.fromstring(aux_xml([LabelClass(1, "a", "#ffffff")], {1: 3_000_000_000}))
    fields = [tuple(field.findtext(key) for key in ("Name", "Type", "Usage")) for field in root.iter("FieldDefn")]
    assert fields[:3] == [("value", "0", "5"), ("name", "2", "2"), ("count", "1", "1")]
    assert [field[2] for field in fields[3:]] == ["6", "7", "8"]
    assert "3000000000" in [cell.text for cell in root.iter("F")]
