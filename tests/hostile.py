"""What tests of hostile files share: limits of time and memory, and small models in raw bytes."""

import json
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from rsseg.learn.model import Inference, Model, identity_of
from rsseg.learn.model_checks import check_numbers
from rsseg.learn.networks.build import Spec, build_network
from rsseg.learn.networks.patch import PatchNetworkSpec
from rsseg.learn.normalise import Normalisation
from rsseg.learn.tensors import load_tensors

SPEC = PatchNetworkSpec(features="mean", head="sub-heads", heads=2)


def small_model(spec: Spec = SPEC, **changes: Any) -> Model:
    """A model of a few numbers, of a method that has heads to choose from."""
    torch.manual_seed(0)
    numbers = Normalisation(kind="standardise", centre=(1.0, 2.0), spread=(3.0, 4.0), mean=(1.0, 2.0))
    given = {"method": "iic", "network": spec, "bands": ("red", "nir"), "units": "reflectance", "classes": 3}
    inference = Inference(**{**given, "normalisation": numbers, "patch": 8, "stride": 4, **changes})
    return Model(inference, build_network(spec, inference.inputs, inference.patch, inference.classes))


def rewrite(path: Path, change: Callable[[dict[str, Any], dict[str, torch.Tensor]], object]) -> None:
    """Change the notes or tensors of a model file, and give it the identity that fits them, as a forger would."""
    tensors, notes = load_file(path), load_tensors(path, "model")[1]
    change(notes, tensors)
    with suppress(ValueError):
        check_numbers(notes["inference"])  # an identity of numbers without end takes all memory
        notes["identity"] = identity_of(Inference.model_validate(notes["inference"]), tensors)
    save_file(tensors, path, metadata={"rsseg": json.dumps(notes)})


def raw(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    """A safetensors file of a header (text, or what JSON can hold), perhaps of a ``length`` that lies."""
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def peak_megabytes() -> float:
    """The most memory that this process has held since ``watched`` began; 0 where the system does not say."""
    with suppress(OSError):
        lines = Path("/proc/self/status").read_text().splitlines()
        return float(next((line.split()[1] for line in lines if line.startswith("VmHWM")), 0)) / 1024
    return 0.0


@contextmanager
def watched(seconds: float = 5, megabytes: float = 500) -> Iterator[None]:
    """Fail where what is done takes longer, by the processor's clock, or needs more memory than before."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before, began = peak_megabytes(), time.process_time()
    yield
    took, grown = time.process_time() - began, peak_megabytes() - before
    assert took < seconds, f"it took {took:.1f} s"
    assert grown < megabytes, f"it took {grown:.0f} MB"
