"""The benchmark suite: its arithmetic, its table, and that parts run in processes of their own."""

import importlib
import json
import math
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

MACHINE = {"cpu": "a processor", "cores": 2, "threads": 1, "memory_gib": 23.5, "python": "3.11", "torch": None}


@pytest.fixture
def lines(beside_the_scripts: None) -> ModuleType:
    return importlib.import_module("suite.lines")


@pytest.fixture
def harness(beside_the_scripts: None) -> ModuleType:
    return importlib.import_module("suite.harness")


@pytest.fixture
def tables(beside_the_scripts: None) -> ModuleType:
    return importlib.import_module("suite.tables")


@pytest.fixture
def bench(beside_the_scripts: None) -> ModuleType:
    return importlib.import_module("bench")


def row(seconds: float, peak: float = 100.0, **more: Any) -> dict[str, Any]:
    return {"seconds": seconds, "peak_mib": peak, **more}


def test_repeats_become_medians_with_the_largest_peak(lines: ModuleType) -> None:
    found = lines.reduced(
        [row(3, 90, stages={"toa": 1.0}), row(1, 120, stages={"toa": 5.0}), row(2, 80, stages={"toa": 2.0})]
    )
    assert found["seconds"] == 2 and found["seconds_range"] == [1, 3] and found["peak_mib"] == 120
    assert found["stages"] == {"toa": 2.0} and found["repeats"] == 3


def test_ratios_are_of_the_slowest_limit_and_the_fastest_alternative(lines: ModuleType) -> None:
    parts = {"ours": row(6), "limit_read": row(2), "limit_network": row(4), "instead": row(30), "instead_b": row(12)}
    assert lines.ratios(parts) == {"ours / limit": 1.5, "instead / ours": 2.0}


def test_ratios_of_unequal_work_are_of_seconds_a_unit(lines: ModuleType) -> None:
    parts = {"ours": row(2, work=100), "limit": row(1, work=100), "instead": row(1, work=5)}
    assert lines.ratios(parts) == pytest.approx({"ours / limit": 2.0, "instead / ours": 10.0})
    assert lines.ratios({"other": row(1)}) == {}


@pytest.mark.parametrize(
    ("quantity", "bound", "value", "met"),
    [
        ("ours / limit", 1.2, 1.2, True),
        ("ours / limit", 1.2, 1.3, False),
        ("instead / ours", 5, 5.1, True),
        ("instead / ours", 5, 4.9, False),
        ("seconds", 0.3, 0.31, False),
    ],
)
def test_an_aim_is_an_upper_bound_except_of_the_alternative(
    lines: ModuleType, quantity: str, bound: float, value: float, met: bool
) -> None:
    (found,) = lines.judged([lines.Aim(quantity, bound)], {quantity: value})
    assert found["met"] is met and found["value"] == value


def test_growth_finds_the_power_law(beside_the_scripts: None) -> None:
    exponents = importlib.import_module("suite.growth").exponents
    parts = {f"s@{n}": row(0.5 * n**1.3, 100 + n, megapixels=float(n)) for n in (1, 4, 16, 64)}
    found = exponents(parts)
    assert found["exponent"] == pytest.approx(1.3) and found["exponent of the last step"] == pytest.approx(1.3)
    assert found["peak of the largest over the smallest"] == pytest.approx(164 / 101)


def test_a_line_has_one_row_in_the_table_and_says_what_is_missed(
    lines: ModuleType, harness: ModuleType, tables: ModuleType, tmp_path: Path
) -> None:
    words = {"ours": "the command", "limit": "a copy", "instead": "a script"}
    aims = [lines.Aim("ours / limit", 1.0), lines.Aim("instead / ours", 2.0)]
    line = lines.Line("toa", "ToA", "m", words, settings={"size": [10, 20]}, aims=aims)
    rows = {"ours": [row(2.0)], "limit": [row(1.0)], "instead": [row(8.0)]}
    tables.save(harness.result(line, {"size": [10, 20]}, rows, MACHINE), tmp_path)
    text = tables.markdown(tables.load(tmp_path, ["toa"]))
    assert (
        "| ToA | 2 s | 1 s | **2** (at most 1 wanted, missed) | 8 s | **4** (at least 2 wanted) | 100, 100, 100 |"
        in text.splitlines()
    )
    assert "size 10 x 20; repeats 1" in text and "a processor, 2 cores, 1 threads, 23.5 GiB; python 3.11" in text


def test_results_are_kept_in_the_order_of_the_suite(tables: ModuleType, tmp_path: Path) -> None:
    for name in ("b", "a", "old"):
        (tmp_path / f"{name}.json").write_text(json.dumps({"line": name}))
    assert [one["line"] for one in tables.load(tmp_path, ["b", "a", "unmeasured"])] == ["b", "a", "old"]


def test_every_line_has_its_functions_and_imports_nothing_large(bench: ModuleType) -> None:
    before = set(sys.modules)
    known = bench.lines()
    assert not ({"torch", "numpy", "rasterio"} & (set(sys.modules) - before))
    for line in known.values():
        module = importlib.import_module(line.module)
        assert all(callable(getattr(module, part.partition("@")[0])) for part in line.parts), line.name
        assert set(line.full) <= set(line.settings)


def test_parts_run_by_turns_after_a_round_that_is_not_counted(
    harness: ModuleType, lines: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []

    def start(module: str, part: str, folder: Path) -> dict[str, Any]:
        called.append(part)
        return row(100.0 if len(called) <= 2 else float(len(called)))

    monkeypatch.setattr(harness, "_start", start)
    line = lines.Line("l", "L", "suite.startup", {"ours": "a", "limit": "b"})
    found = harness.run_line(line, tmp_path, {}, 2, MACHINE)
    assert called == ["ours", "limit"] * 3
    assert found["parts"]["ours"]["seconds_range"] == [3.0, 5.0]


def test_a_part_that_fails_is_named_with_its_reason(harness: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text("{}")
    with pytest.raises(harness.PartFailed, match=r"(?s)ours of suite\.startup.*calls"):
        harness._start("suite.startup", "ours", tmp_path)


def test_peak_memory_counts_the_processes_that_were_started(beside_the_scripts: None) -> None:
    import subprocess

    tree = importlib.import_module("suite.tree")
    if not Path("/proc/self/status").exists():
        pytest.skip("no /proc")
    hold = "data = bytearray(200 << 20); data[:] = b'x' * len(data); import time; time.sleep(0.5)"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {hold!r}])"
    with subprocess.Popen([sys.executable, "-c", outer]) as process, tree.TreePeak(process.pid) as memory:
        process.wait()
    assert 200 < memory.peak_mib < 700


def test_parts_of_a_line_run_on_the_inputs_that_are_made(harness: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text(json.dumps({"size": [90, 130], "clusters": 4, "sklearn_rows": 20}))
    harness.run_child("suite.consensus", "prepare", tmp_path)
    parts = {
        name: harness.run_child("suite.consensus", name, tmp_path)
        for name in ("ours", "limit", "instead", "instead_sklearn", "command")
    }
    assert all(part["seconds"] > 0 and part["peak_mib"] > 10 for part in parts.values())
    assert parts["ours"]["work"] == pytest.approx(90 * 130 / 1e6)
    assert parts["instead_sklearn"]["work"] == pytest.approx(20 * 130 / 1e6)
    assert (tmp_path / "out" / "consensus.json").exists()


@pytest.mark.slow
def test_a_line_runs_from_the_command_line(bench: ModuleType, tmp_path: Path) -> None:
    words = ["consensus", "--repeats", "0", "--json", str(tmp_path / "kept"), "--folder", str(tmp_path / "work")]
    assert bench.main([*words, "--set", "size=90x130", "sklearn_rows=20"]) == 0
    found = json.loads((tmp_path / "kept" / "consensus.json").read_text())
    assert all(math.isfinite(ratio) and ratio > 0 for ratio in found["ratios"].values())
    assert found["machine"]["gdal"] and found["settings"]["size"] == [90, 130]
