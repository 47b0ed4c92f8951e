"""rsseg simulate on the command line."""

import json
from pathlib import Path


def test_writes_a_product_and_says_so(rsseg, tmp_path: Path) -> None:
    code, out, _ = rsseg("simulate", "-o", tmp_path / "p", "--size", "60x80", "--seed", "4", "--shift", "-30,12")
    assert code == 0
    assert "60 x 80 pixels" in out and "built-up" in out
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["p", "p_reference.gpkg", "p_truth.qml", "p_truth.tif", "p_truth.tif.aux.xml"]


def test_answers_in_json(rsseg, tmp_path: Path) -> None:
    options = ("--size", "60x80", "--date", "2019-10-05", "--zip", "--json", "-q")
    code, out, _ = rsseg("simulate", "-o", tmp_path / "p", *options)
    answer = json.loads(out)
    assert code == 0 and answer["product"] == str(tmp_path / "p.zip")
    assert Path(answer["truth"]).exists() and Path(answer["reference"]).exists()
    assert list(answer["shares"]) == ["water", "wetland", "forest", "crops", "built-up", "bare"]


def test_refuses_what_exists_and_what_is_no_place(rsseg, tmp_path: Path) -> None:
    assert rsseg("simulate", "-o", tmp_path / "p", "--size", "40x40")[0] == 0
    code, _, err = rsseg("simulate", "-o", tmp_path / "p", "--size", "40x40")
    assert code == 2 and "--overwrite" in err
    assert rsseg("simulate", "-o", tmp_path / "p", "--size", "40x40", "--overwrite")[0] == 0
    code, _, err = rsseg("simulate", "-o", tmp_path / "q", "--shift", "1.5,0")
    assert code == 2 and "whole pixels" in err
    code, _, err = rsseg("simulate", "-o", tmp_path / "q", "--date", "tomorrow")
    assert code == 2 and not (tmp_path / "q").exists()
