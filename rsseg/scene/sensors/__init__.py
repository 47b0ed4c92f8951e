"""One file a product family: recognise a product on disk and say where its bands and constants are."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Literal

from rsseg.errors import InputError, UsageError
from rsseg.scene.radiometry import Calibration
from rsseg.scene.sensors import landsat, resourcesat
from rsseg.scene.sensors.container import ARCHIVES, Container
from rsseg.scene.sensors.generic import ORTHO_KIT, open_generic
from rsseg.scene.sensors.landsat import open_landsat
from rsseg.scene.sensors.resourcesat import open_resourcesat
from rsseg.scene.shown import shown
from rsseg.scene.source import Scene
from rsseg.scene.trust import kind_of

DEFAULT = Calibration()


def open_scene(
    path: Path,
    *,
    bands: Sequence[str] | None = None,
    scale: Sequence[float] | None = None,
    calibration: Calibration = DEFAULT,
    fill: Literal["all", "any"] | None = None,
    aoi: Path | None = None,
) -> Scene:
    """Recognise what lies at ``path``: a product (folder, .zip, .tar or its metadata file) or a raster.

    Args:
        path: what to open; archives are read in place.
        bands: names, sensor codes ("B3") or numbers from 1, in any order; by default all of a raster, and the
            reflective bands on the main grid of a product.
        scale: (scale,) or (scale, offset) that turns a raster's values to reflectance, whatever it says itself.
        calibration: the choices for products of digital numbers.
        fill: which pixels of a product hold no data: all bands 0, or any band 0; by default as its supplier defines it.
        aoi: polygons, the part of the scene to open: see ``scene.aoi``.

    Raises: InputError if it is missing, damaged or of an unknown kind; UsageError for options that do not fit it;
    GridError if the polygons do not.
    """
    scene = _open_whole(path, bands, scale, calibration, fill)
    if aoi is None:
        return scene
    from rsseg.scene.aoi import within  # geopandas takes half a second, which other scenes need not wait for

    return within(scene, aoi)


def _open_whole(
    path: Path,
    bands: Sequence[str] | None,
    scale: Sequence[float] | None,
    calibration: Calibration,
    fill: Literal["all", "any"] | None,
) -> Scene:
    _check_there(path)
    if path.is_file() and _is_raster(path):
        return _open_raster(path, bands, scale, calibration, fill)
    if scale is not None:
        raise UsageError(f"{path} is a product with its own calibration; --scale is for plain rasters")
    container, meta_name = _find_product(path)
    opener = open_resourcesat if _is(resourcesat, meta_name) else open_landsat
    scene = opener(container, meta_name, bands=bands, calibration=calibration, fill=fill)
    # a folder alone would not say which of its Landsat products it is
    return replace(scene, path=path) if path.is_file() and _is(landsat, path.name) else scene


def read_tags(path: Path) -> Mapping[str, str]:
    """What a product's metadata, or a raster, says of itself: the tags of ``open_scene``, without opening any band.

    Raises: InputError.
    """
    _check_there(path)
    if path.is_file() and _is_raster(path):
        return open_generic(path).full_tags
    container, meta_name = _find_product(path)
    family = resourcesat if _is(resourcesat, meta_name) else landsat
    return family.read_tags(container, meta_name)


def _check_there(path: Path) -> None:
    """A folder, or a regular file: a pipe would hold whoever opens it.

    Raises: InputError.
    """
    kind = kind_of(path)
    if kind == "missing":
        raise InputError(f"{shown(path, 500)} does not exist")
    if kind not in (None, "a folder"):
        raise InputError(f"{shown(path, 500)} is {kind}, which is no scene")


def is_metadata(name: str) -> bool:
    """Whether a file of this name is the metadata of a product."""
    return _is(resourcesat, name) or _is(landsat, name)


def _is_raster(path: Path) -> bool:
    return not (path.suffix.lower() in ARCHIVES or is_metadata(path.name))


def _is(family: object, name: str) -> bool:
    return bool(family.META.search(PurePosixPath(name).name))  # type: ignore[attr-defined]


def _open_raster(
    path: Path,
    bands: Sequence[str] | None,
    scale: Sequence[float] | None,
    calibration: Calibration,
    fill: Literal["all", "any"] | None,
) -> Scene:
    if ORTHO_KIT.search(path.name):
        raise InputError(f"{path} is of an ortho-kit product (RPC), which lies on no map grid; orthorectify it first")
    if calibration != DEFAULT:
        raise UsageError(f"{path} is a plain raster; calibration choices need the product with its metadata")
    if fill is not None:
        raise UsageError(f"{path} is a plain raster, whose own nodata value or mask counts; --fill is for products")
    return open_generic(path, scale=scale).select(bands)


def _find_product(path: Path) -> tuple[Container, str]:
    """The container and the one metadata file in it.

    Raises: InputError if there is none, or several products.
    """
    if path.is_file() and path.suffix.lower() not in ARCHIVES:
        # a folder may hold thousands of Landsat products, whose files are named alike
        stem = landsat.META.sub("", path.name)
        own = Container.of(path.parent, stem) if stem != path.name else None
        return (own if own and len(own.names) > 1 else Container.of(path.parent)), path.name
    container = Container.of(path)
    metas = _metas(container)
    if not metas:
        raise InputError(
            f"{path} holds neither BAND_META.txt (Resourcesat) nor *_MTL.txt (Landsat); name a product or a raster"
        )
    if len(metas) > 1:
        some = ", ".join(shown(name) for name in metas[:3]) + (", ..." if len(metas) > 3 else "")
        raise InputError(f"{path} holds {len(metas)} products ({some}); name one of them")
    return container, metas[0]


def _metas(container: Container) -> list[str]:
    """The metadata files in a container, one a product."""
    return container.matching(resourcesat.META) + _one_form(container.matching(landsat.META))


def _one_form(names: list[str]) -> list[str]:
    """One metadata file a product: the text form where there is JSON beside it."""
    by_stem: dict[str, str] = {}
    for name in sorted(names, key=lambda name: (name.lower().endswith(".txt"), name)):
        by_stem[landsat.META.sub("", name).casefold()] = name
    return sorted(by_stem.values())
