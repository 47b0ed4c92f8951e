"""The state of a training between two epochs, on disk, from which it goes on to the same weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, with_config
from torch import Tensor

from rsseg.errors import ModelError, UsageError
from rsseg.learn.methods.base import Method, Phase
from rsseg.learn.tensors import load_tensors, save_tensors

Tensors = dict[str, Tensor]


@with_config(ConfigDict(extra="forbid"))
@dataclass
class Progress:
    """Where a training stands: the run, the phase by name, the epochs it has done, and what was found so far.

    ``parts``: into how many steps a batch is cut, by phase, since memory had run out.
    """

    run: int = 0
    phase: str = ""
    epochs_done: int = 0
    best_in_phase: float | None = None
    epochs_since_best: int = 0
    phase_ended: bool = False
    top: list[tuple[int, float]] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    parts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Checkpoint:
    """A file that holds a ``Progress``, the network, the optimiser of the current phase and the best runs so far."""

    path: Path
    settings: Mapping[str, Any]

    def save(self, progress: Progress, method: Method, phase: Phase, best: Sequence[Tensors]) -> None:
        """Replace the file by the present state."""
        optimiser, numbers = flatten_optimiser(phase.optimiser)
        tensors = {
            **{f"network/{name}": tensor for name, tensor in method.module.state_dict().items()},
            **{f"optimiser/{name}": tensor for name, tensor in optimiser.items()},
            **{f"best/{rank}/{name}": tensor for rank, run in enumerate(best) for name, tensor in run.items()},
        }
        notes = {"progress": vars(progress), "optimiser": numbers, "settings": dict(self.settings)}
        save_tensors(self.path, tensors, notes, overwrite=True)

    def load(self) -> tuple[Progress, Tensors, dict[str, Any]]:
        """The progress, all tensors, and the optimiser's numbers.

        Raises: ModelError for a damaged file, UsageError for one of other settings.
        """
        tensors, notes = load_tensors(self.path, "checkpoint")
        if notes.get("settings") != dict(self.settings):
            found, wanted = notes.get("settings") or {}, dict(self.settings)
            other = sorted(key for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key))
            raise UsageError(
                f"{self.path} was made with other settings ({', '.join(other)}); "
                "repeat that command, or train anew without --resume"
            )
        try:
            progress = _PROGRESS.validate_python(notes["progress"])
            numbers = _Numbers.model_validate(notes["optimiser"]).model_dump()
        except (KeyError, ValidationError):
            raise ModelError(
                f"{self.path} is not a checkpoint of rsseg, or it is damaged; train anew without --resume"
            ) from None
        return progress, tensors, numbers


class _Numbers(BaseModel):
    """What a checkpoint keeps of an optimiser beside its tensors, as ``flatten_optimiser`` gives it."""

    model_config = ConfigDict(extra="forbid")

    groups: list[dict[str, Any]]
    numbers: dict[str, Any]


_PROGRESS = TypeAdapter(Progress)


def part(tensors: Tensors, prefix: str) -> Tensors:
    """The tensors below ``prefix/``, without it."""
    return {name.removeprefix(f"{prefix}/"): t for name, t in tensors.items() if name.startswith(f"{prefix}/")}


def flatten_optimiser(optimiser: torch.optim.Optimizer) -> tuple[Tensors, dict[str, Any]]:
    """An optimiser's state as named tensors and plain numbers."""
    state = optimiser.state_dict()
    tensors: Tensors = {}
    numbers: dict[str, Any] = {}
    for index, values in state["state"].items():
        for name, value in values.items():
            (tensors if isinstance(value, Tensor) else numbers)[f"{index}/{name}"] = value
    return tensors, {"groups": state["param_groups"], "numbers": numbers}


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: Tensors, numbers: Mapping[str, Any]) -> None:
    """Put a flattened state back; each tensor takes the layout of its file, which is that of its parameter.

    Raises: ModelError if it is of another optimiser.
    """
    state: dict[int, dict[str, Any]] = {}
    try:
        for key, value in {**numbers["numbers"], **tensors}.items():
            index, name = key.split("/", 1)
            state.setdefault(int(index), {})[name] = value
        optimiser.load_state_dict({"state": state, "param_groups": numbers["groups"]})
    except (KeyError, ValueError, TypeError, RuntimeError) as problem:
        raise ModelError("the checkpoint is damaged: it is of another optimiser; train without --resume") from problem
