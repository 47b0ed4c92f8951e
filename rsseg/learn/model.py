"""A trained model in one file that can be trusted: what it needs to label, under a hash, and where it came from."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import Tensor

from rsseg.errors import ModelError
from rsseg.learn.channels.derived import derived
from rsseg.learn.channels.stack import PREFIX, Channels
from rsseg.learn.inputs import SceneInput
from rsseg.learn.model_checks import check_description, check_finite, check_numbers, check_tensors
from rsseg.learn.networks.build import Network, Spec, build_network
from rsseg.learn.normalise import Normalisation
from rsseg.learn.tensors import load_tensors, save_tensors

SCHEMA = 1


class Inference(BaseModel):
    """All that labelling depends on; its hash with the tensors is the model's identity.

    ``channels``: what the network sees in place of the bands; None where it sees the bands as they are.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_number: Literal[1] = 1
    method: str
    network: Spec
    bands: tuple[str, ...]
    units: str
    normalisation: Normalisation
    patch: int = Field(ge=1)
    stride: int = Field(ge=1)
    classes: int = Field(ge=2, le=255)
    channels: Channels | None = None

    @property
    def inputs(self) -> int:
        """How many channels the network takes."""
        return len(self.channels.names) if self.channels else len(self.bands)

    @model_validator(mode="after")
    def _one_number_a_channel(self) -> Self:
        numbers = self.normalisation
        if {len(numbers.centre), len(numbers.spread), len(numbers.mean)} != {self.inputs}:
            raise ValueError(f"the normalisation is not of {self.inputs} channels")
        return self


@dataclass
class Model:
    """A network with what it needs to label scenes, its provenance, and perhaps what its clusters are called.

    ``legend`` is a text as rsseg legend writes it. Neither it nor the provenance is part of the identity.
    """

    inference: Inference
    network: Network
    provenance: dict[str, Any] = field(default_factory=dict)
    legend: str | None = None

    @property
    def identity(self) -> str:
        """SHA-256 over the inference part and all tensors, in hexadecimal."""
        return identity_of(self.inference, self.tensors)

    @property
    def tensors(self) -> dict[str, Tensor]:
        """All tensors that the file keeps: the network's, and the channels' where they have some."""
        channels = self.inference.channels
        return {**self.network.state_dict(), **(channels.tensors() if channels else {})}

    def seen(self, scene: SceneInput) -> SceneInput:
        """A scene as the network sees it: the scene itself, or its channels."""
        return derived(scene, self.inference.channels)

    def save(self, path: Path, overwrite: bool = False) -> str:
        """Write the model file and return its identity."""
        identity = self.identity
        # models of plain bands are the files that rsseg wrote before there were channels
        plain = {"channels"} if self.inference.channels is None else None
        notes = {
            "inference": self.inference.model_dump(mode="json", exclude=plain),
            "identity": identity,
            "provenance": self.provenance,
            **({"legend": self.legend} if self.legend is not None else {}),
        }
        save_tensors(path, self.tensors, notes, overwrite)
        return identity

    def check_scene(self, name: str, bands: Sequence[str], units: str) -> None:
        """Refuse a scene whose bands or units are not those the model was trained on.

        Raises: ModelError naming both sides.
        """
        if tuple(bands) != self.inference.bands:
            raise ModelError(
                f"the model was trained on the bands {', '.join(self.inference.bands)}, but {name} gives "
                f"{', '.join(bands)}; choose the scene's bands of these names with --bands, or train a model on its own"
            )
        if units != self.inference.units:
            if self.inference.units == "reflectance":
                hint = "convert its product with rsseg toa, or state its --scale if it is scaled reflectance"
            else:
                hint = f"give the scene's {self.inference.units} numbers, or train a model on {units}"
            raise ModelError(f"the model was trained on {self.inference.units} values, but {name} is {units}; {hint}")


def identity_of(inference: Inference, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over the inference part as canonical JSON and every tensor's name, type, shape and bytes.

    Defaults are left out of the text, so that a setting which a later version adds changes no identity.
    """
    canonical = json.dumps(inference.model_dump(mode="json", exclude_defaults=True), sort_keys=True)
    total = hashlib.sha256(canonical.encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        total.update(f"|{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().data if tensor.numel() else b"")
    return total.hexdigest()


def load_model(path: Path) -> Model:
    """Read a model file and check that it is whole, and that what it says of itself is what it holds.

    Raises: ModelError if it is no model, of a newer rsseg, damaged, or altered.
    """
    tensors, notes = load_tensors(path, "model")
    if "inference" not in notes:
        raise ModelError(f"{path} is not a model of rsseg (a checkpoint, perhaps)")
    try:
        check_numbers(notes["inference"])
        inference = Inference.model_validate(notes["inference"])
        if identity_of(inference, tensors) != notes.get("identity"):
            raise ModelError(f"{path} was altered or damaged: its contents do not have its recorded identity")
        check_description(inference)
        check_finite(tensors)
        inference, tensors = _with_channels(inference, tensors)
        network = _network(inference, tensors)
    except ValidationError as problem:
        raise ModelError(f"{path} cannot be used by this version of rsseg ({_hint(notes, problem)})") from None
    except (ValueError, RuntimeError) as problem:
        reason = problem if type(problem) is ValueError else "its tensors are not those of its description"
        raise ModelError(f"{path} is damaged or was made by another program: {reason}") from problem
    return Model(inference, network, _provenance(path, notes), _legend(path, notes))


def _network(inference: Inference, tensors: dict[str, Tensor]) -> Network:
    """The network with its tensors, in the memory layout that they have. Raises: ValueError if they are others."""
    check_tensors(inference, tensors)
    network = build_network(inference.network, inference.inputs, inference.patch, inference.classes)
    network.load_state_dict(tensors)
    for name, tensor in network.named_parameters():
        tensor.data = tensors[name]
    return network


def _provenance(path: Path, notes: Mapping[str, Any]) -> dict[str, Any]:
    """Where the model came from, in the kinds of values by which it is read."""
    found = notes.get("provenance", {})
    kinds = {"software": dict, "shares": dict, "classes": list}
    if not isinstance(found, dict) or not all(isinstance(found.get(key, kind()), kind) for key, kind in kinds.items()):
        raise ModelError(f"{path} is damaged or was made by another program: its provenance is not as rsseg writes it")
    return found


def _legend(path: Path, notes: Mapping[str, Any]) -> str | None:
    legend = notes.get("legend")
    if not isinstance(legend, str | None):
        raise ModelError(f"{path} holds a legend that is no text; rsseg relabel {path} gives it another")
    return legend


def _with_channels(inference: Inference, tensors: dict[str, Tensor]) -> tuple[Inference, dict[str, Tensor]]:
    """The description with its channels' own tensors, and the network's tensors."""
    if inference.channels is None:
        return inference, tensors
    own = {name: tensor for name, tensor in tensors.items() if name.startswith(PREFIX)}
    channels = inference.channels.rebuild(own)
    others = {name: tensor for name, tensor in tensors.items() if name not in own}
    return inference.model_copy(update={"channels": channels}), others


def _hint(notes: Mapping[str, Any], problem: ValidationError) -> str:
    """What of a model's description does not suit this version."""
    inference = notes["inference"]
    found = inference.get("schema_number", SCHEMA) if isinstance(inference, dict) else SCHEMA
    if found != SCHEMA:
        return f"its schema is {found}, this rsseg reads {SCHEMA}"
    return ".".join(str(part) for part in problem.errors()[0]["loc"])[:80] or "its description"
