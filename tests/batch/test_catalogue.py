"""The STAC catalogue of a batch: pystac walks it from the root to every item and back."""

import json
from pathlib import Path

import pystac
import pytest
from batch_folders import done, failed, map_scene
from scenes import write_scene

from rsseg.batch import catalogue
from rsseg.batch.outcome import Outcome
from rsseg.pipeline.stages.stac import stac

NAMES = ("one", "a-scene-2-वन.v1")
"""Names as a batch gives them (``files.file_word``): pystac opens no percent-encoded local address."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Outcome]]:
    folder = tmp_path_factory.mktemp("archive")
    scenes = [write_scene(folder / f"{seed}.tif", seed=seed) for seed in range(len(NAMES))]
    outcomes = [
        map_scene(folder / "OUT", name, path, each=False, catalogued=True)
        for name, path in zip(NAMES, scenes, strict=True)
    ]
    return folder / "OUT", outcomes


def test_the_whole_tree_walks_from_the_root(made: tuple[Path, list[Outcome]]) -> None:
    output, outcomes = made
    path = catalogue.write([*outcomes, failed("bad"), done("without")], output)
    root = pystac.Catalog.from_file(str(path))
    children = list(root.get_children())
    assert {child.id for child in children} == set(NAMES) and root.title == "Land-cover maps of 2 scene(s)"
    items = list(root.get_items(recursive=True))
    assert len(items) == 3 * len(NAMES)
    for item in items:
        assert Path(item.self_href).is_file()
        assert item.get_root() is root
        for asset in item.assets.values():
            assert Path(asset.get_absolute_href() or "").is_file()


def test_every_item_and_catalogue_finds_the_root_and_its_parent_by_itself(made: tuple[Path, list[Outcome]]) -> None:
    output, outcomes = made
    path = catalogue.write(outcomes, output)
    for name in NAMES:
        own = output / "scenes" / name / "stac"
        for file in own.rglob("*.json"):
            links = {link["rel"]: link["href"] for link in json.loads(file.read_text())["links"]}
            parent = path if file.name == "catalog.json" else own / "catalog.json"
            assert (file.parent / links["root"]).resolve() == path.resolve()
            assert (file.parent / links["parent"]).resolve() == parent.resolve()


def test_the_same_outcomes_give_the_same_bytes(made: tuple[Path, list[Outcome]]) -> None:
    output, outcomes = made
    before = catalogue.write(outcomes, output).read_bytes()
    assert catalogue.write([failed("bad"), *outcomes[::-1]], output).read_bytes() == before
    assert str(output).encode() not in before


def test_an_archive_without_a_map_has_an_empty_catalogue(tmp_path: Path) -> None:
    root = pystac.Catalog.from_file(str(catalogue.write([failed("bad")], tmp_path)))
    assert list(root.get_children()) == []


def test_without_a_parent_a_run_is_its_own_root(made: tuple[Path, list[Outcome]], tmp_path: Path) -> None:
    result = stac(made[0] / "scenes" / "one", tmp_path / "own")
    links = json.loads(Path(result.catalog).read_text())["links"]
    assert [link["href"] for link in links if link["rel"] in ("root", "parent")] == ["./catalog.json"]
