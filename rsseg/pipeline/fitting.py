"""Whether the patches of a pipeline's models fit its scenes."""

from rsseg.errors import GridError, UsageError
from rsseg.learn.methods import MethodSettings
from rsseg.pipeline.configuration import ModelConfig, PipelineConfig
from rsseg.scene.grid import PatchGrid
from rsseg.scene.source import Scene


def check_patches(name: str, model: ModelConfig, scene: Scene, config: PipelineConfig) -> None:
    """Refuse patches that do not fit a scene, or that leave pixels without a label, before anything runs.

    ``name`` is the model's. Raises: GridError, UsageError.
    """
    settings, chosen = model.settings, config.segment
    stride = (chosen.stride if takes_stride(settings) else None) or settings.stride
    try:
        PatchGrid.of(scene.grid.shape, settings.patch, stride)
    except GridError as problem:
        raise GridError(f"{scene.path}, model {name}: {problem}") from None
    if model.merge_to is not None and chosen.resolution == "patch":
        raise UsageError(f"model {name}: merge_to needs a map of pixels; leave segment: {{resolution: patch}} out")
    if config.names != "none" and chosen.resolution == "patch":
        raise UsageError("names need a map of pixels; leave segment: {resolution: patch} out, or names: spectra")
    if chosen.refine and chosen.resolution == "patch":
        raise UsageError("refine needs a map of pixels; leave segment: {resolution: patch} out, or refine")
    if settings.dense and chosen.resolution == "patch":
        raise UsageError(f"model {name} labels pixels, not patches; leave segment: {{resolution: patch}} out")
    if chosen.resolution == "pixel" and stride > settings.patch and not settings.dense:
        raise UsageError(
            f"model {name}: a stride of {stride} leaves pixels between patches of {settings.patch} without a "
            "label; choose a stride up to the patch, or segment: {resolution: patch}"
        )


def takes_stride(settings: MethodSettings) -> bool:
    """Whether the pipeline's step between patches is the model's too: not for single pixels, nor for dense tiles."""
    return settings.patch > 1 and not settings.dense
