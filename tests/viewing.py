"""Small run folders, and a server of one, for tests of the viewer."""

import http.client
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from labelmaps import grid_for, write_map
from numpy.typing import NDArray
from scenes import fields, write_scene

from rsseg.publish.labels import ConfidenceWriter, LabelClass
from rsseg.publish.view.server import ViewServer
from rsseg.scene.grid import Grid

NAMES = ("water", "<script>alert(1)</script>", "Wald & Wiese; \"'\nünï 森")
COLOURS = ("#0072b2", "#e69f00", "#009e73")


def write_run(folder: Path, height: int = 48, width: int = 64, *, grid: Grid | None = None) -> NDArray[np.uint8]:
    """A run with one scene, ``town``, beside the folder, and a map ``model`` of three clusters; returns the labels."""
    scene = write_scene(folder.parent / "town.tif", height, width)
    labels = (fields(height, width) + 1).astype(np.uint8)
    labels[:3, :5] = 0
    place = folder / "town"
    (place / "labels").mkdir(parents=True)
    classes = [LabelClass(v, NAMES[v - 1], COLOURS[v - 1]) for v in (1, 2, 3)]
    write_map(place / "labels" / "model.tif", labels, grid=grid, classes=classes)
    write_confidence(place / "confidence" / "model.tif", labels, grid)
    told = {"scenes": [{"name": "town", "path": str(scene)}]}
    (folder / "run.json").write_text(json.dumps(told))
    return labels


def write_confidence(path: Path, labels: NDArray[np.uint8], grid: Grid | None = None) -> None:
    """0 to 254 by column; 255, no data, where there is no label."""
    grid = grid or grid_for(labels.shape)
    values = np.broadcast_to(np.linspace(0, 254, labels.shape[1]).astype(np.uint8), labels.shape)
    with ConfidenceWriter(path, grid, tags={}) as writer:
        writer.write(np.where(labels == 0, 255, values).astype(np.uint8), grid.window)


@contextmanager
def serving(server: ViewServer) -> Iterator["Client"]:
    """Serve in a thread."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    with server:
        thread.start()
        try:
            yield Client(server)
        finally:
            server.shutdown()
            thread.join()


class Client:
    """What a browser on this machine sends."""

    def __init__(self, server: ViewServer) -> None:
        self.server = server

    def ask(
        self,
        path: str,
        method: str = "GET",
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Mapping[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=20)
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            return response.status, dict(response.headers), response.read()
        finally:
            connection.close()

    def json(self, path: str) -> Any:
        status, _, content = self.ask(path)
        assert status == 200, content
        return json.loads(content)

    def layers(self) -> dict[str, dict[str, Any]]:
        """The first scene's layers by title."""
        return {layer["title"]: layer for layer in self.json("/api/contents")["scenes"][0]["layers"]}

    def rename(self, headers: Mapping[str, str] | None = None, **change: Any) -> tuple[int, Any]:
        sent = {"Content-Type": "application/json", "X-Rsseg-Token": self.server.token, **(headers or {})}
        status, _, content = self.ask("/api/rename", "POST", json.dumps(change), sent)
        return status, json.loads(content)
