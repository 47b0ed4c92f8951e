"""Small Resourcesat and Landsat products for tests, with the keys of real files.

The metadata of the two Resourcesat samples is public: IRS-R2 LISS-IV of 02-OCT-2018, IRS-R2A LISS-III of 30-SEP-2019.
"""

import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import rasterio
from rasterio.crs import CRS

LISS4_META = """ProductID= 202601121
SatID= IRS-R2
Sensor= L4FX
SubScene= A
GenAgency= NRSC
Path= 143
Row= 076
SegmentNumber= 
DateOfPass= 02-OCT-2018
NoOfBands= 3
BandNumbers= 234
BytesPerPixel= 2
BitsPerPixel= 10
GenerationDateTime= 14-JAN-2020 16:11:49
ProdCode= STUC00GTD
ProdType= GEOREF
MapProjection= UTM
StandardParallel1=
FalseNorthing=   0.000000
ZoneNo= 50
SceneCenterTime= 02-OCT-2018 02:28:28.043361
SunAziumthAtCenter=  97.798450
SunElevationAtCenter=  69.402093
IncidenceAngle=   0.000000
Tiltangle= -1.855530
DEMCorrection=YES
B2_Lmin=   0.0000
B3_Lmin=   0.0000
B4_Lmin=   0.0000
B2_Lmax=  52.0000
B3_Lmax=  47.0000
B4_Lmax=  31.5000
B2SaturationRadiance=  47.5614
B3SaturationRadiance=  45.6990
B4SaturationRadiance=  31.5000
Shift%= 0
SceneStartTime= 02-OCT-2018 02:28:21.564392535
GhostCorrection= FALSE
"""  # noqa: W291 - empty values end in a blank, as in the real file

LISS3_META = """ProductID= 203660011
SatID= IRS-R2A
Sensor= L3
SubScene= -NA-
GenAgency= NRSC
Path= 319
Row= 091
SegmentNumber= -NA-
DateOfPass= 30-SEP-2019
NoOfBands= 4
BandNumbers= 2345
BytesPerPixel= 2
BitsPerPixel= 10
ProdCode= STUC00GTD
SceneCenterTime= 30-SEP-2019 14:01:58.106127
SunAzimuthAtCenter=  59.889207
SunElevationAtCenter=  60.335428
DEMCorrection=YES
B2_Lmin=   0.0000
B3_Lmin=   0.0000
B4_Lmin=   0.0000
B5_Lmin=   0.0000
B2_Lmax=  52.0000
B3_Lmax=  47.0000
B4_Lmax=  31.5000
B5_Lmax=   7.5000
Shift%= 0
SceneStartTime= 30-SEP-2019 14:01:47.444000052
ViewAngle = 0.049276 
"""  # noqa: W291

LISS4_META_PLAIN = "".join(line for line in LISS4_META.splitlines(True) if "SaturationRadiance" not in line)
"""As newer products: no saturation radiance, so that nothing contradicts Lmax and nothing is warned of."""

UTM50 = CRS.from_epsg(32650)
LISS4_TRANSFORM = rasterio.Affine(5, 0, 768871.443084, 0, -5, -50110)


def with_keys(meta: str, **changes: str | None) -> str:
    """The metadata with keys replaced, added, or (None) removed."""
    lines = [line for line in meta.splitlines() if line.partition("=")[0].strip() not in changes]
    return "\n".join([*lines, *(f"{key}= {value}" for key, value in changes.items() if value is not None)]) + "\n"


def some_numbers(shape: tuple[int, int], bands: int = 3, seed: int = 0, fill: bool = True) -> np.ndarray:
    """Digital numbers (bands, H, W) uint16 in 1..1023, with fill (0 in all bands) in the upper left corner."""
    numbers = np.random.default_rng(seed).integers(1, 1024, (bands, *shape)).astype(np.uint16)
    if fill:
        numbers[:, : max(1, shape[0] // 4), : max(1, shape[1] // 4)] = 0
    return numbers


def write_band(
    path: Path,
    values: np.ndarray,
    *,
    crs: CRS | None = UTM50,
    transform: rasterio.Affine = LISS4_TRANSFORM,
    **options: object,
) -> None:
    """One band as an uncompressed GeoTIFF with one-row strips, as suppliers write it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = values.shape
    profile = {"height": height, "width": width, "count": 1, "dtype": values.dtype.name, "crs": crs, **options}
    with rasterio.open(path, "w", driver="GTiff", blockysize=1, transform=transform, **profile) as dataset:
        dataset.write(values, 1)


def make_liss4(
    folder: Path,
    *,
    shape: tuple[int, int] = (64, 80),
    numbers: np.ndarray | None = None,
    meta: str | None = None,
    bands: Sequence[int] = (2, 3, 4),
    meta_name: str = "BAND_META.txt",
    seed: int = 0,
) -> Path:
    """Write a product of digital numbers (bands, H, W) into ``folder`` and return it.

    The default metadata has no saturation radiance; ``LISS4_META`` has it, and warns.
    """
    values = some_numbers(shape, len(bands), seed) if numbers is None else numbers
    folder.mkdir(parents=True, exist_ok=True)
    (folder / meta_name).write_text(LISS4_META_PLAIN if meta is None else meta)
    for number, band in zip(bands, values, strict=True):
        write_band(folder / f"BAND{number}.tif", band)
    return folder


def make_liss3(folder: Path, *, shape: tuple[int, int] = (64, 80), numbers: np.ndarray | None = None) -> Path:
    """Like ``make_liss4`` for LISS-III with its fourth band."""
    values = some_numbers(shape, 4) if numbers is None else numbers
    return make_liss4(folder, numbers=values, meta=LISS3_META, bands=(2, 3, 4, 5))


def zipped(folder: Path, target: Path, inside: str = "") -> Path:
    """Put a folder's files into a .zip below the path ``inside``."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, f"{inside}/{path.relative_to(folder)}" if inside else path.relative_to(folder))
    return target


SUN_ELEVATION = 52.12893938


def landsat_mtl(
    *, collection: int = 2, satellite: int = 8, level: str = "L1TP", elevation: float = SUN_ELEVATION, **keys: str
) -> str:
    """The MTL text of a small product in the layout of Collection 1 or 2; ``keys`` are added to the rescaling group."""
    numbers = range(1, 10) if satellite >= 8 else (1, 2, 3, 4, 5, 7)
    files = {f"FILE_NAME_BAND_{n}": f'"SCENE_B{n}.TIF"' for n in numbers}
    sensor = {8: "OLI_TIRS", 9: "OLI_TIRS", 7: "ETM", 5: "TM", 4: "TM"}[satellite]
    image = {"SPACECRAFT_ID": f'"LANDSAT_{satellite}"', "SENSOR_ID": f'"{sensor}"', "DATE_ACQUIRED": "2014-10-22"}
    image["SCENE_CENTER_TIME"] = '"04:37:48.7052949Z"'
    sun = {"SUN_ELEVATION": str(elevation), "EARTH_SUN_DISTANCE": "0.9953272"}
    rescaling = {f"REFLECTANCE_MULT_BAND_{n}": "2.0000E-05" for n in numbers}
    rescaling |= {f"REFLECTANCE_ADD_BAND_{n}": "-0.100000" for n in numbers}
    rescaling |= {f"RADIANCE_MULT_BAND_{n}": "1.1466E-02" for n in numbers}
    rescaling |= {f"RADIANCE_ADD_BAND_{n}": "-57.32959" for n in numbers}
    rescaling |= keys
    if collection == 1:
        groups = {"PRODUCT_METADATA": {**files, **image}, "IMAGE_ATTRIBUTES": sun, "RADIOMETRIC_RESCALING": rescaling}
        return _odl("L1_METADATA_FILE", groups)
    contents = {"LANDSAT_PRODUCT_ID": '"LC08_TEST"', "PROCESSING_LEVEL": f'"{level}"', **files}
    groups = {"PRODUCT_CONTENTS": contents, "IMAGE_ATTRIBUTES": {**image, **sun}}
    if level.startswith("L2"):
        surface = {f"REFLECTANCE_MULT_BAND_{n}": "2.75e-05" for n in numbers}
        surface |= {f"REFLECTANCE_ADD_BAND_{n}": "-0.2" for n in numbers}
        groups["LEVEL2_SURFACE_REFLECTANCE_PARAMETERS"] = surface
        first = {f"FILE_NAME_BAND_{n}": f'"LEVEL1_B{n}.TIF"' for n in numbers}
        groups["LEVEL1_PROCESSING_RECORD"] = {"PROCESSING_LEVEL": '"L1TP"', **first}
    groups["LEVEL1_RADIOMETRIC_RESCALING"] = rescaling
    return _odl("LANDSAT_METADATA_FILE", groups)


def _odl(root: str, groups: Mapping[str, Mapping[str, str]]) -> str:
    lines = [f"GROUP = {root}"]
    for name, keys in groups.items():
        lines += [
            f"  GROUP = {name}",
            *(f"    {key} = {value}" for key, value in keys.items()),
            f"  END_GROUP = {name}",
        ]
    return "\n".join([*lines, f"END_GROUP = {root}", "END"]) + "\n"


def make_landsat(
    folder: Path,
    *,
    shape: tuple[int, int] = (40, 50),
    numbers: Mapping[int, np.ndarray] | None = None,
    bands: Sequence[int] = (3, 4, 5),
    mtl: str | None = None,
) -> Path:
    """Write a Landsat product: ``numbers`` is band number -> digital numbers (H, W)."""
    folder.mkdir(parents=True, exist_ok=True)
    if numbers is None:
        stack = some_numbers(shape, len(bands)) * np.uint16(40)
        numbers = dict(zip(bands, stack, strict=True))
    (folder / "SCENE_MTL.txt").write_text(landsat_mtl() if mtl is None else mtl)
    for number, values in numbers.items():
        transform = rasterio.Affine(30, 0, 381900, 0, -30, 2512800)
        write_band(folder / f"SCENE_B{number}.TIF", values, crs=CRS.from_epsg(32645), transform=transform)
    return folder


def real_landsat(data: Path, folder: Path, scene: str) -> Path:
    """A real Landsat-8 scene of the test data, its files under the names that its MTL gives them."""
    source = data / "toa_landsat8"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source / f"{scene}_MTL.json", folder / f"{scene}_MTL.json")
    for number in range(1, 10):
        for name in (f"tiny_{scene}_B{number}.TIF", f"{scene.removesuffix('LGN00')}_B{number}_DN.tif"):
            if (source / name).exists():
                shutil.copyfile(source / name, folder / f"{scene}_B{number}.TIF")
    return folder
