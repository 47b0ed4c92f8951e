"""Scenes with models of their own get one legend: the same, kept, safe when stopped, and better than chance."""

import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import rasterio
from batch_folders import KMEANS, failed, map_scene
from scenes import fields, write_scene

from rsseg.batch.common_centres import CommonCentres, centres_path
from rsseg.batch.common_legend import CommonLegend, MapJob, common_path, make_common, map_in_common
from rsseg.batch.map_facts import map_facts
from rsseg.batch.outcome import Outcome
from rsseg.batch.scene_spectra import SceneSpectra, scene_spectra, spectra_path
from rsseg.errors import InputError, UsageError
from rsseg.label.legend_file import read_legend
from rsseg.label.maps import LabelMap
from rsseg.label.spectra import cluster_spectra
from rsseg.pipeline.stages.legend_like import like_elsewhere
from rsseg.pipeline.stages.simulate import simulate
from rsseg.progress import Silent
from rsseg.publish.run_folder import open_run
from rsseg.scene.sensors import open_scene
from rsseg.scene.simulate.product import Product

Batch = tuple[Path, list[Outcome]]


class Told(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, message: str) -> None:
        self.lines.append(message)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Batch:
    """Three scenes of the same land, each with models of its own."""
    folder = tmp_path_factory.mktemp("archive")
    scenes = {name: write_scene(folder / f"{name}.tif", seed=seed) for seed, name in enumerate(("one", "two", "वन"))}
    return folder / "OUT", [map_scene(folder / "OUT", name, path) for name, path in scenes.items()]


@pytest.fixture
def batch(made: Batch, tmp_path: Path) -> Batch:
    """A copy to write in."""
    return Path(shutil.copytree(made[0], tmp_path / "OUT")), made[1]


def tree(output: Path) -> dict[str, bytes]:
    """All files but the stamps, which hold times."""
    files = (path for path in output.rglob("*") if path.is_file())
    return {
        path.relative_to(output).as_posix(): path.read_bytes()
        for path in files
        if ".rsseg" not in path.parts or path == centres_path(output)
    }


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        values: np.ndarray = dataset.read(1)
    return values


def test_one_land_has_one_class_on_all_scenes(batch: Batch) -> None:
    output, outcomes = batch
    found = make_common(outcomes, output, 3)
    assert found.legend == output / "legend.yaml" and found.refused == {} and found.written == 3
    names = {item.value: item.name for item in read_legend(output / "legend.yaml").classes}
    assert sorted(names.values()) == ["bare or built-up-like", "dense vegetation-like", "water-like"]
    by_land = ["water-like", "dense vegetation-like", "bare or built-up-like"]
    for seed, item in enumerate(outcomes):
        path = common_path(output, item.name, "kmeans")
        labels, land = read(path), fields(48, 64, seed)
        for kind, name in enumerate(by_land):
            values, counts = np.unique(labels[(land == kind) & (labels > 0)], return_counts=True)
            assert names[int(values[counts.argmax()])] == name
            assert counts.max() > 0.95 * counts.sum()
        with LabelMap(path) as source:
            assert source.names == names
        assert path.with_suffix(".qml").exists() and path.with_suffix(".legend.yaml").exists()


def test_the_facts_of_a_matched_map_are_those_that_reading_it_gives(batch: Batch) -> None:
    output, outcomes = batch
    for item in make_common(outcomes, output, 2).outcomes:
        told = dict(item.facts["common"]["kmeans"])
        path = output / told.pop("path")
        confidence = output / "scenes" / item.name / item.name / "confidence" / "kmeans.tif"
        assert told == map_facts(path, confidence)


def test_nothing_is_written_where_nothing_changed(batch: Batch) -> None:
    output, outcomes = batch
    first = make_common(outcomes, output, 3)
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*") if path.is_file()}
    second = make_common(outcomes[::-1], output, 3)
    assert second.written == 0 and second.outcomes == first.outcomes[::-1]
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*") if path.is_file()} == before


def test_only_a_map_that_changed_is_written_again(batch: Batch) -> None:
    output, outcomes = batch
    make_common(outcomes, output, 3)
    whole = tree(output)
    common_path(output, "one", "kmeans").write_bytes(b"damaged")
    assert make_common(outcomes, output, 3).written == 1
    common_path(output, "two", "kmeans").with_suffix(".qml").unlink()
    assert make_common(outcomes, output, 3).written == 1
    assert tree(output) == whole


class Stop(BaseException):
    """The process is killed."""


def stopping(after: int) -> Callable[[Callable[[MapJob], str], Iterable[MapJob]], Iterator[str]]:
    def spread(work: Callable[[MapJob], str], jobs: Iterable[MapJob]) -> Iterator[str]:
        for number, job in enumerate(jobs):
            if number == after:
                raise Stop
            yield work(job)

    return spread


@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_batch_that_was_stopped_ends_as_one_that_was_not(made: Batch, tmp_path: Path, after: int) -> None:
    whole, stopped = (Path(shutil.copytree(made[0], tmp_path / name)) for name in ("whole", "stopped"))
    make_common(made[1], whole, 3)
    with pytest.raises(Stop):
        make_common(made[1], stopped, 3, spread=stopping(after))
    assert make_common(made[1], stopped, 3).written == 3 - after
    assert tree(stopped) == tree(whole)


def test_stopped_between_classes_and_legend(batch: Batch) -> None:
    """The classes are written first: a legend that lacks, or is of older classes, is written from them."""
    output, outcomes = batch
    make_common(outcomes, output, 3)
    whole, older = tree(output), (output / "legend.yaml").read_text().replace("classes: ", "classes: a")
    (output / "legend.yaml").unlink()
    make_common(outcomes, output, 3)
    assert tree(output) == whole
    (output / "legend.yaml").write_text(older)
    make_common(outcomes, output, 3)
    assert tree(output) == whole


def test_an_archive_that_grows_keeps_its_classes(batch: Batch) -> None:
    output, outcomes = batch
    make_common(outcomes[:2], output, 2)
    before = tree(output)
    found = make_common(outcomes, output, 2)
    assert found.written == 1
    after = tree(output)
    assert {name: after[name] for name in before} == before
    assert CommonCentres.read(output).scenes == ("one", "two")  # type: ignore[union-attr]
    anew = make_common(outcomes, output, 2, anew=True)
    assert anew.written == 3
    assert CommonCentres.read(output).scenes == ("one", "two", "वन")  # type: ignore[union-attr]


def test_another_number_of_classes_needs_a_new_legend(batch: Batch) -> None:
    output, outcomes = batch
    make_common(outcomes, output, 3)
    told = Told()
    assert make_common(outcomes, output, 2, reporter=told).written == 0
    assert "keeps the 3 classes" in told.lines[0] and "--new-legend" in told.lines[0]
    make_common(outcomes, output, 2, anew=True, reporter=told)
    assert len(read_legend(output / "legend.yaml").classes) == 2 and len(told.lines) == 1


def test_names_and_colours_may_be_edited(batch: Batch) -> None:
    output, outcomes = batch
    make_common(outcomes, output, 3)
    path = output / "legend.yaml"
    path.write_text(path.read_text().replace("name: water-like", "name: \"</Category> 'the' <b>Ganga</b>\""))
    assert make_common(outcomes, output, 3).written == 3
    with LabelMap(common_path(output, "two", "kmeans")) as source:
        assert "</Category> 'the' <b>Ganga</b>" in source.names.values()
    assert "Ganga" in path.read_text()


def test_a_legend_that_lacks_a_class_is_refused(batch: Batch) -> None:
    output, outcomes = batch
    make_common(outcomes, output, 3)
    path = output / "legend.yaml"
    path.write_text(path.read_text().replace("- value: 3", "- value: 9"))
    with pytest.raises(InputError, match=r"a class for each value from 1 to 3, and no other.*--new-legend"):
        make_common(outcomes, output, 3)
    with pytest.raises(UsageError, match="use 1 to 254"):
        make_common(outcomes, output, 255)


def test_the_order_of_scenes_and_failures_do_not_count(made: Batch, tmp_path: Path) -> None:
    a, b = (Path(shutil.copytree(made[0], tmp_path / name)) for name in "ab")
    make_common(made[1], a, 2)
    found = make_common([failed("bad"), *made[1][::-1]], b, 2)
    assert tree(a) == tree(b)
    assert found.outcomes[0] == failed("bad")


def test_scenes_of_other_units_are_refused_by_name(batch: Batch, tmp_path: Path) -> None:
    output, outcomes = batch
    bare = map_scene(output, "bare", write_scene(tmp_path / "bare.tif", seed=8, stored=False))
    found = make_common([bare, *outcomes], output, 3)
    assert list(found.refused) == ["bare/kmeans"]
    assert "its scene is uncalibrated with the bands green, red, nir" in found.refused["bare/kmeans"]
    assert not common_path(output, "bare", "kmeans").exists() and "common" not in found.outcomes[0].facts
    assert found.written == 3


def test_alone_uncalibrated_scenes_have_numbered_classes(tmp_path: Path) -> None:
    outcomes = [
        map_scene(tmp_path / "OUT", name, write_scene(tmp_path / f"{name}.tif", seed=seed, stored=False))
        for seed, name in enumerate("ab")
    ]
    make_common(outcomes, tmp_path / "OUT", 3)
    names = [item.name for item in read_legend(tmp_path / "OUT" / "legend.yaml").classes]
    assert names == ["class 1", "class 2", "class 3"]


def test_several_models_share_one_legend(tmp_path: Path) -> None:
    output, models = tmp_path / "OUT", {"a": KMEANS, "b": {**KMEANS, "classes": 5}}
    outcomes = [
        map_scene(output, name, write_scene(tmp_path / f"{name}.tif", seed=seed), models=models)
        for seed, name in enumerate(("one", "two"))
    ]
    found = make_common(outcomes, output, 3)
    assert found.written == 4 and set(found.outcomes[0].facts["common"]) == {"a", "b"}
    for item in outcomes:
        first, second = (read(common_path(output, item.name, model)) for model in models)
        assert (first == second).mean() > 0.97


def test_maps_that_are_no_more_leave_nothing_behind(batch: Batch) -> None:
    output, outcomes = batch
    make_common(outcomes, output, 3)
    for path in common_path(output, "one", "kmeans").parent.glob("kmeans*"):
        shutil.copy(path, path.with_name(path.name.replace("kmeans", "older")))
    make_common(outcomes, output, 3)
    kinds = {path.name for path in common_path(output, "one", "kmeans").parent.iterdir()}
    assert kinds == {"kmeans.tif", "kmeans.tif.aux.xml", "kmeans.qml", "kmeans.legend.yaml"}


def test_a_damaged_map_is_refused_and_the_others_go_on(batch: Batch) -> None:
    output, outcomes = batch
    (output / outcomes[0].maps["kmeans"]).write_bytes(b"II*\0 nothing")
    found = make_common(outcomes, output, 3)
    assert list(found.refused) == ["one/kmeans"] and found.written == 2
    assert "common" in found.outcomes[1].facts and "common" not in found.outcomes[0].facts
    assert list(common_path(output, "one", "kmeans").parent.iterdir()) == []


def test_without_a_map_there_is_no_legend(tmp_path: Path) -> None:
    assert make_common([failed("bad")], tmp_path, 3) == CommonLegend(None, (failed("bad"),))
    assert list(tmp_path.iterdir()) == []


def test_a_cluster_without_valid_pixels_is_unknown(batch: Batch) -> None:
    output, outcomes = batch
    make_common(outcomes, output, 3)
    spectra = SceneSpectra.read(spectra_path(output / "scenes" / "one", "one", "kmeans"))
    centres = CommonCentres.read(output)
    assert spectra is not None and centres is not None
    hollow = spectra.model_copy(update={"counts": [0, *spectra.counts[1:]]})
    legend = centres.legend_for(hollow, read_legend(output / "legend.yaml"))
    assert legend.table[spectra.clusters[0]] == 255 and legend.table[spectra.clusters[1]] in (1, 2, 3)
    assert [item.value for item in legend.classes] == [1, 2, 3, 255]


def test_spectra_are_kept_until_the_map_changes(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    output, outcomes = batch
    run, labels = output / "scenes" / "two", output / outcomes[1].maps["kmeans"]
    scene = open_run(run).scenes[0].scene
    assert scene is not None
    with LabelMap(labels) as source:
        direct = cluster_spectra(source, scene)
    found = scene_spectra(run, "two", "kmeans")
    assert found["means"] == direct.means[found["clusters"]].tolist()
    assert found["counts"] == direct.counts[found["clusters"]].tolist()
    monkeypatch.setattr("rsseg.batch.scene_spectra.cluster_spectra", None)
    assert scene_spectra(run, "two", "kmeans") == found
    shutil.copy(output / outcomes[0].maps["kmeans"], labels)
    with pytest.raises(TypeError):
        scene_spectra(run, "two", "kmeans")


def agreement(first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]) -> tuple[float, float]:
    """How often two pixels of one truth class have one label, each from its (truth, labels); and any two pixels."""
    shares, anyone = [], []
    for truth, labels in (first, second):
        known = (truth > 0) & (labels > 0)
        table = np.zeros((7, 256))
        np.add.at(table, (truth[known], labels[known]), 1)
        shares.append(table)
        anyone.append(table.sum(axis=0) / table.sum())
    both = (shares[0].sum(axis=1) > 300) & (shares[1].sum(axis=1) > 300)
    one, other = (table[both] / table[both].sum(axis=1, keepdims=True) for table in shares)
    return float((one * other).sum(axis=1).mean()), float((anyone[0] * anyone[1]).sum())


def test_simulated_land_is_matched_far_better_than_chance(tmp_path: Path) -> None:
    """Two places at two dates: one truth class has one common class, as well as matching to one of them by its map."""
    output, truths, outcomes = tmp_path / "OUT", {}, []
    products = {
        "winter": Product((260, 300), 2, date(2020, 1, 24), (400, 1480)),
        "spring": Product((260, 300), 9, date(2021, 3, 5), (940, 2380)),
    }
    for name, product in products.items():
        files = simulate(tmp_path / name, product)
        truths[name] = read(files.truth)
        outcomes.append(map_scene(output, name, files.product, models={"kmeans": {**KMEANS, "classes": 6}}))
    make_common(outcomes, output, 6)
    own = {name: read(output / "scenes" / name / name / "labels" / "kmeans.tif") for name in products}
    common = {name: read(common_path(output, name, "kmeans")) for name in products}
    matched, chance = agreement(*((truths[name], common[name]) for name in products))
    numbers, _ = agreement(*((truths[name], own[name]) for name in products))
    first, second = (output / "scenes" / name / name for name in products)
    with LabelMap(second / "labels" / "kmeans.tif") as source:
        legend = like_elsewhere(
            source, open_scene(second / "toa.tif"), first / "labels" / "kmeans.tif", first / "toa.tif", {}
        )
    like, _ = agreement((truths["winter"], own["winter"]), (truths["spring"], legend.table[own["spring"]]))
    print(f"common {matched:.3f}, chance {chance:.3f}, numbers {numbers:.3f}, like one scene {like:.3f}")
    assert matched > 2 * chance and matched > numbers + 0.1
    assert matched > 0.9 * like


def test_a_job_travels_and_tells_what_is_wrong(batch: Batch) -> None:
    output, outcomes = batch
    job = MapJob(
        output, "one", "kmeans", "scenes/gone.tif", "classes:\n- {value: 1, name: a, clusters: [1, 2, 3]}\n", "k"
    )
    assert "gone.tif does not exist" in map_in_common(job)
    assert map_in_common(replace(job, labels=outcomes[0].maps["kmeans"])) == ""
    assert set(np.unique(read(job.target))) <= {0, 1}
