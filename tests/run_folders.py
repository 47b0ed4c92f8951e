"""Run folders as rsseg run leaves them, made without training."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from labelmaps import grid_for, write_map
from scenes import fields, write_reference, write_scene

from rsseg.pipeline.stages.consensus import consensus
from rsseg.pipeline.stages.evaluate import evaluate
from rsseg.publish.labels import ConfidenceWriter, LabelClass

HOSTILE = (
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(2)> 'quoted'; & done",
    "नदी の森\nsecond line \x07\u202e " + "long " * 60,
)
"""Names of classes that a page must show as they are."""

PLAIN = ("water", "vegetation", "town")
COLOURS = ("#0072b2", "#e69f00", "#009e73")


def write_confidence(path: Path, values: np.ndarray, crs: bool = True) -> Path:
    """A confidence raster of stored values."""
    grid = grid_for(values.shape) if crs else grid_for(values.shape, None)
    with ConfidenceWriter(path, grid, tags={}) as writer:
        writer.write(values.astype(np.uint8), grid.window)
    return path


def write_run(
    folder: Path,
    *,
    scenes: Sequence[str] = ("a scene",),
    models: Sequence[str] = ("recal", "kmeans"),
    names: Sequence[str] = PLAIN,
    shape: tuple[int, int] = (48, 64),
    crs: bool = True,
    reference: bool = True,
) -> Path:
    """A finished run, its scenes beside it: maps of the scenes' fields (later models err more), and their scores."""
    folder.mkdir(parents=True)
    (folder / "models").mkdir()
    for number, name in enumerate(scenes):
        _write_scene(folder, name, models, names, shape, number, crs, reference and crs)
    for model in models:
        (folder / "models" / f"{model}.safetensors").write_bytes(f"model {model}".encode())
    history = [_epoch(phase, epoch) for phase in ("warm start", "information") for epoch in range(1, 13)]
    text = "\n".join(json.dumps(row) for row in history)
    (folder / "models" / f"{models[0]}.history.jsonl").write_text(f"{text}\nno json\n", encoding="utf-8")
    config = {"description": names[0], "bands": None, "models": {m: {"method": m, "classes": 3} for m in models}}
    (folder / "run.yaml").write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
    (folder / "run.json").write_text(json.dumps(_provenance(folder, scenes)), encoding="utf-8")
    return folder


def _write_scene(
    folder: Path,
    name: str,
    models: Sequence[str],
    names: Sequence[str],
    shape: tuple[int, int],
    seed: int,
    crs: bool,
    reference: bool,
) -> None:
    profile: dict[str, Any] = {} if crs else {"crs": None}
    write_scene(folder.parent / f"{seed}.tif", *shape, seed=seed, **profile)
    truth = (fields(*shape, seed) + 1).astype(np.uint8)
    truth[:3, :5] = 0
    classes = [LabelClass(value, title, COLOURS[value - 1]) for value, title in enumerate(names, 1)]
    place, maps = folder / name, []
    for number, model in enumerate(models):
        labels = truth.copy()
        labels[10 : 10 + 8 * number, 20:40] = 1
        maps.append(place / "labels" / f"{model}.tif")
        write_map(maps[-1], labels, grid=grid_for(shape, **({} if crs else {"crs": None})), classes=classes)
        ramp = np.where(labels > 0, np.linspace(100, 254, shape[1])[None, :].round(), 255)
        write_confidence(place / "confidence" / f"{model}.tif", ramp, crs)
    if len(models) > 1:
        consensus(maps, place / "consensus", names=list(models))
    if reference:
        file = write_reference(folder.parent / f"{seed}.gpkg", *shape, seed=seed)
        for path, model in zip(maps, models, strict=True):
            evaluate(path, file, place / "evaluation" / model, field="class")


def _epoch(phase: str, epoch: int) -> dict[str, Any]:
    return {"phase": phase, "epoch": epoch, "run": 0, "loss": 1 / epoch, "clusters_used": 3, "seconds": 0.5 * epoch}


def _provenance(folder: Path, scenes: Sequence[str]) -> dict[str, Any]:
    told = [
        {"name": name, "path": str(folder.parent / f"{number}.tif"), "units": "reflectance", "tags": {}}
        for number, name in enumerate(scenes)
    ]
    return {
        "pipeline": "quick",
        "software": {"rsseg": "0.1.0"},
        "machine": {"device": "cpu", "threads": None},
        "finished": "2026-01-02T03:04:05Z",
        "scenes": told,
        "stages": [{"stage": "train recal", "state": "ran", "seconds": 1.5}],
    }
