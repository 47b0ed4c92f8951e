import numpy as np
import pytest
from pyproj import CRS, Geod

from rsseg.errors import GridError
from rsseg.scene.area import known_pixel_areas, pixel_areas, pixel_metres
from rsseg.scene.grid import Grid

WGS84 = CRS.from_epsg(4326).to_wkt()


def test_a_global_grid_has_the_area_of_the_ellipsoid() -> None:
    areas = pixel_areas(Grid(180, 360, (1, 0, -180, 0, -1, 90), WGS84))
    assert areas.sum() * 360 == pytest.approx(510065621724078.8, rel=1e-12)
    assert np.allclose(areas, areas[::-1])


@pytest.mark.parametrize("latitude", [-71.0, 0.0, 22.5, 60.0])
def test_a_cell_is_as_large_as_its_polygon_on_the_ellipsoid(latitude: float) -> None:
    side = 0.01
    areas = pixel_areas(Grid(2, 3, (side, 0, 88, 0, -side, latitude), WGS84))
    along = np.linspace(88, 88 + side, 200)  # parallels are no geodesics
    lower = latitude - side
    geod = Geod(ellps="WGS84")
    area, _ = geod.polygon_area_perimeter([*along, *along[::-1]], [*np.full(200, lower), *np.full(200, latitude)])
    assert areas[0] == pytest.approx(abs(area), rel=1e-7)


def test_small_pixels_keep_their_digits() -> None:
    side = 4.5e-5
    fine = pixel_areas(Grid(1000, 1, (side, 0, 88, 0, -side, 22.0), WGS84))
    coarse = pixel_areas(Grid(1, 1, (side * 1000, 0, 88, 0, -side * 1000, 22.0), WGS84))
    assert fine.sum() * 1000 == pytest.approx(coarse[0], rel=1e-9)
    assert np.ptp(fine) / fine.mean() < 1e-3 and (np.diff(fine) > 0).all()  # larger to the south


def test_projected_pixels_are_the_plane_s_in_square_metres() -> None:
    utm, feet = CRS.from_epsg(32645).to_wkt(), CRS.from_epsg(2264).to_wkt()
    assert pixel_areas(Grid(3, 2, (5, 0, 0, 0, -5, 0), utm)).tolist() == [25, 25, 25]
    assert pixel_areas(Grid(1, 2, (3, 4, 0, -4, 3, 0), utm)).tolist() == [25]
    assert pixel_areas(Grid(1, 2, (10, 0, 0, 0, -10, 0), feet))[0] == pytest.approx(100 * (1200 / 3937) ** 2)


def test_rows_over_the_pole_have_no_ground() -> None:
    areas = pixel_areas(Grid(3, 4, (1, 0, 0, 0, -1, 91), WGS84))
    assert areas[0] == 0 and areas[2] > areas[1] > 0


def test_what_has_no_area_is_refused() -> None:
    with pytest.raises(GridError, match="no CRS"):
        pixel_areas(Grid(2, 2))
    with pytest.raises(GridError, match="turned"):
        pixel_areas(Grid(2, 2, (1, 0.1, 0, 0.1, -1, 0), WGS84))


def test_nothing_is_known_without_a_crs_or_of_a_turned_geographic_grid() -> None:
    assert known_pixel_areas(Grid(2, 3)) is None
    assert known_pixel_areas(Grid(2, 3, (0.1, 0.01, 0, 0.01, -0.1, 0), WGS84)) is None
    straight = Grid(2, 3, (0.1, 0, 0, 0, -0.1, 0), WGS84)
    np.testing.assert_array_equal(known_pixel_areas(straight), pixel_areas(straight))


def test_sides_of_a_pixel_are_in_metres_whatever_the_unit() -> None:
    feet = CRS.from_epsg(2225).to_wkt()  # US survey feet
    assert pixel_metres(Grid(2, 3, (20, 0, 0, 0, -10, 0), feet)) == pytest.approx((10 * 1200 / 3937, 20 * 1200 / 3937))
    assert pixel_metres(Grid(2, 3, (1, 0, 0, 0, -1, 0), WGS84)) is None and pixel_metres(Grid(2, 3)) is None
