"""Vector files that name other files or services: refused before GDAL opens them."""

import os
import socket
import zipfile
from pathlib import Path

import geopandas
import pytest
import shapely

from rsseg.errors import InputError
from rsseg.scene.polygons import layer_of
from rsseg.scene.vectors import check_vector


def polygons(path: Path, driver: str) -> Path:
    frame = geopandas.GeoDataFrame({"class": ["a"]}, geometry=[shapely.box(0, 0, 1, 1)], crs="EPSG:4326")
    frame.to_file(path, driver=driver)
    return path


@pytest.mark.parametrize(
    ("name", "driver"),
    [
        ("a.gpkg", "GPKG"),
        ("a.geojson", "GeoJSON"),
        ("a.shp", "ESRI Shapefile"),
        ("a.fgb", "FlatGeobuf"),
        ("a.kml", "KML"),
    ],
)
def test_usual_vector_files_are_read(tmp_path: Path, name: str, driver: str) -> None:
    try:
        path = polygons(tmp_path / name, driver)
    except Exception as problem:  # a GDAL without this driver
        pytest.skip(str(problem))
    assert layer_of(path)


def test_a_zipped_shapefile_is_read(tmp_path: Path) -> None:
    polygons(tmp_path / "a.shp", "ESRI Shapefile")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for suffix in ("shp", "shx", "dbf", "prj"):
            archive.write(tmp_path / f"a.{suffix}", f"a.{suffix}")
    assert layer_of(tmp_path / "a.zip") == "a"


VIRTUAL = '<OGRVRTDataSource><OGRVRTLayer name="a"><SrcDataSource>http://ADDRESS/a</SrcDataSource></OGRVRTLayer>'
TEXTS = {
    "virtual": VIRTUAL + "</OGRVRTDataSource>",
    "virtual in json": '{"type": "FeatureCollection", "name": "' + VIRTUAL.replace('"', "'") + '", "features": []}',
    "schema": '<?xml version="1.0"?><c:C xmlns:c="http://ADDRESS/c" xmlns:gml="http://www.opengis.net/gml" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="http://ADDRESS/c http://ADDRESS/c.xsd">'
    "<gml:featureMember><c:f><c:g><gml:Point><gml:pos>1 2</gml:pos></gml:Point></c:g></c:f></gml:featureMember></c:C>",
    "service": "<OGRWFSDataSource><URL>http://ADDRESS/wfs</URL></OGRWFSDataSource>",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
@pytest.mark.parametrize("suffix", [".vrt", ".geojson", ".gml", ".zip"])
def test_files_that_name_others_are_refused_and_nothing_is_fetched(tmp_path: Path, text: str, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        content = text.replace("ADDRESS", f"127.0.0.1:{server.getsockname()[1]}")
        if suffix == ".zip":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("a.geojson", content)
        else:
            path.write_text(content)
        with pytest.raises(InputError, match=r"can name others.*save the polygons as a GeoPackage"):
            layer_of(path)
        with pytest.raises(TimeoutError):
            server.accept()


def test_pipes_and_empty_or_missing_files_are_told(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.gpkg")
    with pytest.raises(InputError, match="a pipe, socket or device, not a vector file"):
        check_vector(tmp_path / "a.gpkg")
    (tmp_path / "b.gpkg").touch()
    with pytest.raises(InputError, match="is empty"):
        check_vector(tmp_path / "b.gpkg")
    with pytest.raises(InputError, match="does not exist"):
        check_vector(tmp_path / "c.gpkg")
