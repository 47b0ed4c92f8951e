"""Choosing scenes by what they say of themselves."""

from pathlib import Path

import pytest
from heard import Heard
from products import LISS4_META_PLAIN, make_landsat, make_liss3, make_liss4, with_keys

from rsseg.batch.names import named
from rsseg.batch.products import find_products
from rsseg.batch.where import chosen, conditions
from rsseg.errors import UsageError


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """liss4: 2018-10-02, 143/76; later: 2019-01-05, 143/77; liss3: 2019-09-30, 319/91; landsat: 2014-10-22."""
    folder = tmp_path_factory.mktemp("archive")
    make_liss4(folder / "liss4")
    meta = with_keys(LISS4_META_PLAIN, SceneCenterTime="05-JAN-2019 05:28:28.04", Row="77")
    make_liss4(folder / "later", meta=meta)
    make_liss3(folder / "liss3")
    make_landsat(folder / "landsat")
    return folder


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["sensor=LISS4"], {"later", "liss4"}),
        (["sensor=liss-iv"], {"later", "liss4"}),
        (["sensor=LISS-III,landsat-8"], {"landsat", "liss3"}),
        (["date=2019"], {"later", "liss3"}),
        (["date=2018-10"], {"liss4"}),
        (["date=2018-10-02/2019-01-05"], {"later", "liss4"}),
        (["date=../2018-12-31"], {"landsat", "liss4"}),
        (["date=2019-01-06/.."], {"liss3"}),
        (["path=143"], {"later", "liss4"}),
        (["path=143", "row=77"], {"later"}),
        (["row=70/80"], {"later", "liss4"}),
        (["bounds=85,20,90,25"], {"landsat"}),
        (["bounds=170,-10,-170,10"], set()),
        (["sensor=LISS4", "date=2014"], set()),
    ],
)
def test_conditions_choose(archive: Path, words: list[str], names: set[str]) -> None:
    jobs = named(find_products(archive), {})
    assert {job.name for job in chosen(jobs, conditions(words), Heard())} == names


def test_a_scene_that_cannot_be_read_is_not_left_out_in_silence(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.zip").write_text("no archive")
    make_liss4(tmp_path / "good")
    jobs = named(find_products(tmp_path), {})
    assert [job.name for job in chosen(jobs, conditions(["date=1999"]), Heard())] == ["broken"]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("colour=red", "write KEY=VALUE with KEY one of sensor, date, bounds, path, row"),
        ("sensor=", "write KEY=VALUE"),
        ("date=yesterday", "a date is written 2018, 2018-10, 2018-10-02 or FIRST/LAST"),
        ("bounds=1,2,3", "bounds are WEST,SOUTH,EAST,NORTH in degrees"),
        ("bounds=1,5,3,2", "south below north"),
        ("row=a", "write a number or FIRST/LAST"),
    ],
)
def test_conditions_that_say_nothing_are_refused(word: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        conditions([word])
