"""Superpixels: their numbering, their masks, and that they follow edges without losing their size."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rsseg.scene.superpixels import SuperpixelKind, contiguous, superpixels

KINDS = pytest.mark.parametrize("kind", ["slic", "felzenszwalb"])


def halves(height: int, width: int, bands: int = 3, noise: float = 0.05) -> NDArray[np.float32]:
    """A tile of two kinds of land, whose edge runs down at a slant."""
    rng = np.random.default_rng(0)
    rows, cols = np.mgrid[:height, :width]
    right = cols > width / 3 + 0.3 * rows
    return (right + rng.normal(0, noise, (bands, height, width))).astype(np.float32)


def everything(pixels: NDArray) -> NDArray[np.bool_]:
    return np.ones(pixels.shape[1:], bool)


def assert_numbered(regions: NDArray) -> None:
    assert regions.dtype == np.int32
    assert np.array_equal(np.unique(regions), np.arange(regions.max() + 1))


@KINDS
@pytest.mark.parametrize("shape", [(3, 1, 1), (1, 2, 3), (3, 5, 40), (4, 37, 61), (7, 8, 8)])
@pytest.mark.parametrize("size", [1, 4, 100])
def test_tiles_of_any_size_and_bands_are_numbered_from_zero(
    kind: SuperpixelKind, shape: tuple[int, int, int], size: int
) -> None:
    rng = np.random.default_rng(1)
    for pixels in (rng.normal(size=shape).astype(np.float32), np.full(shape, 7, np.float32)):
        regions = superpixels(pixels, everything(pixels), kind=kind, size=size)
        assert regions.shape == shape[1:]
        assert_numbered(regions)


@KINDS
@given(seed=st.integers(0, 50), share=st.floats(0, 1))
def test_invalid_pixels_never_share_a_region_with_valid_ones(kind: SuperpixelKind, seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    pixels = halves(24, 20)
    valid = rng.random((24, 20)) >= share
    pixels[1, rng.random((24, 20)) < 0.1] = np.nan
    usable = valid & ~np.isnan(pixels[1])
    regions = superpixels(pixels, valid, kind=kind, size=6)
    assert_numbered(regions)
    assert not set(regions[usable].tolist()) & set(regions[~usable].tolist())
    assert len(np.unique(regions[~usable])) <= 1


@KINDS
def test_what_invalid_pixels_hold_does_not_matter(kind: SuperpixelKind) -> None:
    pixels, valid = halves(40, 40), np.ones((40, 40), bool)
    valid[10:20, 5:30] = False
    other = pixels.copy()
    other[:, ~valid] = 1e6
    assert np.array_equal(superpixels(pixels, valid, kind=kind), superpixels(other, valid, kind=kind))


@KINDS
def test_the_unit_of_the_pixels_does_not_matter(kind: SuperpixelKind) -> None:
    pixels = halves(40, 40)
    stretched = pixels.astype(np.float64) * np.array([1024, 2, 0.25])[:, None, None]
    assert np.array_equal(
        superpixels(pixels, everything(pixels), kind=kind), superpixels(stretched, everything(pixels), kind=kind)
    )


@KINDS
def test_regions_follow_edges(kind: SuperpixelKind) -> None:
    """A grid of the same density cuts through both sides; superpixels hardly do."""
    pixels = halves(96, 96)
    regions = superpixels(pixels, everything(pixels), kind=kind, size=12)
    rows, cols = np.mgrid[:96, :96]
    right = cols > 32 + 0.3 * rows
    grid = rows // 12 * 8 + cols // 12

    def minority(segments: NDArray) -> int:
        total = np.bincount(segments.ravel())
        ones = np.bincount(segments.ravel(), right.ravel())
        return int(np.minimum(ones, total - ones).sum())

    assert minority(regions) < 0.1 * minority(grid)


@pytest.mark.parametrize("bands", [1, 3, 4])
@pytest.mark.parametrize("size", [5, 12])
def test_slic_regions_have_the_size_asked_for(bands: int, size: int) -> None:
    pixels = halves(96, 96, bands)
    regions = superpixels(pixels, everything(pixels), size=size)
    assert 0.8 * size < (regions.size / (regions.max() + 1)) ** 0.5 < 1.25 * size


def test_slic_regions_are_connected() -> None:
    from skimage.measure import label

    pixels = halves(64, 64, noise=0.3)
    regions = superpixels(pixels, everything(pixels), size=8)
    assert label(regions, connectivity=1, background=-1).max() == regions.max() + 1


def test_more_compact_regions_have_shorter_borders() -> None:
    pixels = halves(64, 64, noise=0.3)

    def border(compactness: float) -> int:
        regions = superpixels(pixels, everything(pixels), size=8, compactness=compactness)
        return int((np.diff(regions, axis=0) != 0).sum() + (np.diff(regions, axis=1) != 0).sum())

    assert border(3.0) < border(0.3)


@KINDS
def test_the_same_tile_gives_the_same_regions(kind: SuperpixelKind) -> None:
    pixels = halves(48, 48)
    first, second = (superpixels(pixels.copy(), everything(pixels), kind=kind) for _ in range(2))
    assert np.array_equal(first, second)


def test_a_tile_without_valid_pixels_is_one_region() -> None:
    pixels = np.full((3, 6, 7), np.nan, np.float32)
    assert np.array_equal(superpixels(pixels, np.zeros((6, 7), bool)), np.zeros((6, 7)))


def test_labels_of_any_raster_become_contiguous() -> None:
    labels = np.array([[40000, -3, -3], [7, 7, 40000]], np.int64)
    assert contiguous(labels).tolist() == [[2, 0, 0], [1, 1, 2]]
    assert_numbered(contiguous(labels))
