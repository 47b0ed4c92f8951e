"""Comparing two label maps, against reading them, and against whole arrays.

ours             the counting pass: the contingency of the two maps by strips, their matching, the Jaccard table.
limit            both maps read in strips, as every command reads them: what no table of the two can be faster than.
instead          what a user would write: both maps read whole, ``numpy.bincount`` of ``a * 256 + b``.
instead_sklearn  both read whole, scikit-learn's ``confusion_matrix`` of ``sklearn_rows`` rows, by pixels a second.
command          the whole ``rsseg consensus``: tables, pictures, and the rasters of agreement as COGs.

The maps are fields of 24 px with 5 % noise, the second with its clusters renumbered.
"""

import time
from pathlib import Path
from typing import Any

from suite.lines import Line, Row

NOISE, FIELD = 0.05, 24
LINES = (
    Line(
        "consensus",
        "consensus of two maps, tables",
        __name__,
        {
            "ours": "contingency, matching and Jaccard table",
            "limit": "reading both maps in strips",
            "instead": "both maps whole, numpy.bincount",
            "instead_sklearn": "both maps whole, scikit-learn's confusion_matrix (of some rows, by pixels a second)",
            "command": "rsseg consensus, with pictures and rasters of agreement",
        },
        settings={"size": [4096, 4096], "clusters": 10, "sklearn_rows": 512},
        full={"size": [16600, 18000]},
        unit="Mpx",
    ),
)


def prepare(folder: Path, settings: dict[str, Any]) -> None:
    """Two maps ``0.tif`` and ``1.tif``, strip by strip."""
    make_maps(folder, settings["size"], settings["clusters"])


def make_maps(folder: Path, size: list[int], clusters: int) -> None:
    import numpy as np

    from rsseg.publish.labels import LabelMapWriter, default_classes
    from rsseg.scene.grid import Grid
    from rsseg.scene.raster import label_windows

    grid = Grid(size[0], size[1])
    for number in (0, 1):
        base = _fields(number, clusters)
        with LabelMapWriter(
            folder / f"{number}.tif", grid, default_classes(clusters), tags={}, overwrite=True
        ) as writer:
            for window in label_windows(grid):
                rows = (np.arange(window.height) + window.row) % base.shape[0]
                writer.write(base[np.ix_(rows, np.arange(size[1]) % base.shape[1])], window)


def _fields(number: int, clusters: int) -> Any:
    import numpy as np

    truth = np.kron(np.random.default_rng(7).integers(0, clusters, (80, 80)), np.ones((FIELD, FIELD), int))
    own = np.random.default_rng(number)
    values = own.permutation(clusters)[truth] + 1
    noisy = np.where(own.random(values.shape) < NOISE, own.integers(0, clusters + 1, values.shape), values)
    return noisy.astype(np.uint8)


def _row(began: float, settings: dict[str, Any], rows: int | None = None) -> Row:
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "work": (rows or settings["size"][0]) * settings["size"][1] / 1e6}


def ours(folder: Path, settings: dict[str, Any]) -> Row:
    from rsseg.label.comparison import count
    from rsseg.label.consensus import compare
    from rsseg.label.maps import LabelMap

    began = time.perf_counter()
    with LabelMap(folder / "0.tif") as first, LabelMap(folder / "1.tif") as second:
        compare(count((first, second)).tables[0, 1], "0", "1")
    return _row(began, settings)


def limit(folder: Path, settings: dict[str, Any]) -> Row:
    from rsseg.label.maps import LabelMap, strips

    began = time.perf_counter()
    with LabelMap(folder / "0.tif") as first, LabelMap(folder / "1.tif") as second:
        for _ in strips((first, second), first.grid):
            pass
    return _row(began, settings)


def _whole(folder: Path) -> list[Any]:
    import rasterio

    found = []
    for number in (0, 1):
        with rasterio.open(folder / f"{number}.tif") as dataset:
            found.append(dataset.read(1))
    return found


def instead(folder: Path, settings: dict[str, Any]) -> Row:
    import numpy as np

    began = time.perf_counter()
    first, second = _whole(folder)
    np.bincount((first.astype(np.int64) * 256 + second).ravel(), minlength=65536)
    return _row(began, settings)


def instead_sklearn(folder: Path, settings: dict[str, Any]) -> Row:
    from sklearn.metrics import confusion_matrix

    first, second = _whole(folder)
    rows = min(settings["sklearn_rows"], len(first))
    began = time.perf_counter()
    confusion_matrix(first[:rows].ravel(), second[:rows].ravel())
    return _row(began, settings, rows)


def command(folder: Path, settings: dict[str, Any]) -> Row:
    from rsseg.pipeline.stages.consensus import consensus

    began = time.perf_counter()
    consensus([folder / "0.tif", folder / "1.tif"], folder / "out", overwrite=True)
    return _row(began, settings)
