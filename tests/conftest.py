"""Fixtures that every room's tests share."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rsseg.cli import main

# tiny networks gain nothing from threads, and lose much where other work shares the cores
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real scenes; tests that use it are skipped where it is absent."""
    folder = Path(os.environ.get("RSSEG_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real scenes in {folder}; set RSSEG_DATA to their folder")
    return folder


@pytest.fixture
def rsseg(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command line in this process: (exit code, stdout, stderr)."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return int(stop.value.code or 0), captured.out, captured.err

    return run
