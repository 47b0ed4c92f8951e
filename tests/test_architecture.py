"""The house's rules: imports run one way, and heavy libraries stay where they belong."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import rsseg

PACKAGE = Path(rsseg.__file__).parent
FILES = sorted(path for path in PACKAGE.rglob("*.py"))
ROOMS = ("scene", "learn", "label", "publish", "pipeline", "batch", "cli")
"""From the bottom to the top: a room imports from itself and from those before it."""

SHARED = ("errors", "cells", "files", "progress", "prefetch")


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield from (f"{node.module}.{name.name}" for name in node.names)


def libraries(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imported(path)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_one_way(path: Path) -> None:
    room = room_of(path)
    own = {name.split(".")[1] for name in imported(path) if name.startswith("rsseg.")}
    allowed = set(SHARED)
    if room in ROOMS:
        allowed |= {*ROOMS[: ROOMS.index(room) + 1], "__version__"}
    elif room == "__main__":
        allowed.add("cli")
    assert own <= allowed, f"{path.relative_to(PACKAGE)} imports {sorted(own - allowed)}"


def test_every_file_belongs_to_a_room() -> None:
    assert {room_of(path) for path in FILES} <= {*ROOMS, *SHARED, "__init__", "__main__"}


@pytest.mark.parametrize(
    ("library", "rooms"),
    [
        ("torch", {"learn", "label", "pipeline"}),
        ("click", {"cli"}),
        ("rich", {"cli"}),
        ("matplotlib", {"publish"}),
        ("rasterio", {"scene", "label", "publish", "pipeline"}),
        ("geopandas", {"scene", "label", "publish"}),
        ("dask", {"batch"}),
    ],
)
def test_heavy_libraries_stay_where_they_belong(library: str, rooms: set[str]) -> None:
    used = {room_of(path) for path in FILES if library in libraries(path)}
    assert used <= rooms


def test_learning_needs_torch_numpy_safetensors_and_pydantic_only() -> None:
    """scikit-learn, scipy and torchvision are imported within the few functions that use them."""
    allowed = {"torch", "numpy", "safetensors", "pydantic", "rsseg", "sklearn", "scipy", "torchvision"}
    for path in FILES:
        if room_of(path) == "learn":
            assert libraries(path) - set(sys.stdlib_module_names) <= allowed, path


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_help_imports_nothing_heavy() -> None:
    code = """
import sys
from rsseg.cli import main
try:
    main(["--help"])
except SystemExit as stop:
    assert stop.code == 0
heavy = {"torch", "numpy", "rasterio", "geopandas", "pydantic", "matplotlib", "scipy", "sklearn"}
print("loaded:", sorted(heavy & set(sys.modules)))
"""
    text = python(code)
    assert "loaded: []" in text
    assert "train" in text and "segment" in text


def test_training_runs_on_a_bare_machine() -> None:
    code = """
import sys

BLOCKED = {"rasterio", "geopandas", "pandas", "scipy", "sklearn", "matplotlib", "torchvision", "click", "rich", "yaml"}

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCKED:
            raise ImportError(f"{name} is not on this machine")

sys.meta_path.insert(0, Blocker())
import rsseg.learn.training
import rsseg.learn.model
import rsseg.learn.methods
import rsseg.label.segment
print("fine")
"""
    assert python(code).strip() == "fine"


def test_every_verb_of_the_help_has_its_command() -> None:
    from rsseg.cli import COMMANDS, group

    for verb in COMMANDS:
        if (PACKAGE / "cli" / f"{verb}.py").exists():
            assert group.get_command(None, verb) is not None  # type: ignore[arg-type]
    missing = [verb for verb in COMMANDS if not (PACKAGE / "cli" / f"{verb}.py").exists()]
    assert missing == []
