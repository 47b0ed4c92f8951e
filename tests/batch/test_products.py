"""What is found in an archive, and what it is called."""

import json
from pathlib import Path

import pytest
from products import make_landsat, make_liss4, some_numbers, write_band, zipped

from rsseg.batch.names import named
from rsseg.batch.products import Product, find_products, product_files
from rsseg.errors import InputError, UsageError
from rsseg.scene.sensors import open_scene


def places(archive: Path) -> list[str]:
    return [item.place for item in find_products(archive)]


def test_products_of_every_kind_are_found_below_a_folder(tmp_path: Path) -> None:
    make_liss4(tmp_path / "2018" / "one")
    (tmp_path / "2019" / "deep").mkdir(parents=True)
    zipped(make_liss4(tmp_path / "three"), tmp_path / "2019" / "deep" / "four.zip")
    write_band(tmp_path / "stack.tif", some_numbers((8, 9), 1)[0])
    (tmp_path / "notes.txt").write_text("no scene")
    (tmp_path / ".hidden").mkdir()
    write_band(tmp_path / ".hidden" / "left.tif", some_numbers((8, 9), 1)[0])
    assert places(tmp_path) == ["2018/one", "2019/deep/four.zip", "stack.tif", "three"]


def test_outputs_of_rsseg_are_no_scenes(tmp_path: Path) -> None:
    make_liss4(tmp_path / "one")
    (tmp_path / "out" / ".rsseg").mkdir(parents=True)
    write_band(tmp_path / "out" / "labels.tif", some_numbers((8, 9), 1)[0])
    assert places(tmp_path) == ["one"]


def test_several_products_in_one_folder_are_scenes_of_their_own(tmp_path: Path) -> None:
    for name in ("LC08_A", "LC08_B"):
        folder = make_landsat(tmp_path / name)
        for path in folder.iterdir():
            (tmp_path / path.name.replace("SCENE", name)).write_bytes(path.read_bytes())
            path.unlink()
        folder.rmdir()
        meta = tmp_path / f"{name}_MTL.txt"
        meta.write_text(meta.read_text().replace("SCENE_B", f"{name}_B"))
    found = find_products(tmp_path)
    assert [item.place for item in found] == ["LC08_A_MTL.txt", "LC08_B_MTL.txt"]
    assert [job.name for job in named(found, {})] == ["LC08_A", "LC08_B"]
    assert {path.name for path in product_files(found[0].path)} == {
        "LC08_A_MTL.txt",
        "LC08_A_B3.TIF",
        "LC08_A_B4.TIF",
        "LC08_A_B5.TIF",
    }
    # each is opened again as itself by the path that a stage is given
    scene = open_scene(found[1].path)
    assert scene.path == found[1].path
    assert Path(scene.bands[0].path).name == "LC08_B_B3.TIF"


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    make_liss4(tmp_path / "store" / "one")
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "link").symlink_to(tmp_path / "store")
    (tmp_path / "archive" / "loop").symlink_to(tmp_path / "archive")
    assert places(tmp_path / "archive") == ["link/one"]


def test_a_table_of_paths(tmp_path: Path) -> None:
    make_liss4(tmp_path / "data" / "one")
    table = tmp_path / "list.csv"
    table.write_text("\ufeffname,Path\na,data/one\nb,data/gone\nb,data/gone\nc,\n", encoding="utf-8")
    found = find_products(table)
    assert [item.place for item in found] == ["data/gone", "data/one"]
    assert found[1].path == tmp_path / "data" / "one"
    table.write_text("name,where\na,b\n")
    with pytest.raises(InputError, match="has no column 'path'; its first line names name, where"):
        find_products(table)
    table.write_bytes(b"path\n\xff\xfe\n")
    with pytest.raises(InputError, match=r"cannot read the list .* save it as CSV in UTF-8"):
        find_products(table)


def test_a_stac_catalogue_gives_its_items_data(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        assets = {
            "thumb": {"href": "./thumb.png", "roles": ["thumbnail"]},
            "image": {"href": f"./{name}.tif"},
            "far": {"href": "https://example.org/x.tif", "roles": ["data"]},
        }
        item = {"type": "Feature", "stac_version": "1.1.0", "assets": assets, "links": []}
        (tmp_path / name / "item.json").write_text(json.dumps(item))
    links = [{"rel": "item", "href": f"./{name}/item.json"} for name in ("b", "a")]
    links += [{"rel": "child", "href": "./catalog.json"}, {"rel": "item", "href": "https://example.org/i.json"}]
    (tmp_path / "catalog.json").write_text(json.dumps({"type": "Catalog", "links": links}))
    found = find_products(tmp_path / "catalog.json")
    assert [item.place for item in found] == ["a/a.tif", "b/b.tif"]
    (tmp_path / "other.json").write_text("[1, 2]")
    with pytest.raises(UsageError, match="is no STAC catalogue"):
        find_products(tmp_path / "other.json")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match="cannot read the catalogue"):
        find_products(tmp_path / "deep.json")


def test_an_archive_without_scenes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"does not exist"):
        find_products(tmp_path / "gone")
    with pytest.raises(InputError, match="holds no product and no raster; name the folder that they lie in"):
        find_products(tmp_path)


def test_names_are_unique_and_stay_when_the_archive_grows() -> None:
    def products(*names: str) -> list[Product]:
        return [Product(Path("/archive") / name, name) for name in names]

    known: dict[str, str] = {}
    first = named(products("b/scene.tif", "c/Scene.tif", "x/; rm -rf ~.tif"), known)
    assert [job.name for job in first] == ["scene", "Scene-2", "rm--rf"]
    grown = named(products("a/scene.tif", "b/scene.tif", "c/Scene.tif"), known)
    assert [job.name for job in grown] == ["scene-3", "scene", "Scene-2"]
    assert named(products("d/\x1b[31m..tif"), {})[0].name == "31m"
