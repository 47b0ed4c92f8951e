"""What the numbers were measured on: processor, memory, versions."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("numpy", "torch", "rasterio", "scikit-learn", "scikit-image", "geopandas")


def machine() -> dict[str, Any]:
    """Hardware and versions; imports rasterio for GDAL's, so call it in a process of its own."""
    import rasterio

    return {
        "cpu": _listed("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": threads(),
        "memory_gib": _memory(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
        "gdal": rasterio.__gdal_version__,
    }


def threads() -> int:
    """Cores that this process may use."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(usable, int(os.environ.get("OMP_NUM_THREADS") or usable))


def limit_threads(count: int) -> None:
    """Hold this process and those it starts to so many cores, whatever library they use."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(count)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def _memory() -> float | None:
    words = _listed("/proc/meminfo", "MemTotal").split()
    return round(int(words[0]) / 2**20, 1) if words else None


def _listed(path: str, key: str) -> str:
    """The first value of a key in a file of ``key : value`` lines; empty where there is none."""
    file = Path(path)
    lines = file.read_text().splitlines() if file.is_file() else []
    values = [line.split(":", 1)[1].strip() for line in lines if line.startswith(key)]
    return values[0] if values else ""


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
