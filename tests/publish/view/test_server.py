"""The server: what it shows are the rasters' own values, and it answers no one but its own page."""

import http.client
import io
import json
import shlex
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
import rasterio
from labelmaps import Run, grid_for, write_boxes, write_map, write_plain
from PIL import Image
from scenes import write_scene
from viewing import COLOURS, NAMES, Client, serving, write_confidence, write_run

from rsseg.errors import InputError, UsageError
from rsseg.label.legend_file import read_legend
from rsseg.label.maps import LabelMap
from rsseg.pipeline.stages.view import prepare
from rsseg.publish.palette import LabelClass, default_colour
from rsseg.publish.view.server import STATIC


def rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))


def pixels(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as picture:
        return np.asarray(picture.convert("RGBA"))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    write_run(tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def client(run: Path) -> Iterator[Client]:
    with serving(prepare(run, port=0)) as client:
        yield client


def labels_of(run: Path) -> np.ndarray:
    with rasterio.open(run / "town" / "labels" / "model.tif") as file:
        return file.read(1)


# what is shown


def test_the_page_lists_scenes_and_layers(client: Client) -> None:
    contents = client.json("/api/contents")
    (scene,) = contents["scenes"]
    assert contents["title"] == "run"
    assert (scene["title"], scene["height"], scene["width"], scene["units"]) == ("town", 48, 64, "projected")
    assert scene["metres"] == [5, 5] and scene["notes"] == []
    assert [(layer["kind"], layer["title"]) for layer in scene["layers"]] == [
        ("confidence", "confidence of model"),
        ("map", "model"),
        ("scene", "scene"),
    ]


def test_a_tile_of_a_map_has_its_colours_and_no_data_is_transparent(client: Client, run: Path) -> None:
    labels, layer = labels_of(run), client.layers()["model"]
    shown = pixels(client.ask(f"/tiles/{layer['id']}/0/0/0.png")[2])
    for value, colour in enumerate(COLOURS, 1):
        assert (shown[labels == value] == (*rgb(colour), 255)).all()
    assert (shown[labels == 0, 3] == 0).all() and (labels == 0).any()


def test_a_tile_of_the_scene_is_stretched_over_the_whole_scene(client: Client, run: Path) -> None:
    with rasterio.open(run.parent / "town.tif") as file:
        stored = file.read().astype(float)
    valid = stored[0] != 65535
    shown = pixels(client.ask(f"/tiles/{client.layers()['scene']['id']}/0/0/0.png")[2])
    assert np.array_equal(shown[..., 3], 255 * valid)
    for channel, band in enumerate((2, 1, 0)):
        low, high = np.percentile(stored[band][valid], (2, 98))
        expected = 255 * np.clip((stored[band] - low) / (high - low), 0, 1)
        assert np.abs(shown[..., channel] - expected)[valid].max() <= 0.51


def test_a_large_scene_is_shown_alike_from_its_copy_and_from_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = write_scene(tmp_path / "s.tif", 700, 900)
    path = write_map(tmp_path / "map.tif", np.ones((700, 900), np.uint8))
    shown = []
    for side in (2560, 100):
        monkeypatch.setattr("rsseg.publish.view.scene_source._COPY", side)
        with serving(prepare(path, scene=scene, port=0)) as client:
            number = client.layers()["scene"]["id"]
            shown.append([pixels(client.ask(f"/tiles/{number}/{level}/0/0.png")[2]) for level in (2, 1, 0)])
    for whole, part in zip(*shown, strict=True):
        assert whole.shape == part.shape
        close = np.abs(whole[..., :3].astype(int) - part[..., :3]).max(axis=-1) < 40
        assert close.mean() > 0.9  # fields have borders, and the stretch is of fewer pixels


def test_a_tile_of_a_confidence_goes_from_dark_to_light(client: Client, run: Path) -> None:
    shown = pixels(client.ask(f"/tiles/{client.layers()['confidence of model']['id']}/0/0/0.png")[2])
    assert np.array_equal(shown[..., 3] == 0, labels_of(run) == 0)
    assert (np.diff(shown[10, :, :3].astype(int).sum(axis=1)) >= -3).all()
    assert shown[10, -1, :3].sum() > 2 * shown[10, 0, :3].sum()


def test_coarse_tiles_come_from_the_overviews(tmp_path: Path) -> None:
    labels = np.kron(np.random.default_rng(0).integers(1, 4, (80, 96)), np.ones((16, 16), int)).astype(np.uint8)
    path = write_map(tmp_path / "map.tif", labels)
    with rasterio.open(path, OVERVIEW_LEVEL=0) as file:
        half = file.read(1)
    with serving(prepare(path, port=0)) as client:
        (layer,) = client.layers().values()
        assert layer["levels"] == 4
        colours = np.array([rgb(default_colour(value)) for value in range(1, 4)])
        for row, col in ((0, 0), (1, 1), (2, 2)):
            shown = pixels(client.ask(f"/tiles/{layer['id']}/1/{row}/{col}.png")[2])
            part = half[256 * row : 256 * row + 256, 256 * col : 256 * col + 256]
            assert np.array_equal(shown[..., :3], colours[part - 1])
        assert pixels(client.ask(f"/tiles/{layer['id']}/3/0/0.png")[2]).shape == (160, 192, 4)


def test_a_place_has_the_values_of_every_raster(client: Client, run: Path) -> None:
    labels, layers = labels_of(run), client.layers()
    with rasterio.open(run.parent / "town.tif") as scene, rasterio.open(run / "town/confidence/model.tif") as sure:
        stored, shares, scales, offsets = scene.read(), sure.read(1) * sure.scales[0], scene.scales, scene.offsets
        for row, col in ((10, 7), (47, 63), (20, 40)):
            told = client.json(f"/api/pixel/0/{row}/{col}")
            assert (told["x"], told["y"]) == scene.xy(row, col)
            answers = {title: told["layers"][str(layer["id"])] for title, layer in layers.items()}
            value = int(labels[row, col])
            assert (answers["model"]["value"], answers["model"]["name"]) == (value, NAMES[value - 1])
            assert answers["confidence of model"]["share"] == pytest.approx(shares[row, col])
            assert answers["confidence of model"]["about"] == "model"
            physical = stored[:, row, col] * np.array(scales) + np.array(offsets)
            assert answers["scene"]["units"] == "reflectance"
            assert answers["scene"]["bands"] == pytest.approx(dict(zip(("green", "red", "nir"), physical, strict=True)))


def test_a_place_without_data_says_so(client: Client) -> None:
    layers = client.layers()
    told = {key: client.json("/api/pixel/0/0/0")["layers"][str(layer["id"])] for key, layer in layers.items()}
    assert told["model"]["value"] == 0 and told["confidence of model"]["share"] is None and told["scene"]["bands"] == {}


def test_a_map_of_patches_lies_over_its_scene(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "s.tif", 50, 70)
    cells = (np.arange(7 * 9).reshape(7, 9) % 5 + 1).astype(np.uint8)
    write_map(tmp_path / "map.tif", cells, grid=grid_for((50, 70)).coarsened(8))
    with serving(prepare(tmp_path / "map.tif", scene=scene, port=0)) as client:
        layer = client.layers()["map"]
        assert layer["place"] == {"row": 0, "col": 0, "down": 8, "across": 8}
        told = client.json("/api/pixel/0/49/17")["layers"][str(layer["id"])]
        assert told["value"] == cells[6, 2]


def test_maps_without_a_crs_are_shown(tmp_path: Path) -> None:
    labels = np.array([[1, 2], [0, 1]], np.uint8)
    path = write_map(tmp_path / "map.tif", labels, grid=grid_for((2, 2), crs=None))
    with serving(prepare(path, port=0)) as client:
        (scene,) = client.json("/api/contents")["scenes"]
        assert scene["units"] == "none" and scene["metres"] is None
        shown = pixels(client.ask(f"/tiles/{scene['layers'][0]['id']}/0/0/0.png")[2])
        assert np.array_equal(shown[..., 3], 255 * (labels > 0))


def test_reference_polygons_are_burnt_at_every_level(tmp_path: Path) -> None:
    labels = np.ones((600, 500), np.uint8)
    path = write_map(tmp_path / "map.tif", labels)
    boxes = [(0, 0, 300, 500, "forest"), (400, 100, 100, 100, NAMES[1])]
    polygons = write_boxes(tmp_path / "truth.gpkg", grid_for(labels.shape), boxes)
    with serving(prepare(path, references=[polygons], field="class", port=0)) as client:
        layer = client.layers()["reference"]
        entries = client.json(f"/api/legend/{layer['id']}")["entries"]
        assert {entry["name"]: entry["pixels"] for entry in entries} == {"forest": 150000, NAMES[1]: 10000}
        shown = pixels(client.ask(f"/tiles/{layer['id']}/2/0/0.png")[2])
        assert shown.shape[:2] == (150, 125) and tuple(shown[0, 0, :3]) == rgb("#165b14")  # forest, by its name
        assert (
            (shown[:75, :, 3] == 255).all() and not shown[75:100, :, 3].any() and (shown[100:125, 25:50, 3] > 0).all()
        )


def test_a_reference_elsewhere_is_noted_and_a_wrong_field_refused(run: Path, tmp_path: Path) -> None:
    far = write_boxes(tmp_path / "far.gpkg", grid_for((9999, 9999)), [(9000, 9000, 9, 9, "forest")])
    with serving(prepare(run, references=[far], field="class", port=0)) as client:
        (scene,) = client.json("/api/contents")["scenes"]
        assert "no polygon of" in scene["notes"][0] and "reference" not in client.layers()
    with pytest.raises(UsageError, match="no field 'kind'"):
        prepare(run, references=[far], field="kind", port=0)
    with pytest.raises(UsageError, match="2 references for 1 scenes"):
        prepare(run, references=[far, far], field="class", port=0)


def test_a_reference_raster_is_shown_with_its_names(run: Path, tmp_path: Path) -> None:
    classes = [LabelClass(1, "water", "#112233"), LabelClass(2, NAMES[1], "#445566"), LabelClass(3, "town", "#778899")]
    truth = write_map(tmp_path / "truth.tif", labels_of(run), classes=classes)
    with serving(prepare(run, references=[truth], port=0)) as client:
        layer = client.layers()["reference"]
        assert layer["valued"] and not layer["named"]
        entries = client.json(f"/api/legend/{layer['id']}")["entries"]
        assert [(entry["name"], entry["colour"]) for entry in entries] == [(c.name, c.colour) for c in classes]
        assert client.rename(layer=layer["id"], value=1, name="sea")[0] == 400


def test_the_runs_own_reference_is_found(run: Path, tmp_path: Path) -> None:
    truth = write_map(tmp_path / "truth.tif", labels_of(run))
    told = json.loads((run / "run.json").read_text())
    told["scenes"][0]["reference"] = str(truth)
    (run / "run.json").write_text(json.dumps(told))
    with serving(prepare(run, port=0)) as client:
        assert client.layers()["reference"]["valued"]
    truth.unlink()
    with serving(prepare(run, port=0)) as client:
        assert "reference" not in client.layers()


def test_comparisons_are_maps_or_shares_by_their_scale(run: Path) -> None:
    labels = labels_of(run)
    write_map(run / "town" / "consensus" / "agreement_count.tif", labels)
    write_confidence(run / "town" / "consensus" / "entropy.tif", labels)
    write_plain(run / "town" / "consensus" / "other.tif", labels.astype(np.float32), grid_for(labels.shape))
    with serving(prepare(run, port=0)) as client:
        layers = client.layers()
        assert layers["agreement count"]["valued"] and not layers["entropy"]["valued"] and "other" not in layers
        told = client.json("/api/pixel/0/20/63")["layers"]
        assert told[str(layers["entropy"]["id"])]["share"] == pytest.approx(1)


def test_a_map_on_another_grid_is_noted(run: Path) -> None:
    write_map(run / "town" / "labels" / "zz.tif", labels_of(run), grid=grid_for((48, 64), crs=None))
    with serving(prepare(run, port=0)) as client:
        (scene,) = client.json("/api/contents")["scenes"]
        assert "zz lies on another grid" in scene["notes"][0] and "zz" not in client.layers()


def test_a_run_whose_scene_is_gone_shows_its_maps(run: Path) -> None:
    (run.parent / "town.tif").unlink()
    with serving(prepare(run, port=0)) as client:
        (scene,) = client.json("/api/contents")["scenes"]
        assert "no longer at" in scene["notes"][0] and "scene" not in client.layers()


@pytest.mark.parametrize("text", ["", "[]", '{"scenes": 3}', '{"scenes": [3, {"name": [1]}]}', '{"scenes": null}'])
def test_an_unfinished_run_shows_its_maps(run: Path, text: str) -> None:
    (run / "run.json").write_text(text)
    with serving(prepare(run, port=0)) as client:
        (scene,) = client.json("/api/contents")["scenes"]
        assert scene["title"] == "town" and "not finished" in scene["notes"][0]


def test_what_a_run_writes_meanwhile_is_shown(client: Client, run: Path) -> None:
    before = client.layers()["model"]
    labels = np.full((48, 64), 2, np.uint8)
    write_map(run / "new.tif", labels)
    for suffix in ("tif", "tif.aux.xml"):
        (run / f"new.{suffix}").replace(run / "town" / "labels" / f"model.{suffix}")
    write_map(run / "town" / "named" / "model.tif", labels)
    after = client.layers()
    assert after["model"]["id"] == before["id"] and after["model"]["version"] != before["version"]
    assert "model, relabelled" in after
    assert client.json("/api/pixel/0/0/0")["layers"][str(before["id"])]["value"] == 2
    shown = pixels(client.ask(f"/tiles/{before['id']}/0/0/0.png")[2])
    assert (shown == (*rgb(default_colour(2)), 255)).all()


def test_many_questions_at_once_get_the_answers_of_one(client: Client) -> None:
    layers = client.layers()
    paths = [f"/tiles/{layer['id']}/0/0/0.png" for layer in layers.values()]
    paths += [f"/api/pixel/0/{row}/{3 * row}" for row in range(20)]
    alone = [client.ask(path)[2] for path in paths]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda path: client.ask(path)[2], paths * 4))
    assert together == alone * 4


# renaming


def test_a_new_name_is_shown_at_once_and_relabelling_makes_its_map(rsseg: Run, client: Client, run: Path) -> None:
    layer = client.layers()["model"]
    entries = client.json(f"/api/legend/{layer['id']}")["entries"]
    labels = labels_of(run)
    assert [(e["value"], e["name"], e["colour"], e["pixels"]) for e in entries] == [
        (v, NAMES[v - 1], COLOURS[v - 1], int((labels == v).sum())) for v in (1, 2, 3)
    ]
    status, answer = client.rename(layer=layer["id"], value=2, name="</textarea><img onerror=x>", colour="#010203")
    assert status == 200 and answer["version"] != layer["version"]
    assert answer["entries"][1]["name"] == "</textarea><img onerror=x>" and answer["entries"][1]["colour"] == "#010203"
    shown = pixels(client.ask(f"/tiles/{layer['id']}/0/0/0.png")[2])
    assert (shown[labels == 2, :3] == (1, 2, 3)).all() and (shown[labels == 1, :3] == rgb(COLOURS[0])).all()
    target = run / "town" / "legends" / "model.yaml"
    assert answer["file"] == str(target) and read_legend(target).classes[1].colour == "#010203"
    words = shlex.split(answer["command"])
    assert words[0] == "rsseg" and rsseg(*words[1:])[0] == 0
    with LabelMap(run / "town" / "named" / "model.tif") as made:
        assert made.names[2] == "</textarea><img onerror=x>" and made.colours[2] == "#010203"


def test_a_name_that_cannot_be_is_refused_with_a_sentence(client: Client, run: Path) -> None:
    layers = client.layers()
    number = layers["model"]["id"]
    assert client.rename(layer=number, value=1, name=" ")[1] == {"error": "a name is needed; write one, such as water"}
    for change in (
        {"layer": number, "value": 9, "name": "a"},
        {"layer": number, "value": 1, "name": "a", "colour": "url(x)"},
        {"layer": number, "value": True, "name": "a"},
        {"layer": number, "value": 1, "name": 3},
        {"layer": number, "value": 1, "name": "a", "path": "/etc/passwd"},
        {"layer": layers["scene"]["id"], "value": 1, "name": "a"},
        {"value": 1, "name": "a"},
    ):
        status, answer = client.rename(**change)
        assert status == 400 and answer["error"], change
    assert client.rename(layer=99, value=1, name="a")[0] == 404
    assert not (run / "town" / "legends").exists()


def test_a_broken_legend_is_said_beside_the_map(client: Client, run: Path) -> None:
    (run / "town" / "legends").mkdir()
    (run / "town" / "legends" / "model.yaml").write_text("classes: 3")
    layer = client.layers()["model"]
    answer = client.json(f"/api/legend/{layer['id']}")
    assert "model.yaml" in answer["problem"] and answer["entries"][0]["name"] == NAMES[0]
    assert client.ask(f"/tiles/{layer['id']}/0/0/0.png")[0] == 200


# safety


def test_it_listens_on_this_machine_only(client: Client) -> None:
    assert client.server.server_address[0] == "127.0.0.1"
    with socket.socket() as other:
        other.settimeout(2)
        own = socket.gethostbyname(socket.gethostname())
        if not own.startswith("127."):
            assert other.connect_ex((own, client.server.port)) != 0


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "localhost:1", "127.0.0.1.evil.example:{port}", ""])
def test_other_hosts_names_are_refused(client: Client, host: str) -> None:
    status, _, content = client.ask("/api/contents", headers={"Host": host.format(port=client.server.port)})
    assert status == 403 and json.loads(content)["error"]
    assert client.ask("/", headers={"Host": f"localhost:{client.server.port}"})[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Rsseg-Token": "wrong"},
        {"X-Rsseg-Token": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_no_one_but_the_page_may_write(client: Client, run: Path, headers: dict[str, str]) -> None:
    number = client.layers()["model"]["id"]
    status, answer = client.rename(headers, layer=number, value=1, name="owned")
    assert status == 403 and answer["error"] and not (run / "town" / "legends").exists()


def test_the_pages_own_requests_are_answered(client: Client) -> None:
    own = {"Origin": client.server.url.rstrip("/"), "Sec-Fetch-Site": "same-origin"}
    number = client.layers()["model"]["id"]
    assert client.rename(own, layer=number, value=1, name="sea")[0] == 200
    token = client.server.token
    assert f'content="{token}"'.encode() in client.ask("/")[2] and len(token) >= 32


def test_requests_that_are_too_long_or_no_json_are_refused(client: Client) -> None:
    token = {"X-Rsseg-Token": client.server.token, "Content-Type": "application/json"}
    assert client.ask("/api/rename", "POST", b"{", token)[0] == 400
    assert client.ask("/api/rename", "POST", b"[" * 60000, token)[0] == 400
    assert client.ask("/api/rename", "POST", b"[]", token)[0] == 400
    assert client.ask("/api/other", "POST", b"{}", token)[0] == 404
    assert client.ask("/api/rename", "POST", b"{}", {**token, "Content-Type": "text/plain"})[0] == 415
    for length, status in (("70000", 413), ("-1", 411), ("x", 411), (None, 411)):
        connection = http.client.HTTPConnection("127.0.0.1", client.server.port, timeout=20)
        connection.putrequest("POST", "/api/rename")
        for name, text in token.items():
            connection.putheader(name, text)
        if length is not None:
            connection.putheader("Content-Length", length)
        connection.endheaders()
        assert connection.getresponse().status == status, length
        connection.close()


@pytest.mark.parametrize(
    "path",
    [
        "/static/../server.py",
        "/static/%2e%2e/server.py",
        "/static/index.html",
        "/static/",
        "/../../etc/passwd",
        "/tiles/1/0/0/../../../../run.json",
        "/tiles/{map}/99/0/0.png",
        "/tiles/{map}/0/999999/0.png",
        "/tiles/{map}/0/-1/0.png",
        "/tiles/{map}/0/0/0",
        "/tiles/{map}/0/0/0.png/x",
        "/tiles/999/0/0/0.png",
        "/tiles/{map}/٣/0/0.png",
        "/tiles/x/0/0/0.png",
        "/api/pixel/0/48/0",
        "/api/pixel/0/0/64",
        "/api/pixel/9/0/0",
        "/api/pixel/0/0/-1",
        "/api/legend/{scene}",
        "/api/legend/12345678901234567890",
        "/favicon.ico",
    ],
)
def test_there_is_nothing_else(client: Client, path: str) -> None:
    layers = client.layers()
    wanted = quote(path.format(map=layers["model"]["id"], scene=layers["scene"]["id"]), safe="/%")
    status, headers, content = client.ask(wanted)
    assert status == 404 and "error" in json.loads(content)
    assert headers["Content-Type"].startswith("application/json")


def test_every_answer_forbids_what_the_page_does_not_need(client: Client) -> None:
    for path in ("/", "/api/contents", "/nothing", *(f"/static/{name}" for name in STATIC)):
        status, headers, content = client.ask(path)
        assert status == (404 if path == "/nothing" else 200)
        assert "default-src 'none'" in headers["Content-Security-Policy"] and "unsafe" not in str(headers)
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["Cache-Control"] == "no-store"
        assert b"http://" not in content.replace(b"http://www.w3.org/2000/svg", b"") and b"https://" not in content
        assert b"innerHTML" not in content and b"eval(" not in content


def test_other_ways_of_asking_are_refused(client: Client) -> None:
    assert client.ask("/api/contents", "PUT", b"{}")[0] == 501
    assert client.ask("/api/contents", "DELETE")[0] == 501
    status, headers, content = client.ask("/", "HEAD")
    assert status == 200 and content == b"" and int(headers["Content-Length"]) > 1000


# starting


def test_what_is_no_run_is_said(tmp_path: Path, run: Path) -> None:
    with pytest.raises(InputError, match="holds no label map"):
        prepare(tmp_path, port=0)
    with pytest.raises(InputError, match="does not exist"):
        prepare(tmp_path / "nowhere", port=0)
    with pytest.raises(InputError, match="no label raster"):
        prepare(run.parent / "town.tif", port=0)
    with pytest.raises(UsageError, match="a run folder knows its scenes"):
        prepare(run, scene=run.parent / "town.tif", port=0)


def test_a_taken_port_is_said_and_the_usual_one_is_not_insisted_on(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with prepare(run, port=0) as first:
        with pytest.raises(UsageError, match=f"cannot listen on port {first.port}"):
            prepare(run, port=first.port)
        monkeypatch.setattr("rsseg.pipeline.stages.view.PORT", first.port)
        with prepare(run) as second:
            assert second.port != first.port
