"""``rsseg view`` as a process: the address on stdout, Ctrl-C ends it in peace."""

import http.client
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from labelmaps import Run, write_map


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_stopped(tmp_path: Path, number: signal.Signals) -> None:
    labels = write_map(tmp_path / "map.tif", np.array([[1, 2], [0, 1]], np.uint8))
    words = [sys.executable, "-m", "rsseg", "view", str(labels), "--no-browser", "--port", "0"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    ) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[0]
            port = int(url.removeprefix("http://127.0.0.1:").rstrip("/"))
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            connection.request("GET", "/")
            assert connection.getresponse().status == 200
            process.send_signal(number)
            _, err = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 0 and err.strip() == "stopped"


def test_what_it_refuses(rsseg: Run, tmp_path: Path) -> None:
    labels = write_map(tmp_path / "map.tif", np.array([[1, 2], [0, 1]], np.uint8))
    assert rsseg("view", tmp_path / "nowhere", "--no-browser")[0] == 1
    code, out, err = rsseg("view", tmp_path, "--no-browser")
    assert code == 1 and "holds no label map" in err and out == ""
    assert rsseg("view", tmp_path, "--no-browser", "--scene", labels)[0] == 2
    assert rsseg("view", labels, "--no-browser", "--port", "70000")[0] == 2
    code, _, err = rsseg("view", labels, "--no-browser", "--reference", labels, "--reference", labels)
    assert code == 2 and "give one" in err
