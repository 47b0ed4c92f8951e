"""Every case that ever was a fault, or might have been, and a short run of each fuzzer."""

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from fuzzing import TARGETS, quietly
from hostile import watched
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import mutated, seeds

from rsseg.label.legend_file import from_yaml
from rsseg.learn.model import load_model
from rsseg.pipeline.configuration import load_pipeline
from rsseg.scene.sensors.bandmeta import BandMeta
from rsseg.scene.sensors.mtl import Mtl

CORPUS = Path(__file__).parent / "corpus"
CASES = sorted(path for path in CORPUS.rglob("*") if path.is_file())
SHORT = 40


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_case_is_read_or_refused(path: Path) -> None:
    with watched():
        quietly(TARGETS[path.parent.name], path.read_bytes())
    assert not Path("trace").exists()


def test_the_real_files_are_read(tmp_path: Path) -> None:
    """Else their changes would all be refused for the same reason."""
    for number, data in enumerate(seeds("model", tmp_path)):
        path = tmp_path / f"{number}.safetensors"
        path.write_bytes(data)
        assert load_model(path).inference.classes == 3
    *pipelines, legend, alias = seeds("configuration", tmp_path)
    for data in (*pipelines, alias):
        (tmp_path / "p.yaml").write_bytes(data)
        assert load_pipeline(str(tmp_path / "p.yaml")).models
    assert from_yaml(legend.decode()).classes[0].name == "water"
    liss3, liss4, first, *_ = (data.decode() for data in seeds("metadata", tmp_path))
    assert BandMeta.parse(liss4, "f").number("B2_Lmax") == 52 and BandMeta.parse(liss3, "f").text("Sensor") == "L3"
    assert Mtl.parse(first, "f").get("LANDSAT_PRODUCT_ID")


def test_a_fault_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(path: Path) -> None:
        raise KeyError("a fault of the reader")

    monkeypatch.setattr("fuzzing.load_model", faulty)
    with pytest.raises(KeyError, match="a fault of the reader"):
        quietly(TARGETS["model"], b"anything")


@pytest.mark.parametrize("target", TARGETS)
def test_a_short_run_finds_nothing(target: str) -> None:
    real = seeds(target, CORPUS)
    for number in range(SHORT):
        data = mutated(target, real, Random(f"short/{number}"))
        with watched():
            quietly(TARGETS[target], data)


@pytest.mark.parametrize("target", TARGETS)
def test_cases_are_the_same_again(target: str) -> None:
    real = seeds(target, CORPUS)
    assert [mutated(target, real, Random(n)) for n in range(8)] == [mutated(target, real, Random(n)) for n in range(8)]
    assert len({mutated(target, real, Random(n)) for n in range(8)}) > 5


def arbitrary(target: Callable[[bytes], None]) -> None:
    @settings(max_examples=20, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.one_of(st.binary(max_size=200), st.text(max_size=100).map(lambda text: text.encode("utf-8"))))
    def run(data: bytes) -> None:
        quietly(target, data)

    run()


@pytest.mark.parametrize("target", TARGETS)
def test_arbitrary_bytes_and_texts_are_refused(target: str) -> None:
    arbitrary(TARGETS[target])
