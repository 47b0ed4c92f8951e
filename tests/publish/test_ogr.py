"""Files of GDAL's vector drivers: errors in one sentence, settings as they were."""

from pathlib import Path

import geopandas
import pyogrio
import pytest

from rsseg.errors import RssegError
from rsseg.publish import ogr

OPTION = "OGR_CURRENT_DATE"


def test_an_error_is_one_sentence_and_the_date_is_as_before(tmp_path: Path) -> None:
    points = geopandas.GeoDataFrame({"a": [1]}, geometry=geopandas.points_from_xy([0], [0]), crs="EPSG:4326")
    pyogrio.set_gdal_config_options({OPTION: "2001-02-03T00:00:00.000Z"})
    try:
        with (
            pytest.raises(RssegError, match=r"^cannot write p\.gpkg \(GDAL: .*is the disk full\?$"),
            ogr.writing(tmp_path / "p.gpkg"),
        ):
            pyogrio.write_dataframe(points, tmp_path / "no folder" / "p.gpkg", driver="GPKG")
        assert pyogrio.get_gdal_config_option(OPTION) == "2001-02-03T00:00:00.000Z"
    finally:
        pyogrio.set_gdal_config_options({OPTION: None})
