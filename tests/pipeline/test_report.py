"""``rsseg report`` from the command line: what it writes, and what it refuses."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from run_folders import write_run

from rsseg.pipeline.stages.report import report

Rsseg = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", shape=(40, 48), reference=False)


def test_the_page_and_its_pictures_lie_in_the_run(rsseg: Rsseg, run: Path) -> None:
    code, out, err = rsseg("report", run, "--embedding", "none")
    assert (code, err) == (0, "") and str(run / "report.html") in out
    pictures = {path.name for path in (run / "report").glob("*.png")}
    for word in ("scene", "map-recal", "confidence-recal", "spectra-recal", "sizes-recal", "jaccard-recal-kmeans"):
        assert f"a-scene-{word}.png" in pictures
    assert "curves-recal.png" in pictures and any("match" in name for name in pictures)
    listed = (run / "report" / "pictures.csv").read_text(encoding="utf-8").splitlines()
    assert len(listed) == len(pictures) + 1


def test_an_older_page_is_replaced_only_when_asked(rsseg: Rsseg, run: Path) -> None:
    words = ("report", run, "--embedding", "none", "--json")
    code, out, _ = rsseg(*words)
    told = json.loads(out)
    assert code == 0 and told["bytes"] == (run / "report.html").stat().st_size
    code, _, err = rsseg(*words)
    assert code == 2 and "use --overwrite" in err
    (run / "report" / "old.png").write_bytes(b"")
    assert rsseg(*words, "--overwrite")[0] == 0
    assert not (run / "report" / "old.png").exists()


def test_a_page_elsewhere_has_its_pictures_beside_it(run: Path, tmp_path: Path) -> None:
    made = report(run, tmp_path / "site" / "index.html", embedding="none")
    assert {path.parent for path in made.pictures} == {tmp_path / "site" / "index"}
    assert not (run / "report.html").exists()


@pytest.mark.parametrize(
    ("take", "message"),
    [
        (["run.json"], "is not finished"),
        (["run.yaml"], "is no run of rsseg"),
        (["a scene/labels/recal.tif", "a scene/labels/kmeans.tif"], "holds no label map"),
    ],
)
def test_unfinished_runs_are_refused_in_a_sentence(rsseg: Rsseg, run: Path, take: list[str], message: str) -> None:
    for name in take:
        (run / name).unlink()
    before = sorted(run.rglob("*"))
    code, out, err = rsseg("report", run)
    assert code == 1 and out == "" and message in err and len(err.splitlines()) == 1
    assert sorted(run.rglob("*")) == before


def test_other_refusals(rsseg: Rsseg, run: Path, tmp_path: Path) -> None:
    code, _, err = rsseg("report", tmp_path / "nowhere")
    assert code == 1 and "is no folder" in err
    code, _, err = rsseg("report", run, "-o", tmp_path / "page.pdf")
    assert code == 2 and "end it in .html" in err
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "holiday.jpg").write_bytes(b"")
    code, _, err = rsseg("report", run, "-o", tmp_path / "page.html", "--overwrite")
    assert code == 2 and "holds other files" in err and (tmp_path / "page" / "holiday.jpg").exists()


def test_damaged_notes_of_a_run_are_left_out(run: Path) -> None:
    (run / "a scene" / "consensus" / "consensus.json").write_text('{"pairs": [{"first": 1}, 3]}')
    (run / "models" / "recal.history.jsonl").write_text("[1]\n{\n")
    text = report(run, embedding="none").page.read_text(encoding="utf-8")
    assert "Agreement" not in text and "There is no history" in text


def test_a_damaged_map_is_named(rsseg: Rsseg, run: Path) -> None:
    labels = run / "a scene" / "labels" / "recal.tif"
    labels.write_bytes(labels.read_bytes()[:300])
    code, _, err = rsseg("report", run)
    assert code == 1 and "recal.tif" in err and not (run / "report.html").exists()
