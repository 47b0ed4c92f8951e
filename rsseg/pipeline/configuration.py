"""Pipelines in YAML: what may stand in them, checked before anything runs."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

import rsseg
from rsseg.errors import InputError, UsageError
from rsseg.label.refine_settings import RefineSettings
from rsseg.label.segmentation_scores import Regions
from rsseg.learn.methods import METHODS, MethodSettings, describe, settings_of
from rsseg.pipeline.sweep import expanded


class _Strict(BaseModel):
    """Unknown keys are refused: a misspelt option must not be ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ToaConfig(_Strict):
    """How products of digital numbers become reflectance; other rasters are used as they are."""

    dtype: Literal["uint16", "float32"] = "uint16"
    radiance_from: Literal["lmax", "saturation"] = "lmax"
    solar: Literal["thuillier", "neckel-labs"] = "thuillier"


class ModelConfig(BaseModel):
    """One model to train: its method, where it is trained and applied, and the method's settings beside them."""

    model_config = ConfigDict(extra="allow", frozen=True)

    method: str
    train_on: Literal["together", "each"] | Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        "together", description="together: one model of all scenes; each: one a scene; or names of scenes."
    )
    apply_to: Literal["all", "own"] = Field("all", description="own: only the scenes that it was trained on.")
    merge_to: int | None = Field(
        None, ge=2, le=255, description="Clusters of similar spectra are merged to this many classes."
    )
    seed: int = 0
    restarts: int = Field(1, ge=1)
    vote: int = Field(1, ge=1, description="How many of the best runs answer together, by majority.")
    patience: int = Field(5, ge=0)
    tolerance: float = Field(1e-3, ge=0)
    precision: Literal["fp32", "bf16"] = "fp32"

    @field_validator("method")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in METHODS:
            raise ValueError(f"no such method; choose one of {', '.join(METHODS)}")
        return name

    @property
    def settings(self) -> MethodSettings:
        """The method's own settings, checked."""
        return settings_of(self.method, **(self.model_extra or {}))


class SegmentConfig(_Strict):
    """How scenes are labelled."""

    stride: int | None = Field(None, ge=1, description="Step between patches; each model's own by default.")
    resolution: Literal["pixel", "patch"] = "pixel"
    confidence: bool = True
    refine: RefineSettings | None = Field(
        None, description="How every map is drawn to the scene: none, a way's name, or a way with its settings."
    )

    @field_validator("refine", mode="before")
    @classmethod
    def _way(cls, given: Any) -> Any:
        """A name alone stands for the way with its defaults."""
        return {"none": None}.get(given, {"method": given}) if isinstance(given, str) else given


class EvaluateConfig(_Strict):
    """How maps are compared with a reference."""

    regions: Regions = Field("classes", description="What segmentation metrics compare.")
    tile: int | None = Field(None, ge=2, description="Segmentation metrics per tile of as many pixels, averaged.")


class PipelineConfig(_Strict):
    """A whole run."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)  # bands may be numbers

    description: str = ""
    bands: tuple[str, ...] | None = None
    scale: Annotated[tuple[float, ...], Field(min_length=1, max_length=2)] | None = None
    toa: ToaConfig = ToaConfig()
    models: dict[str, ModelConfig]
    segment: SegmentConfig = SegmentConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    names: Literal["spectra", "none"] = Field(
        "none", description="spectra: the maps' clusters are named by what their mean spectra say of them."
    )
    consensus: bool = True
    pictures: bool = True
    varied: dict[str, dict[str, Any]] = Field({}, description="Made by a sweep: variant -> its model and options.")

    @field_validator("models")
    @classmethod
    def _named(cls, models: dict[str, ModelConfig]) -> dict[str, ModelConfig]:
        if not models:
            raise ValueError("no model is named; give at least one, such as recal: {method: recal}")
        for name in models:
            if not name.replace("-", "").replace("_", "").isalnum():
                raise ValueError(f"the model name {name!r} becomes a file name; use letters, digits, - and _")
        return models


def load_pipeline(source: str, overrides: Mapping[str, Any] | None = None) -> PipelineConfig:
    """Read a pipeline file, or one of rsseg's own by its name (``quick``); ``overrides`` go into every model.

    Of the overrides, ``bands`` and ``scale`` are the pipeline's own, ``classes`` (of the map: ``merge_to`` where
    clusters are merged) and ``seed`` hold for every model, ``epochs`` for every model but k-means, and ``patch`` and
    ``stride`` for every model of patches. ``models`` holds settings of single models, by name.
    Raises: UsageError for an unknown key, a wrong value or a file that is not there; InputError for broken YAML.
    """
    content = _parsed(source)
    given = {key: value for key, value in (overrides or {}).items() if value is not None}
    content.update({key: given.pop(key) for key in ("bands", "scale") if key in given})
    own = given.pop("models", {})
    for name, model in (content.get("models") or {}).items() if isinstance(content.get("models"), dict) else ():
        if isinstance(model, dict):
            model.update({**_overrides_of(model, given), **own.get(name, {})})
    try:
        config = PipelineConfig.model_validate(expanded(content, source))
    except ValidationError as problem:
        raise UsageError(describe(problem, source)) from None
    for name, model in config.models.items():
        try:
            settings = model.settings
            if model.merge_to is not None and model.merge_to >= settings.classes:
                raise UsageError(f"merge_to = {model.merge_to} of {settings.classes} classes merges nothing")
        except UsageError as problem:
            raise UsageError(f"{source}: models.{name}: {problem}") from None
    return config


def _overrides_of(model: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """What of the overrides a model takes: k-means and dense methods have patches of their own kind."""
    method, taken = model.get("method"), {"classes", "seed"}
    if method != "kmeans":
        settings = METHODS[method][0] if method in METHODS else MethodSettings
        taken |= {"epochs"} if settings.dense else {"epochs", "patch", "stride"}
    chosen = {key: value for key, value in given.items() if key in taken}
    if "merge_to" in model and "classes" in chosen:
        chosen["merge_to"] = chosen.pop("classes")  # the number of classes that the map is to have
    return chosen


def _parsed(source: str) -> dict[str, Any]:
    text = _text(source)
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise InputError(f"{source} is not YAML{where}; check its indentation and colons") from None
    if not isinstance(content, dict):
        raise UsageError(f"{source} is not a pipeline: it should be keys and values, with models: among them")
    return content


def _text(source: str) -> str:
    path = Path(source)
    if path.is_file():
        return path.read_text(encoding="utf-8", errors="replace")
    own = {entry.stem: entry for entry in _own_pipelines()}
    if source in own:
        return own[source].read_text(encoding="utf-8")
    raise UsageError(f"there is no pipeline {source}; name a YAML file, or one of {', '.join(sorted(own))}")


def _own_pipelines() -> list[Path]:
    """The pipelines that come with rsseg: of the checkout, or where an installation puts them."""
    places = (Path(rsseg.__file__).parents[1] / "pipelines", Path(sys.prefix) / "share" / "rsseg" / "pipelines")
    return [path for place in places if place.is_dir() for path in place.glob("*.yaml")]
