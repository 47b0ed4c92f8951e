"""Part of the stage ``stac``: the items of a run's scenes, maps and models."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from rsseg.label.legend_file import legend_path
from rsseg.label.maps import LabelMap
from rsseg.learn.model import load_model
from rsseg.learn.networks.build import is_dense
from rsseg.publish import stac as form
from rsseg.publish.labels import sidecars
from rsseg.publish.run_folder import MapFiles, RunFolder, SceneFolder
from rsseg.publish.stac import Entry
from rsseg.publish.stac_assets import Digest, file_asset, labels_asset, metres, projection, raster_asset
from rsseg.publish.stac_footprint import footprint
from rsseg.publish.stac_model import Outline, model_properties
from rsseg.scene.grid import Grid


class SceneItems:
    """A scene of the run on its way to items."""

    def __init__(self, run: RunFolder, source: SceneFolder, digest: Digest, time: str | None) -> None:
        self.run, self.source, self.digest = run, source, digest
        self.times = form.times(source.tags.get("time"), time, run.provenance.get("finished"))
        software = run.provenance.get("software")
        versions = {str(key): str(value) for key, value in software.items()} if isinstance(software, dict) else {}
        self.common = {**self.times, "processing:software": versions}

    @property
    def ids(self) -> list[str]:
        """What the items would be called: that of the scene, and those of its maps."""
        return [self.source.name, *(f"{self.source.name}_{item.model}" for item in self.source.maps)]

    def entries(self, ids: list[str], folders: Mapping[str, Path], models: Mapping[str, str]) -> list[Entry]:
        """The items of the scene and of its maps; ``models`` are the ids of models by their names."""
        maps = [
            self._map(item, id, folders[id], ids[0], models.get(item.model))
            for item, id in zip(self.source.maps, ids[1:], strict=True)
        ]
        return [self._scene(ids[0], folders[ids[0]]), *maps]

    @property
    def outline(self) -> Outline | None:
        """Where the scene lies on the globe; None where nothing says it."""
        return footprint(self.grid) if self.grid else None

    @cached_property
    def grid(self) -> Grid | None:
        """Where the scene lies: by its own file, or by a map of it where that is gone."""
        if self.source.scene is not None:
            return self.source.scene.grid
        for item in self.source.maps[:1]:
            with LabelMap(item.labels) as labels:
                return labels.own_grid
        return None

    def _scene(self, id: str, folder: Path) -> Entry:
        opened, made = self.source.scene, self.source.folder / "toa.tif"
        assets: dict[str, Any] = {}
        if made.is_file():
            assets["toa"] = raster_asset(made, folder, self.digest, "Top-of-atmosphere values", "data")
        elif opened is not None and opened.path.is_file():
            assets["image"] = raster_asset(opened.path, folder, self.digest, "Scene", "data")
        place = _placed(self.grid) if self.grid else {}
        properties = {**self.common, **self._tags(), "rsseg:units": self.source.units, **place}
        assets |= self._picture("scene", folder)
        return Entry(id, self.source.name, folder, self.outline, properties, assets)

    def _map(self, item: MapFiles, id: str, folder: Path, scene: str, model: str | None) -> Entry:
        with LabelMap(item.labels) as labels:
            grid, tags = labels.own_grid, labels.tags
        properties = {
            **self.common,
            "processing:lineage": f"Clusters of the model {item.model}, labelled on {self.source.name}",
            **{f"rsseg:{key}": tags[key] for key in ("method", "model", "patch", "stride") if key in tags},
            **_placed(grid),
        }
        assets = {"labels": labels_asset(item.labels, folder, self.digest)}
        if item.confidence:
            title = "Mean vote of the winning cluster; no accuracy"
            assets["confidence"] = raster_asset(item.confidence, folder, self.digest, title, "data", "confidence")
        for key, path, title in self._beside(item):
            if path.is_file():
                assets[key] = file_asset(path, folder, self.digest, title, "metadata")
        title = f"{item.model} on {self.source.name}"
        links = [("derived_from", other) for other in (scene, model) if other]
        assets |= self._picture(item.model, folder)
        return Entry(id, title, folder, footprint(grid), properties, assets, links)

    def _beside(self, item: MapFiles) -> list[tuple[str, Path, str]]:
        """Key, file and title of what may lie beside a map."""
        table, style = sidecars(item.labels)
        return [
            ("legend", legend_path(item.labels), "Clusters, names and colours"),
            ("style", style, "QGIS style"),
            ("table", table, "Attribute table"),
            ("evaluation", self.source.folder / "evaluation" / item.model / "evaluation.json", "Scores"),
        ]

    def _picture(self, name: str, folder: Path) -> dict[str, Any]:
        path = self.source.folder / "pictures" / f"{name}.png"
        return {"thumbnail": file_asset(path, folder, self.digest, "Picture", "thumbnail")} if path.is_file() else {}

    def _tags(self) -> dict[str, Any]:
        """What the product says of satellite and sun."""
        tags, found = self.source.tags, dict[str, Any]()
        for key, tag in (("platform", "satellite"), ("instruments", "sensor")):
            if tags.get(tag):
                word = str(tags[tag]).casefold()
                found[key] = [word] if key == "instruments" else word
        for key, tag in (("view:sun_elevation", "sun_elevation"), ("view:sun_azimuth", "sun_azimuth")):
            value = _number(tags.get(tag))
            if value is not None:
                found[key] = value % 360 if key.endswith("azimuth") else value
        return found


def _placed(grid: Grid) -> dict[str, Any]:
    resolution = metres(grid)
    return {**({"gsd": resolution} if resolution else {}), **projection(grid)}


def model_item(
    run: Path,
    name: str,
    id: str,
    folder: Path,
    digest: Digest,
    outline: Outline | None,
    times: Mapping[str, Any],
) -> Entry:
    """The item of a model, which lies where its scenes do (``outline``) and is of their ``times``."""
    path = run / "models" / f"{name}.safetensors"
    model = load_model(path)
    torch = str(model.provenance.get("software", {}).get("torch", ""))
    parameters = sum(tensor.numel() for tensor in model.network.parameters())
    found = model_properties(name, model.inference, parameters, torch, is_dense(model.network))
    asset = file_asset(path, folder, digest, "Weights, and what they are for", "mlm:model", "mlm:weights")
    # the core wants bands of properties in an asset too, and the extension wants them in the properties
    asset |= {"bands": found["bands"], "mlm:artifact_type": "safetensors.torch.save_file"}
    properties = {**times, **found, "rsseg:model": model.identity}
    return Entry(id, f"The model {name}", folder, outline, properties, {"model": asset})


def _number(text: Any) -> float | None:
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if abs(value) <= 360 else None
