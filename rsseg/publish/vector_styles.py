"""QGIS's style of polygons by class: as a ``.qml`` beside a file, or as a row of a GeoPackage's ``layer_styles``."""

from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree as ET

from rsseg.publish.gis import clean, xml_text
from rsseg.publish.ogr import DATE
from rsseg.publish.palette import LabelClass


def polygon_qml(classes: Sequence[LabelClass], field: str = "value") -> str:
    """A style that fills polygons with the colour of their class and lists ``classes`` by name.

    ``field`` holds the class's value, so that names may be of any text.
    """
    root = ET.Element("qgis", version="3.28", styleCategories="Symbology")
    renderer = ET.SubElement(
        root,
        "renderer-v2",
        {"type": "categorizedSymbol", "attr": field, "symbollevels": "0", "enableorderby": "0", "forceraster": "0"},
    )
    categories = ET.SubElement(renderer, "categories")
    symbols = ET.SubElement(renderer, "symbols")
    for number, item in enumerate(classes):
        entry = {"value": str(item.value), "symbol": str(number), "label": clean(item.name), "render": "true"}
        ET.SubElement(categories, "category", entry, type="long")
        symbols.append(_fill(str(number), item))
    return xml_text(root)


def _fill(name: str, item: LabelClass) -> ET.Element:
    symbol = ET.Element("symbol", {"type": "fill", "name": name, "alpha": "1", "clip_to_extent": "1", "force_rhr": "0"})
    layer = ET.SubElement(symbol, "layer", {"class": "SimpleFill", "enabled": "1", "pass": "0", "locked": "0"})
    options = ET.SubElement(layer, "Option", type="Map")
    # outlines in the colour of the fill: without any, hairlines of background shine through between neighbours
    colour = ",".join(map(str, (*item.rgb, 255)))
    settings = {
        "color": colour,
        "outline_color": colour,
        "outline_style": "solid",
        "outline_width": "0.1",
        "outline_width_unit": "MM",
        "style": "solid",
    }
    for key, value in settings.items():
        ET.SubElement(options, "Option", {"type": "QString", "name": key, "value": value})
    return symbol


def layer_style(layer: str, geometry: str, classes: Sequence[LabelClass]) -> dict[str, Any]:
    """The row of ``layer_styles`` that QGIS opens a layer with, apart from its number."""
    return {
        "f_table_catalog": "",
        "f_table_schema": "",
        "f_table_name": layer,
        "f_geometry_column": geometry,
        "styleName": "classes",
        "styleQML": polygon_qml(classes),
        "styleSLD": "",
        "useAsDefault": True,
        "description": "classes of the label map",
        "owner": "",
        "ui": "",
        # equal inputs give equal files: no time of writing
        "update_time": f"{DATE}T00:00:00Z",
    }
