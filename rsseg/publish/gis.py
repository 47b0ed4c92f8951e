"""What a GIS reads beside a label map: names and attribute table (``.aux.xml``), QGIS style (``.qml``)."""

import re
from collections.abc import Iterable, Mapping, Sequence
from xml.etree import ElementTree as ET

from rsseg.publish.palette import LabelClass

# gdal.h: field types and usages of a raster attribute table
_INTEGER, _REAL, _TEXT = 0, 1, 2
_COUNT, _NAME, _VALUE, _RED, _GREEN, _BLUE = 1, 2, 5, 6, 7, 8

# XML 1.0 has no way to write these at all, escaped or not
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def aux_xml(classes: Sequence[LabelClass], counts: Mapping[int, int]) -> str:
    """GDAL's sidecar: category names (index = value, 0 is no data) and an attribute table of all classes.

    ``counts`` holds the pixels of each value; a value it lacks has none.
    """
    root = ET.Element("PAMDataset")
    band = ET.SubElement(root, "PAMRasterBand", band="1")
    names = ET.SubElement(band, "CategoryNames")
    by_value = {item.value: item.name for item in classes}
    for value in range(max(by_value, default=0) + 1):
        ET.SubElement(names, "Category").text = clean("no data" if value == 0 else by_value.get(value, ""))
    band.append(_attribute_table(classes, counts))
    return xml_text(root)


def _attribute_table(classes: Iterable[LabelClass], counts: Mapping[int, int]) -> ET.Element:
    # without a value field of usage MinMax GDAL does not take it for a table
    columns = (
        ("value", _INTEGER, _VALUE),
        ("name", _TEXT, _NAME),
        ("count", _REAL, _COUNT),  # real: a 32-bit integer field ends at 2.1e9 pixels
        ("red", _INTEGER, _RED),
        ("green", _INTEGER, _GREEN),
        ("blue", _INTEGER, _BLUE),
    )
    table = ET.Element("GDALRasterAttributeTable", tableType="thematic")
    for index, (name, kind, usage) in enumerate(columns):
        field = ET.SubElement(table, "FieldDefn", index=str(index))
        ET.SubElement(field, "Name").text = name
        ET.SubElement(field, "Type").text = str(kind)
        ET.SubElement(field, "Usage").text = str(usage)
    for index, item in enumerate(classes):
        row = ET.SubElement(table, "Row", index=str(index))
        for cell in (item.value, item.name, counts.get(item.value, 0), *item.rgb):
            ET.SubElement(row, "F").text = clean(str(cell))
    return table


def qml(classes: Iterable[LabelClass]) -> str:
    """QGIS's default style of a label map: a paletted renderer that lists ``classes``."""
    root = ET.Element("qgis", version="3.28", styleCategories="Symbology")
    pipe = ET.SubElement(root, "pipe")
    renderer = ET.SubElement(pipe, "rasterrenderer", type="paletted", band="1", opacity="1", alphaBand="-1")
    palette = ET.SubElement(renderer, "colorPalette")
    for item in classes:
        entry = {"value": str(item.value), "color": item.colour, "label": clean(item.name), "alpha": "255"}
        ET.SubElement(palette, "paletteEntry", entry)
    return xml_text(root)


def clean(text: str) -> str:
    """A text as XML gives it back: line ends are "\\n", and what it has no way to write becomes U+FFFD."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n").replace("\r", "\n"))


def xml_text(root: ET.Element) -> str:
    """An element as an indented text."""
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"
