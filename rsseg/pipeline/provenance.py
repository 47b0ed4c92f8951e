"""Where a run's files came from: the versions that computed, the inputs with their digests, the models' identities."""

import platform
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import rsseg
from rsseg.files import digest
from rsseg.pipeline.cache import Cache, Node, files_below
from rsseg.pipeline.plan import Plan


def software() -> dict[str, str]:
    """The versions of rsseg, Python and of the libraries that the values depend on."""
    import numpy
    import rasterio
    import torch

    return {
        "rsseg": rsseg.__version__,
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "torch": torch.__version__,
        "rasterio": rasterio.__version__,
        "gdal": rasterio.__gdal_version__,
        "proj": getattr(rasterio, "__proj_version__", "unknown"),
    }


def inputs_of(plan: Plan, nodes: Sequence[Node], cache: Cache) -> list[dict[str, Any]]:
    """Every file from outside that a run depends on, with its bytes and SHA-256.

    ``role``: scene (then ``scene`` is its name), model, reference, aoi, or file (what a method's settings name). The
    digests are those that the cache took for its stages, so that no file is read again.
    """
    made = {path for node in nodes for path in node.outputs}
    roles = dict(_roles(plan))
    given = [path for node in nodes for path in node.inputs if path not in made]
    rows = []
    for path in dict.fromkeys([*roles, *given]):
        for file in files_below(path) if path.is_dir() else [path]:
            if file.is_file():
                own = {"path": str(file), "bytes": file.stat().st_size, "sha256": cache.digest(file)}
                rows.append({**roles.get(path, {"role": "file"}), **own})
    return rows


def _roles(plan: Plan) -> Iterator[tuple[Path, dict[str, str]]]:
    for scene in plan.scenes:
        yield from ((path, {"role": "scene", "scene": scene.name}) for path in plan.sources(scene))
    for scene in plan.scenes:
        if scene.reference:
            yield scene.reference, {"role": "reference"}
    yield from ((path, {"role": "aoi"}) for path in plan.area)
    yield from ((model.file, {"role": "model", "model": model.name}) for model in plan.models if model.file)


def models_of(plan: Plan, cache: Cache) -> list[dict[str, Any]]:
    """The run's models: name, file (in the run's folder where it was trained here), SHA-256."""
    return [
        {"name": model.name, "file": _place(plan, plan.model(model)), "sha256": cache.digest(plan.model(model))}
        for model in plan.models
        if plan.model(model).is_file()
    ]


def _place(plan: Plan, path: Path) -> str:
    return path.relative_to(plan.folder).as_posix() if path.is_relative_to(plan.folder) else str(path)


def configuration_of(folder: Path) -> dict[str, str]:
    """The resolved configuration of a run folder: its file and the SHA-256 of its bytes."""
    return {"file": "run.yaml", "sha256": digest(folder / "run.yaml")}
