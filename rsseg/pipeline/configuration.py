"""Pipelines in YAML: what may stand in them, checked before anything runs."""

import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

import rsseg
from rsseg.errors import UsageError
from rsseg.label.legend import in_a_line
from rsseg.label.refine_settings import RefineSettings
from rsseg.label.segmentation_scores import Regions
from rsseg.label.yaml_files import read_yaml
from rsseg.learn.methods import METHODS, MethodSettings, describe, settings_of
from rsseg.learn.networks.build import LARGEST_PATCH
from rsseg.pipeline.sweep import expanded

LONGEST_MESSAGE, LONGEST_NAME = 500, 100
"""Characters of a sentence; bytes of a model's name, which is a part of file names, and those end at 255 bytes."""

RESERVED = {"CON", "PRN", "AUX", "NUL", *(f"{port}{number}" for port in ("COM", "LPT") for number in range(10))}
"""What Windows takes for devices."""

MOST = {
    **dict.fromkeys(("patch", "stride", "crop"), LARGEST_PATCH),
    **dict.fromkeys(("width", "units", "heads", "over_heads", "over_classes", "noise"), 65_536),
    **dict.fromkeys(("restarts", "vote"), 1000),
    **dict.fromkeys(("epochs", "gan_epochs", "warm_epochs", "patience", "batch", "gan_batch"), 1_000_000),
    "seed": (1 << 63) - 1,
}
"""The largest number of a setting, far beyond all that trainings need."""

MOST_OF_OTHERS = 1_000_000_000


class _Strict(BaseModel):
    """Unknown keys are refused: a misspelt option must not be ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ToaConfig(_Strict):
    """How products of digital numbers become reflectance; other rasters are used as they are."""

    dtype: Literal["uint16", "float32"] = "uint16"
    radiance_from: Literal["lmax", "saturation"] = "lmax"
    solar: Literal["thuillier", "neckel-labs"] = "thuillier"


class ModelConfig(BaseModel):
    """One model to train: its method, where it is trained and applied, and the method's settings beside them."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

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

    stride: int | None = Field(
        None, ge=1, le=LARGEST_PATCH, description="Step between patches; each model's own by default."
    )
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

    model_config = ConfigDict(coerce_numbers_to_str=True)  # bands may be numbers

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
            check_name(name)
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
        raise UsageError(in_a_line(describe(problem, source), LONGEST_MESSAGE)) from None
    for name, model in config.models.items():
        try:
            _check_settings(model)
        except UsageError as problem:
            raise UsageError(in_a_line(f"{source}: models.{name}: {problem}", LONGEST_MESSAGE)) from None
    return config


def check_name(name: str) -> None:
    """Refuse the name of a model that cannot be a file's on every system. Raises: ValueError."""
    shown = repr(in_a_line(name, 60))
    if not name.replace("-", "").replace("_", "").isalnum():
        raise ValueError(f"the model name {shown} becomes a file name; use letters, digits, - and _")
    size = len(name.encode(errors="replace"))
    if size > LONGEST_NAME:
        raise ValueError(f"the model name {shown} becomes a file name; use at most {LONGEST_NAME} bytes, not {size}")
    if name.upper() in RESERVED:
        raise ValueError(f"the model name {shown} is that of a device on Windows; choose another")


def _check_settings(model: ModelConfig) -> None:
    """Refuse settings that the method does not have, or that no training could mean. Raises: UsageError."""
    settings = model.settings
    if model.merge_to is not None and model.merge_to >= settings.classes:
        raise UsageError(f"merge_to = {model.merge_to} of {settings.classes} classes merges nothing")
    own = {key: getattr(model, key) for key in ModelConfig.model_fields}
    for key, value in {**own, **settings.model_dump()}.items():
        most = MOST.get(key, MOST_OF_OTHERS)
        for number in value if isinstance(value, tuple | list) else [value]:
            if isinstance(number, int | float) and not 0 <= number <= most:
                raise UsageError(f"{key} = {number} cannot be used (it is from 0 to {most})")


def _overrides_of(model: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """What of the overrides a model takes: k-means and dense methods have patches of their own kind."""
    method, taken = model.get("method"), {"classes", "seed"}
    if method != "kmeans":
        settings = METHODS[method][0] if isinstance(method, str) and method in METHODS else MethodSettings
        taken |= {"epochs"} if settings.dense else {"epochs", "patch", "stride"}
    chosen = {key: value for key, value in given.items() if key in taken}
    if "merge_to" in model and "classes" in chosen:
        chosen["merge_to"] = chosen.pop("classes")  # the number of classes that the map is to have
    return chosen


def _parsed(source: str) -> dict[str, Any]:
    content = read_yaml(_file(source))
    if not isinstance(content, dict):
        raise UsageError(f"{source} is not a pipeline: it should be keys and values, with models: among them")
    return content


def _file(source: str) -> Path:
    path, own = Path(source), {entry.stem: entry for entry in _own_pipelines()}
    with suppress(OSError):  # a name longer than file systems allow
        if path.is_file():
            return path
    if source in own:
        return own[source]
    raise UsageError(f"there is no pipeline {source}; name a YAML file, or one of {', '.join(sorted(own))}")


def _own_pipelines() -> list[Path]:
    """The pipelines that come with rsseg: of the checkout, or where an installation puts them."""
    places = (Path(rsseg.__file__).parents[1] / "pipelines", Path(sys.prefix) / "share" / "rsseg" / "pipelines")
    return [path for place in places if place.is_dir() for path in place.glob("*.yaml")]
