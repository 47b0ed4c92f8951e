"""Superpixels: small connected regions of similar pixels, on which labels are made equal while a network learns."""

import warnings
from typing import Literal

import numpy as np
from numpy.typing import NDArray

SuperpixelKind = Literal["slic", "felzenszwalb"]

COMPACTNESS = 0.3
"""Where SLIC explains most of the variance per superpixel on a 5 m and a 10 m scene; skimage's 10 is for Lab."""

TAILS = (2.0, 98.0)
"""Percentiles of a band that become 0 and 1."""


def superpixels(
    pixels: NDArray,
    valid: NDArray[np.bool_],
    *,
    kind: SuperpixelKind = "slic",
    size: int = 12,
    compactness: float = COMPACTNESS,
) -> NDArray[np.int32]:
    """Cut a tile into regions, numbered from 0 without gaps: (h, w) int32. The same input gives the same regions.

    ``pixels``: (bands, h, w) in any unit, since each band is stretched over the tile's valid pixels; ``valid``: (h, w)
    bool; invalid pixels (NaN too) form one region of their own, the last. ``size``: the side in pixels that a region
    has on average; ``compactness``, of slic only: the difference in every band, of a stretched band's range, that
    weighs as much as a distance of ``size``; smaller ones follow edges more closely. felzenszwalb's regions are of
    uneven size.

    slic: Achanta et al., 2012. felzenszwalb: Felzenszwalb and Huttenlocher, 2004, as SEEK uses it.
    """
    valid = valid & np.isfinite(pixels).all(axis=0)
    if not valid.any():
        return np.zeros(valid.shape, np.int32)
    image = _stretched(pixels, valid)
    regions = _slic(image, size, compactness) if kind == "slic" else _felzenszwalb(image, size)
    regions[~valid] = regions.max() + 1
    return contiguous(regions)


def contiguous(labels: NDArray) -> NDArray[np.int32]:
    """The same regions numbered 0, 1, 2 ... in the order of their ids; ``labels``: (h, w) of any integers."""
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int32)


def _stretched(pixels: NDArray, valid: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Bands last (h, w, bands), in 0 to 1; invalid pixels are the middle of their band."""
    seen = pixels[:, valid].astype(np.float64)
    low, high = np.percentile(seen, TAILS, axis=1)
    spread = np.where(high > low, high - low, 1.0)
    image = np.empty((*valid.shape, len(pixels)))
    image[~valid] = 0.5
    image[valid] = np.clip((seen.T - low) / spread, 0.0, 1.0)
    return image


def _slic(image: NDArray[np.float64], size: int, compactness: float) -> NDArray[np.int64]:
    """SLIC in the bands themselves (not in Lab, which three bands would be taken to by default).

    skimage's own mask places its centres by k-means and takes seconds a tile, so the mask is cut out afterwards.
    """
    from skimage.segmentation import slic

    height, width, bands = image.shape
    extent = image.max() - image.min()  # to which skimage scales, whatever it is
    between = compactness * bands**0.5 / (extent if extent > 0 else 1.0)
    return slic(
        image,
        n_segments=max(1, round(height * width / size**2)),
        compactness=between,
        convert2lab=False,
        start_label=0,
        channel_axis=-1,
    )


def _felzenszwalb(image: NDArray[np.float64], size: int) -> NDArray[np.int64]:
    """Graph-based regions; none is smaller than a quarter of the area asked for, which brings the mean close to it."""
    from skimage.segmentation import felzenszwalb

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # that more than three bands are bands
        return felzenszwalb(image, scale=50, sigma=0.5, min_size=max(1, size**2 // 4), channel_axis=-1)
