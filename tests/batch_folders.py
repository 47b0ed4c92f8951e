"""What the scenes of a batch leave in its output folder, made as its workers make it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from rsseg.batch.facts import facts_of
from rsseg.batch.map_facts import map_facts
from rsseg.batch.outcome import Outcome
from rsseg.batch.scene_spectra import scene_spectra
from rsseg.pipeline.plan import Machine
from rsseg.pipeline.stages.run import run
from rsseg.pipeline.stages.stac import stac
from rsseg.scene.sensors import open_scene

KMEANS = {"method": "kmeans", "classes": 3, "starts": 2}


def map_scene(
    output: Path,
    name: str,
    scene: Path,
    *,
    models: Mapping[str, Mapping[str, Any]] | None = None,
    each: bool = True,
    catalogued: bool = False,
    pictures: bool = False,
    **pipeline: Any,
) -> Outcome:
    """Map a scene with models of its own in ``OUT/scenes/NAME``."""
    content = {"models": models or {"kmeans": KMEANS}, "consensus": False, "pictures": pictures, **pipeline}
    output.mkdir(parents=True, exist_ok=True)
    (output / "batch.yaml").write_text(yaml.safe_dump(content))
    folder = output / "scenes" / name
    result = run(str(output / "batch.yaml"), [scene], folder, names=[name], machine=Machine("cpu"))
    if catalogued:
        stac(folder, overwrite=True, parent=output / "catalog.json")
    maps = {Path(path).stem: Path(path) for path in result.outputs["labels"]}
    told = {}
    for model, path in maps.items():
        confidence = folder / name / "confidence" / f"{model}.tif"
        told[model] = map_facts(path, confidence if confidence.is_file() else None)
        if each:
            scene_spectra(folder, name, model)
    facts = {**facts_of(open_scene(scene)), "maps": told}
    named = {model: path.relative_to(output).as_posix() for model, path in maps.items()}
    return Outcome(name, f"here/{scene.name}", "done", maps=named, facts=facts)


def done(name: str, labels: Sequence[str] = ("kmeans",), **facts: Any) -> Outcome:
    """A scene whose maps are only told of, or lie there already."""
    maps = {model: f"scenes/{name}/{name}/labels/{model}.tif" for model in labels}
    return Outcome(name, f"here/{name}.tif", "done", maps=maps, facts=facts)


def failed(name: str, kind: str = "InputError", cause: str = "it is empty", remedy: str = "copy it again") -> Outcome:
    """A scene that failed."""
    return Outcome(name, f"here/{name}.tif", "failed", kind, cause, remedy)
