"""Fixtures of the tests that cause faults."""

from pathlib import Path

import pytest
from batch.archives import make_product, write_pipeline

from rsseg.pipeline.plan import Machine
from rsseg.pipeline.stages.run import run


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of one whole product."""
    folder = tmp_path_factory.mktemp("model")
    pipeline = write_pipeline(folder / "pipeline.yaml")
    run(str(pipeline), [make_product(folder / "scene")], folder / "run", machine=Machine("cpu"))
    return folder / "run" / "models" / "kmeans.safetensors"
