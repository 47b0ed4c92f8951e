"""Channels of a pixel's own bands."""

import numpy as np
import pytest
from channelled import fitted, gappy_scene, physical, whole
from tiny import scene_of

from rsseg.errors import UsageError
from rsseg.learn.channels.spectral import Components, normalised_difference


def test_bands_are_physical_values() -> None:
    scene = gappy_scene()
    found, valid = whole(scene, fitted(scene, "bands", "brightness"))
    wanted = np.where(valid, physical(scene), 0)
    assert np.allclose(found[:3], wanted, atol=1e-7)
    assert np.allclose(found[3], wanted.mean(axis=0), atol=1e-7)


def test_indices_are_normalised_differences_of_named_bands() -> None:
    scene = gappy_scene()
    channels = fitted(scene, "indices")
    (ndvi, ndwi), valid = whole(scene, channels)
    green, red, nir = np.where(valid, physical(scene), 1)
    assert channels.names == ("ndvi", "ndwi")
    assert np.allclose(ndvi[valid], ((nir - red) / (nir + red))[valid], atol=1e-6)
    assert np.allclose(ndwi[valid], ((green - nir) / (green + nir))[valid], atol=1e-6)


def test_indices_stay_within_one_where_reflectance_is_not_positive() -> None:
    first = np.array([0.4, 0.3, -0.2, 0.0, -0.1], np.float32)
    second = np.array([0.2, -0.1, 0.1, 0.0, 0.3], np.float32)
    assert normalised_difference(first, second) == pytest.approx([1 / 3, 1.0, 0.0, 0.0, -1.0])


@pytest.mark.parametrize(
    ("bands", "names"),
    [(("NIR", "x", "Red"), ("ndvi",)), (("x", "green", "nir"), ("ndwi",)), (("green", "red", "nir"), ("ndvi", "ndwi"))],
)
def test_the_indices_that_can_be_made_are_made(bands: tuple[str, ...], names: tuple[str, ...]) -> None:
    assert fitted(gappy_scene(), "indices", bands=bands).names == names


def test_indices_without_their_bands_name_both_sides() -> None:
    with pytest.raises(UsageError, match=r"nir and red.*green and nir.*are band1, band2, nir"):
        fitted(gappy_scene(), "indices", bands=("band1", "band2", "nir"))


def test_components_do_not_correlate_and_have_unit_variance() -> None:
    scene = gappy_scene()
    channels = fitted(scene, "components")
    found, valid = whole(scene, channels)
    seen = found[:, valid].astype(np.float64)
    assert np.allclose(seen.mean(axis=1), 0, atol=1e-4)
    assert np.allclose(np.cov(seen, bias=True), np.eye(3), atol=1e-3)
    assert channels.names == ("component1", "component2", "component3")
    # the first one is what the bands have in common, and counts as positive
    standard = [(band - band[valid].mean()) / band[valid].std() for band in physical(scene)]
    covariances = [np.mean(band[valid] * found[0][valid]) for band in standard]
    assert max(covariances, key=abs) > 0.8


def test_bands_that_repeat_or_are_constant_give_components_of_zero() -> None:
    band = np.random.default_rng(0).normal(0.2, 0.05, (30, 30))
    scene = scene_of(np.stack([band, 3 * band, np.full_like(band, 0.7)]))
    channels = fitted(scene, "components")
    found, _ = whole(scene, channels)
    assert isinstance(channels.parts[0], Components)
    assert found[0].std() == pytest.approx(1.0, abs=1e-4)
    assert not found[1:].any()
