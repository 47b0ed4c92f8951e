"""Targets for fuzzing: what reads files from strangers, run on any bytes, lets nothing but the errors of rsseg pass."""

import atexit
import json
import shutil
import tempfile
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

import torch
from products import make_landsat, make_liss4

from rsseg.errors import RssegError
from rsseg.label.legend_file import from_yaml, read_legend, to_yaml
from rsseg.learn.checkpoint import Checkpoint
from rsseg.learn.model import Model, load_model
from rsseg.learn.networks.weights import read_weights
from rsseg.pipeline.class_names import naming_of
from rsseg.pipeline.configuration import load_pipeline
from rsseg.pipeline.stages.info import info
from rsseg.scene.sensors.bandmeta import BandMeta
from rsseg.scene.sensors.mtl import Mtl

TRIED = 64
"""Patches up to this size are shown to a model that was read, as labelling would."""


@cache
def _folder() -> Path:
    """A folder of this process, with a product of either family whose metadata is replaced by each case."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="rsseg-fuzz-", dir=memory if memory.is_dir() else None))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    make_liss4(folder / "liss", shape=(12, 16))
    make_landsat(folder / "landsat", shape=(12, 16))
    return folder


def metadata(data: bytes) -> None:
    """Parsers and getters of BAND_META.txt and MTL files, and products that have them."""
    text = data.decode("utf-8-sig", errors="replace")
    meta = BandMeta.parse(text, "BAND_META.txt")
    for key in (*list(meta.values)[:50], "absent"):
        for getter in (meta.text, meta.number, meta.time):
            _allowed(getter, key)
    with suppress(RssegError):
        groups = Mtl.parse(text, "MTL")
        for key in [key for group in groups.groups.values() for key in group][:50]:
            _allowed(groups.text, key)
            _allowed(groups.number, key)
    if text.lstrip().startswith("{"):
        _product("landsat", "SCENE_MTL.json", data)
    elif "GROUP" in text:
        _product("landsat", "SCENE_MTL.txt", data)
    else:
        _product("liss", "BAND_META.txt", data)


def _product(place: str, name: str, data: bytes) -> None:
    """Describe a product with other metadata, its pixels included."""
    folder = _folder() / place
    for old in (*folder.glob("*_MTL.*"), *folder.glob("BAND_META.txt")):
        old.unlink()
    (folder / name).write_bytes(data)
    with suppress(RssegError):
        json.dumps(info(folder))


def configuration(data: bytes) -> None:
    """Pipelines and legends."""
    path = _folder() / "case.yaml"
    path.write_bytes(data)
    with suppress(RssegError):
        config = load_pipeline(str(path))
        assert config.models and all(model.settings.classes for model in config.models.values())
    with suppress(RssegError):
        legend = read_legend(path)
        assert from_yaml(to_yaml(legend)) == legend


def model(data: bytes) -> None:
    """Models, which label a patch if they are read, checkpoints, and weights of both kinds."""
    for name in ("case.safetensors", "case.pth"):
        (_folder() / name).write_bytes(data)
        _allowed(read_weights, _folder() / name)
    path = _folder() / "case.safetensors"
    _allowed(Checkpoint(path, {}).load)
    with suppress(RssegError):
        found = load_model(path)
        _allowed(naming_of, found, path)
        _label(found)


def _label(found: Model) -> None:
    inference = found.inference
    if inference.patch <= TRIED and inference.inputs * inference.patch**2 < 1 << 20:
        with torch.inference_mode():
            found.network.eval().predict(torch.zeros(1, inference.inputs, inference.patch, inference.patch))


def _allowed(function: Callable[..., object], *arguments: object) -> None:
    with suppress(RssegError):
        function(*arguments)


def quietly(target: Callable[[bytes], None], data: bytes) -> None:
    """Run a target without what it warns of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        target(data)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "metadata": metadata,
    "configuration": configuration,
    "model": model,
}
