"""A scene with labels: its labelled samples in memory, drawn for training or held out, and answers scored on them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rsseg.errors import TrainingError
from rsseg.label.metrics.confusion import Confusion, confusion
from rsseg.label.reference import Reference
from rsseg.label.training_labels import Labels, apart, drawn, patch_labels, pixel_labels
from rsseg.learn.inputs import TILE_VALID_SHARE, VALID_SHARE, SceneInput
from rsseg.learn.model import Model
from rsseg.learn.networks.build import is_dense
from rsseg.learn.networks.vote import labels_of
from rsseg.learn.samples import SceneSamples, TrainingPatches, find_patches
from rsseg.learn.subset import Subset
from rsseg.progress import SILENT, Reporter
from rsseg.scene.grid import PatchGrid


@dataclass(frozen=True)
class LabelledScene:
    """What labels give of a scene: samples of all labelled patches or tiles, in memory, and their labels.

    ``labels`` lie by sample number.
    """

    samples: SceneSamples
    grid: PatchGrid
    labels: Labels
    classes: tuple[str, ...]

    @property
    def dense(self) -> bool:
        """Whether pixels are labelled, not patches."""
        return self.labels.codes.ndim == 3


def labelled_scene(
    model: Model,
    source: SceneInput,
    reference: Reference,
    stride: int,
    device: torch.device,
    memory: int,
    reporter: Reporter = SILENT,
) -> LabelledScene:
    """Read the labels of a scene and load its labelled patches, or tiles for a dense network.

    Raises: TrainingError if there is no labelled patch, or if the scene does not fit in half of ``memory``.
    """
    dense, patch, seen = is_dense(model.network), model.inference.patch, model.seen(source)
    grid = PatchGrid.of(source.source.shape[1:], patch, stride)
    with reporter.task("reading labels, rows of patches", 2 * grid.rows.count) as task:
        share = TILE_VALID_SHARE if dense else VALID_SHARE
        (every,), moments = find_patches([seen], patch, stride, task.advance, share)
        if dense:
            labels = pixel_labels(reference, grid, every.numbers, source, task.advance)
        else:
            labels = patch_labels(reference, grid, every.numbers, task.advance)
    if not len(labels.numbers):
        raise TrainingError(
            f"{reference.path} labels no {'tile' if dense else 'patch'} of {patch} x {patch} pixels of {source.name}; "
            "at least half of a patch's pixels must have a reference"
        )
    samples = SceneSamples(
        [TrainingPatches(seen, grid, labels.numbers)],
        moments,
        device=device,
        memory=memory // 2,
        normalisation=model.inference.normalisation,
    )
    return LabelledScene(samples, grid, labels, reference.classes)


def split(found: LabelledScene, share: float, seed: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which labels to train on and which to score, both in the shape of the labels' codes.

    Patches that share a pixel with one that is trained on are neither.
    """
    labels = found.labels
    chosen = drawn(labels.codes, labels.units, share, seed)
    if found.dense:
        return chosen, (labels.codes > 0) & ~chosen
    return chosen, ~chosen & apart(found.grid, labels.numbers, chosen)


def make_subset(found: LabelledScene, chosen: NDArray[np.bool_], device: torch.device) -> tuple[Subset, torch.Tensor]:
    """The samples that have a ``chosen`` label, and their classes from 0, with -1 for pixels without."""
    some = chosen.reshape(len(chosen), -1).any(axis=1)
    classes = np.where(chosen, found.labels.codes.astype(np.int16) - 1, -1)[some]
    numbers = torch.from_numpy(np.flatnonzero(some)).to(device)
    return Subset(found.samples, numbers), torch.from_numpy(classes).to(device)


def score(network: Any, found: LabelledScene, held: NDArray[np.bool_]) -> Confusion:
    """How a network whose clusters are the classes answers where ``held``."""
    count = len(found.classes)
    return confusion(answer_table(network, found, held), np.arange(count), found.classes)


def answer_table(network: Any, found: LabelledScene, held: NDArray[np.bool_]) -> NDArray[np.int64]:
    """What a network answers where ``held``, against the labels: counts (clusters, classes)."""
    some = np.flatnonzero(held.reshape(len(held), -1).any(axis=1))
    answers = labels_of(network, found.samples, torch.from_numpy(some).to(found.samples.device))
    answers = answers.reshape(held[some].shape)[held[some]]
    table = np.zeros((network.classes, len(found.classes)), np.int64)
    np.add.at(table, (answers, found.labels.codes[held].astype(np.int64) - 1), 1)
    return table
