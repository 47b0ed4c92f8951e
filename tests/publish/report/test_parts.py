"""The parts of the page against slow references and by what they promise."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from labelmaps import write_map
from PIL import Image
from run_folders import write_confidence, write_run

from rsseg.publish.report.consensus import panel_codes
from rsseg.publish.report.curves import series, smoothed
from rsseg.publish.report.embedding import embedded, patch_features
from rsseg.publish.report.heat import background, ink
from rsseg.publish.report.html import Html, clean, join, number, plain, table, tag
from rsseg.publish.report.images import Album, indexed_png, scaled
from rsseg.publish.report.marks import widest
from rsseg.publish.report.pairs import Match, pairs_of
from rsseg.publish.report.patches import BLOCK, WINDOW, blocks_of, extremes, spread
from rsseg.publish.report.scenes import view_map, view_scene
from rsseg.publish.run_folder import MapFiles, open_run
from rsseg.scene.grid import Grid
from rsseg.scene.sensors import open_scene


def test_everything_but_markup_is_escaped() -> None:
    assert tag("p", "<b> & \"'", class_="x", title='"><b>') == (
        '<p class="x" title="&quot;&gt;&lt;b&gt;">&lt;b&gt; &amp; &quot;&#x27;</p>'
    )
    assert join(["a<", Html("<br>"), 3, None], "|") == "a&lt;|<br>|3|"
    assert tag("input", checked=True, hidden=False, min=0) == '<input checked min="0">'
    assert plain(Html("<b>a &lt; b</b>")) == "a < b"


def test_what_cannot_be_seen_is_made_visible() -> None:
    assert clean("a\x00b\x07\x7f\nc\td") == "a\u2400b\u2407\u2421 c d"
    assert clean("\u202eevil\ud800") == "\ufffdevil\ufffd" and clean("नदी 森 é") == "नदी 森 é"


def test_numbers_for_readers() -> None:
    assert number(1234567) == "1\u202f234\u202f567" and number(float("nan")) == number(None) == "\u2013"
    assert number(1234.5678, 1) == "1\u202f234.6" and number(0.5) == "0.500"
    made = table("c", ["a", "b", "t"], [["x", 1, "w"]])
    assert '<th scope="col" class="n">b</th>' in made and '<th scope="col">t</th>' in made


@pytest.mark.parametrize("share", np.linspace(0, 1, 21))
def test_numbers_stand_out_on_their_background(share: float) -> None:
    part = background(share) / 255
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    light = float(linear @ (0.2126, 0.7152, 0.0722))
    letters = {"#000": 0.0, "#fff": 1.0}[ink(background(share))]
    assert (max(light, letters) + 0.05) / (min(light, letters) + 0.05) >= 4.5


def test_pictures_keep_their_values_and_names_apart(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.uint8).reshape(3, 4)
    colours = np.random.default_rng(0).integers(0, 256, (256, 3)).astype(np.uint8)
    picture = Image.open(io.BytesIO(indexed_png(values, colours, clear=0))).convert("RGBA")
    assert np.array_equal(np.asarray(picture)[..., :3][values > 0], colours[values[values > 0]])
    assert np.asarray(picture)[0, 0, 3] == 0 and np.asarray(picture)[0, 1, 3] == 255
    album = Album(tmp_path)
    for title in ("A map", "a MAP", "../../etc/passwd", "", "森 " * 200):
        album.add(title, indexed_png(values, colours), '=1+1, "quoted"\nnew line')
    files = [record["file"] for record in album.records]
    assert len({name.casefold() for name in files}) == 5 and files[:2] == ["A-map.png", "a-MAP-2.png"]
    assert all((tmp_path / name).is_file() and len(name) < 100 and "/" not in name for name in files)
    assert scaled((48, 64)) == (448.0, 336.0) and scaled((900, 700), 1.5) == (700.0, 1350.0)


def test_marks_lie_inside_their_regions() -> None:
    mask = np.zeros((100, 120), bool)
    mask[10:31, 5:26] = mask[70:90, 80:110] = True
    assert [bool(mask[spot]) for spot in widest(mask)] == [True, True]
    assert {row < 50 for row, _ in widest(mask)} == {True, False} and widest(np.zeros((5, 5), bool)) == []
    lonely = np.zeros((50, 50), bool)
    lonely[7, 9] = True
    assert widest(lonely) == [(7, 9)]


def test_histories_fall_into_phases_and_runs() -> None:
    rows = [
        {"phase": "a", "run": 0, "epoch": 1, "loss": 2, "score": float("nan"), "seconds": 4, "word": "x"},
        {"phase": "a", "run": 1, "epoch": 1, "loss": 3.5},
        {"phase": "b", "run": 0, "epoch": 1, "loss": 1, "balance": 0.5},
        {"loss": 9},
    ]
    assert series(rows) == {
        "loss": {("a", "0"): [(1, 2.0)], ("a", "1"): [(1, 3.5)], ("b", "0"): [(1, 1.0)]},
        "balance": {("b", "0"): [(1, 0.5)]},
    }
    values = np.random.default_rng(0).normal(size=45)
    slow = [values[max(0, i - 2) : i + 3].mean() for i in range(45)]
    assert np.allclose(smoothed(list(values)), slow)
    assert np.allclose(smoothed([3.0, 1.0, 2.0]), [3, 1, 2]) and np.allclose(smoothed([2.0] * 30), 2)


PAIR = {
    "first": "a",
    "second": "b",
    "rows": [1, 2],
    "columns": [5, 4],
    "jaccard": [[0.5, 0.1], [0, 0.4]],
    "counts": [[10, 2], [0, 8]],
    "matches": [{"first": 1, "second": 5, "jaccard": 0.5}, {}],
    "mean_matched_jaccard": 0.45,
    "agreement": 0.9,
}


def test_pairs_are_read_with_and_without_joined_clusters() -> None:
    (pair,) = pairs_of({"pairs": [PAIR]})
    assert pair.matches == (Match((1,), (5,), 0.5, 10), Match((2,), (4,), 0.4, 8)) and pair.way == ""
    joined = {**PAIR, "matching": "overlap", "row_clusters": [[1, 7], [2]], "column_clusters": [[5], [4, 3]]}
    (pair,) = pairs_of({"pairs": [joined]})
    assert pair.way == "overlap" and pair.matches[0].first == (1, 7) and pair.matches[1].second == (4, 3)
    for key in PAIR:
        assert list(pairs_of({"pairs": [{k: v for k, v in PAIR.items() if k != key}]})) == []
    assert list(pairs_of({"pairs": [{**PAIR, "jaccard": [[1]]}, None]})) == [] == list(pairs_of({}))


def test_a_match_is_shown_pixel_by_pixel() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 4, (2, 9, 11))
    codes = panel_codes(first, second, Match((1, 2), (3,), 0, 0))
    gap = (codes.shape[1] - 33) // 2
    for row, col in np.ndindex(9, 11):
        ours, theirs = first[row, col] in (1, 2), second[row, col] == 3
        empty = first[row, col] == 0 or second[row, col] == 0
        both = 3 if ours and theirs else 1 if ours else 2 if theirs else 0
        wanted = [4, 4, 4] if empty else [int(ours), 2 * int(theirs), both]
        assert [int(codes[row, col + place * (11 + gap)]) for place in range(3)] == wanted


def test_blocks_are_those_of_a_pixel_loop() -> None:
    rng = np.random.default_rng(0)
    labels = np.kron(rng.integers(0, 3, (5, 6)), np.ones((5, 7), int)).astype(np.uint8)
    votes = rng.integers(0, 256, labels.shape).astype(np.uint8)
    found = blocks_of(labels, votes, 100)
    wanted = []
    for row in range(0, labels.shape[0] - BLOCK + 1, BLOCK):
        for col in range(0, labels.shape[1] - BLOCK + 1, BLOCK):
            value = labels[row + BLOCK // 2, col + BLOCK // 2]
            cut = (slice(row, row + BLOCK), slice(col, col + BLOCK))
            mine = (labels[cut] == value) & (votes[cut] != 255)
            if value and mine.any():
                wanted.append((100 + row, col, value, mine.mean(), votes[cut][mine].mean() / 254))
    assert np.allclose(np.array(wanted).T, list(vars(found).values()))


def test_the_surest_pieces_are_the_surest_and_share_no_pixel(tmp_path: Path) -> None:
    run = open_run(write_run(tmp_path / "run", models=["only"], shape=(160, 200), reference=False))
    scene = run.scenes[0]
    assert scene.scene is not None
    view = view_scene(scene.scene, 900)
    item = view_map(scene.maps[0], scene.scene, 900)
    sure, unsure = extremes(item, view)
    again = extremes(item, view)[0]
    assert all(np.array_equal(a, b) for a, b in zip(vars(sure).values(), vars(again).values(), strict=True))
    for value in item.values:
        high, low = spread(sure, value, view.shown.grid), spread(unsure, value, view.shown.grid)
        assert 1 <= len(high.rows) <= 5 and high.confidence.min() > low.confidence.max()
        centres = np.clip(np.stack([high.rows, high.cols]) - (WINDOW - BLOCK) // 2, 0, [[160 - WINDOW], [200 - WINDOW]])
        apart = np.abs(centres[:, :, None] - centres[:, None]).max(axis=0)
        assert (apart[~np.eye(len(high.rows), dtype=bool)] >= WINDOW).all()


def test_a_map_is_counted_whole_and_shown_decimated(tmp_path: Path) -> None:
    labels = np.kron(np.array([[1, 2], [3, 0]]), np.ones((60, 90), int))
    labels[0, 0] = 2
    item = view_map(MapFiles("m", write_map(tmp_path / "m.tif", labels), None), None, 30)
    assert item.shown.shape == (20, 30) and item.values == [1, 2, 3] and item.spectra is None
    assert item.counts[1] == 60 * 90 - 1 and item.share(2) == pytest.approx((60 * 90 + 1) / (3 * 60 * 90))
    assert item.areas is not None and item.areas[3] == pytest.approx(60 * 90 * 25 / 1e4)


def test_a_confidence_that_is_the_same_everywhere_is_not_shown(tmp_path: Path) -> None:
    labels = np.ones((20, 30), int)
    path = write_map(tmp_path / "m.tif", labels)
    same = write_confidence(tmp_path / "c.tif", np.full((20, 30), 254))
    assert view_map(MapFiles("m", path, same), None, 900).confidence is None


def test_principal_components_are_those_of_the_covariance(tmp_path: Path) -> None:
    write_run(tmp_path / "run", reference=False)
    places, features = patch_features(open_scene(tmp_path / "0.tif"))
    assert len(places) == len(features) == 48 and features.shape[1] == 6
    assert np.allclose(features.mean(axis=0), 0) and np.allclose(features.std(axis=0), 1)
    points, told = embedded(features, "pca")
    sizes = np.linalg.eigvalsh(features.T @ features / len(features))[::-1]
    assert np.allclose(points.var(axis=0), sizes[:2])
    assert f"{100 * sizes[:2].sum() / sizes.sum():.1f}" in told
    assert np.allclose(embedded(features[::-1], "pca")[0][::-1], points)
    assert embedded(features, "tsne")[0].shape == (48, 2)


def test_false_colour_shows_infrared_as_red(tmp_path: Path) -> None:
    write_run(tmp_path / "run", reference=False)
    view = view_scene(open_scene(tmp_path / "0.tif"), 900)
    assert view.bands == ("nir", "red", "green") and (view.picture[:3, :5] == 255).all()
    vegetation = view.picture[3:][view.picture[3:, :, 0] > 200]
    assert len(vegetation) and (vegetation[:, 0] > vegetation[:, 1]).mean() > 0.9


def test_a_run_is_found_out_from_its_files(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", scenes=["x", "y"], reference=False)
    config = {"models": {"recal": {"method": "recal"}, "recal_on": {"method": "iic"}}}
    (folder / "run.yaml").write_text(json.dumps(config))
    (folder / "models" / "recal_on_x.safetensors").write_bytes(b"")
    run = open_run(folder)
    assert [(model.name, model.config.get("method")) for model in run.models] == [
        ("recal", "recal"),
        ("recal_on_x", "recal"),
        ("kmeans", None),
    ]
    assert [scene.name for scene in run.scenes] == ["x", "y"] and len(run.scenes[0].maps) == 2
    assert Grid(48, 64).shape == run.scenes[0].scene.grid.shape  # type: ignore[union-attr]
