"""Fixtures of the tests that cause faults."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from batch.archives import make_product, write_pipeline

from rsseg.pipeline.plan import Machine
from rsseg.pipeline.stages.run import run


@pytest.fixture(scope="module")
def dask() -> Iterator[None]:
    """Dask's ``distributed``, which a module of the tests hides."""
    patch, tests = pytest.MonkeyPatch(), str(Path(__file__).resolve().parents[1])
    patch.setattr(sys, "path", [place for place in sys.path if place != tests])
    patch.delitem(sys.modules, "distributed", raising=False)
    patch.setitem(sys.modules, "distributed", importlib.import_module("distributed"))
    patch.setattr(sys, "path", [*sys.path, tests])
    yield
    patch.undo()


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of one whole product."""
    folder = tmp_path_factory.mktemp("model")
    pipeline = write_pipeline(folder / "pipeline.yaml")
    run(str(pipeline), [make_product(folder / "scene")], folder / "run", machine=Machine("cpu"))
    return folder / "run" / "models" / "kmeans.safetensors"
