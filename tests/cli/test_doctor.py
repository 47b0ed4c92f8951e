"""What ``rsseg doctor`` finds on machines that have everything, and on those that lack something."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rsseg.pipeline.stages import doctor_disk as disk
from rsseg.pipeline.stages import doctor_libraries as libraries
from rsseg.pipeline.stages import doctor_machine as machine
from rsseg.pipeline.stages import doctor_torch
from rsseg.pipeline.stages.doctor import doctor
from rsseg.pipeline.stages.doctor_checks import Check, looked, size

Rsseg = Callable[..., tuple[int, str, str]]


def by_name(checks: object) -> dict[str, Check]:
    return {check.name: check for check in checks}  # type: ignore[attr-defined]


def test_this_machine_can_map_a_scene(rsseg: Rsseg, tmp_path: Path) -> None:
    code, out, err = rsseg("doctor", tmp_path, "--json")
    told = json.loads(out)
    assert (code, err, told["works"]) == (0, "", True)
    states = {check["name"]: check["state"] for check in told["checks"]}
    for name in ("python", "packages", "torch", "GDAL", "vectors", "projections", "archives", "renames", "locks"):
        assert states[name] == "ok"
    assert all(bool(check["problem"]) == bool(check["remedy"]) == (check["state"] != "ok") for check in told["checks"])
    assert list(tmp_path.iterdir()) == []


def test_the_table_has_a_line_for_each_check(rsseg: Rsseg, tmp_path: Path) -> None:
    code, out, _ = rsseg("doctor", tmp_path / "not there yet" / "runs")
    assert code == 0 and "a scene can be mapped" in out.splitlines()[-1]
    assert not (tmp_path / "not there yet").exists()
    checks = [line for line in out.splitlines() if line.startswith(("ok ", "warning ", "missing "))]
    assert len(checks) >= 15


BLOCKED = """
import sys
BLOCKED = {names!r}
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCKED:
            raise {problem}(f"{{name}} is broken on this machine")
sys.meta_path.insert(0, Blocker())
from rsseg.cli import main
main(["doctor", "--json"])
"""


@pytest.mark.parametrize("problem", ["ImportError", "OSError"])
def test_without_torch_and_rasterio_it_says_so(tmp_path: Path, problem: str) -> None:
    code = BLOCKED.format(names={"torch", "rasterio", "pyogrio", "pyproj", "numpy"}, problem=problem)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 1 and done.stderr == ""
    told = json.loads(done.stdout)
    found = {check["name"]: check for check in told["checks"]}
    assert not told["works"]
    for name in ("torch", "GDAL", "vectors", "projections"):
        assert found[name]["state"] == "missing" and "is broken on this machine" in found[name]["found"]
    assert found["cores"]["state"] == "ok"
    if problem == "ImportError":
        assert "torch" in found["packages"]["found"] and found["packages"]["state"] == "missing"


def test_without_dask_a_scene_can_still_be_mapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "_there", lambda name: name != "distributed")
    found = by_name(libraries.packages())
    assert found["distributed"].state == "warning" and "rsseg batch" in found["distributed"].problem
    assert found["packages"].state == "ok"


def test_packages_that_are_too_old_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries.metadata, "requires", lambda _: ["click>=8.2", "numpy>=99.1", 'x>=1; extra == "dev"'])
    found = by_name(libraries.packages())
    assert found["versions"].state == "warning" and "older than 99.1" in found["versions"].found
    assert "click" not in found["versions"].found


def test_a_look_that_breaks_down_is_a_finding() -> None:
    def broken() -> list[Check]:
        raise ZeroDivisionError("strange")

    (needed,), (other,) = looked("a", broken), looked("b", broken, needed=False)
    assert (needed.state, other.state) == ("missing", "warning") and "ZeroDivisionError: strange" in needed.found


# the machine, as its kernel describes it


def kernel(root: Path, files: dict[str, str]) -> Path:
    for place, text in files.items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_text(text)
    return root


MEMINFO = "MemTotal:       16777216 kB\nMemFree: 100 kB\nMemAvailable:    8388608 kB\n"


def test_limits_of_a_container_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    files = {
        "proc/self/cgroup": "0::/kube/pod\n",
        "proc/meminfo": MEMINFO,
        "sys/fs/cgroup/kube/pod/cpu.max": "max 100000\n",
        "sys/fs/cgroup/kube/cpu.max": "250000 100000\n",
        "sys/fs/cgroup/kube/pod/memory.max": f"{1 << 30}\n",
        "sys/fs/cgroup/kube/memory.max": "max\n",
    }
    root = kernel(tmp_path, files)
    (cores,), (memory,) = machine.cores(root), machine.memory(root)
    assert cores.state == "warning" and "2.5 granted" in cores.found and cores.remedy == "use --threads 2"
    assert memory.state == "warning" and "1 GiB granted" in memory.found and "16 GiB in all" in memory.found


def test_limits_of_the_older_control_groups_are_seen(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "4:memory:/job\n3:cpu,cpuacct:/job\n0::/\n",
        "sys/fs/cgroup/memory/job/memory.limit_in_bytes": f"{3 << 30}\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        "sys/fs/cgroup/cpu/job/cpu.cfs_quota_us": "150000\n",
        "sys/fs/cgroup/cpu/job/cpu.cfs_period_us": "100000\n",
    }
    root = kernel(tmp_path, files)
    assert machine.memory_limit(root) == 3 << 30 and machine.quota(root) == 1.5


def test_without_limits_all_is_well(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "0::/\n", "proc/meminfo": MEMINFO, "sys/fs/cgroup/cpu.max": "max 100000\n"}
    root = kernel(tmp_path, files)
    assert machine.quota(root) is None and machine.memory_limit(root) is None
    (memory,) = machine.memory(root)
    assert (memory.state, memory.found) == ("ok", "16 GiB in all, 8 GiB available")
    (nothing,) = machine.memory(tmp_path / "no such kernel")
    assert (nothing.state, nothing.found) == ("ok", "unknown")


def test_few_open_files_are_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 4096))
    (check,) = machine.open_files()
    assert check.state == "warning" and check.remedy == "ulimit -n 1024"


def test_a_terminal_without_unicode_is_a_warning() -> None:
    code = "from rsseg.pipeline.stages.doctor_machine import texts; print(next(texts()).state)"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment)
    assert done.stdout.strip() == "warning"


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (5 << 30, "5 GiB"), (3 << 40, "3.0 TiB")],
)
def test_sizes_are_read_by_people(count: int, text: str) -> None:
    assert size(count) == text


# disk


def test_mounts_are_told_by_the_longest_place(tmp_path: Path) -> None:
    inside = tmp_path / "with blank" / "runs"
    inside.mkdir(parents=True)
    share = str(tmp_path.resolve() / "with blank").replace(" ", "\\040")
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda / ext4 rw 0 0\nserver:/x {share} nfs4 rw 0 0\nproc /proc proc rw 0 0\nbad\n")
    assert disk.file_system(inside, mounts) == "nfs4"
    assert disk.file_system(tmp_path, mounts) == "ext4"
    assert disk.file_system(tmp_path, tmp_path / "absent") == "unknown"


def test_an_object_store_that_looks_like_a_folder_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "file_system", lambda _: "fuse.s3fs")
    assert by_name(disk.disk(tmp_path))["renames"].state == "warning"
    monkeypatch.setattr(disk, "file_system", lambda _: "nfs4")
    found = by_name(disk.disk(tmp_path))
    assert found["renames"].state == "ok" and "(network)" in found["locks"].found


def test_locks_that_keep_nobody_out_are_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    found = by_name(disk.disk(tmp_path))
    assert found["locks"].state == "warning" and "two commands" in found["locks"].problem

    def refused(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refused)
    assert by_name(disk.disk(tmp_path))["locks"].state == "warning"


def test_a_folder_that_cannot_be_written_to_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(disk, "scratch_folder", refused)
    found = by_name(disk.disk(tmp_path))["files"]
    assert found.state == "missing" and "Permission denied" in found.found and "choose another" in found.remedy


def test_a_disk_that_is_almost_full_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = disk.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: usage._replace(free=1 << 20))
    found = by_name(disk.disk(tmp_path))["disk"]
    assert found.state == "warning" and "1 MiB free" in found.found


# libraries


def test_variables_that_point_elsewhere_are_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROJ_LIB", "/opt/other/share/proj")
    monkeypatch.setenv("GDAL_DATA", str(Path(sys.prefix) / "share" / "gdal"))
    found = by_name(libraries.conflicts())
    assert found["PROJ_LIB"].state == "warning" and found["PROJ_LIB"].remedy == "unset PROJ_LIB"
    assert "GDAL_DATA" not in found


def test_a_foreign_proj_is_found_by_using_it(tmp_path: Path) -> None:
    """PROJ reads the variable when it is loaded, so that another process is needed."""
    code = "from rsseg.cli import main; main(['doctor', '--json'])"
    environment = {**os.environ, "PROJ_LIB": str(tmp_path), "PROJ_DATA": str(tmp_path), "PROJ_NETWORK": "OFF"}
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, cwd=tmp_path, env=environment)
    found = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert found["PROJ_LIB"]["state"] == "warning" and found["PROJ_LIB"]["found"] == str(tmp_path)
    assert found["projections"]["state"] in ("ok", "missing")
    assert done.returncode == (0 if found["projections"]["state"] == "ok" else 1)


@pytest.mark.parametrize(
    ("loaded", "state"),
    [
        (["/a/rasterio.libs/libgdal-1.so", "/a/pyogrio.libs/libgdal-2.so"], "ok"),
        (["/conda/lib/libgdal.so.35"], "ok"),
        (["/usr/lib/libgdal.so.32", "/a/pyogrio.libs/libgdal-2.so"], "warning"),
    ],
)
def test_two_gdals_of_which_one_is_the_systems_are_a_warning(
    monkeypatch: pytest.MonkeyPatch, loaded: list[str], state: str
) -> None:
    import rasterio  # noqa: F401

    monkeypatch.setattr(libraries, "_loaded", lambda _: loaded)
    assert by_name(libraries.conflicts())["several GDALs"].state == state


def test_a_gdal_without_its_drivers_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import rasterio

    monkeypatch.setattr(rasterio.Env, "drivers", lambda _: {"GTiff": "", "PNG": "", "VRT": ""})
    found = by_name(libraries.gdal())
    assert found["GDAL"].state == "missing" and "without COG" in found["GDAL"].found
    assert found["GDAL JP2OpenJPEG"].state == "warning"


# torch


def test_a_gpu_that_torch_cannot_use_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(doctor_torch, "NODES", tmp_path)
    monkeypatch.setattr(doctor_torch, "DRIVER", tmp_path / "version")
    (check,) = doctor_torch.gpus()
    assert (check.state, check.found) == ("ok", "none; rsseg computes on the CPU")
    (tmp_path / "version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  470.256.02  Thu May\n")
    monkeypatch.setattr(torch.version, "cuda", None)
    (check,) = doctor_torch.gpus()
    assert check.state == "warning" and "driver 470.256.02" in check.found and "install torch for CUDA" in check.remedy
    monkeypatch.setattr(torch.version, "cuda", "12.4")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert "update NVIDIA's driver" in next(doctor_torch.gpus()).remedy
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert next(doctor_torch.gpus()).remedy == "unset CUDA_VISIBLE_DEVICES"


def test_weights_in_torchs_cache_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert next(doctor_torch.weights()).state == "warning"
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "vgg16_bn-6c64b313.pth").write_bytes(b"")
    (check,) = doctor_torch.weights()
    assert check.state == "ok" and "vgg16_bn-6c64b313.pth" in check.found


@pytest.mark.gpu
def test_gpus_are_told_with_their_memory() -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    check = next(doctor_torch.gpus())
    assert check.name == "GPU 0" and "GiB" in check.found


def test_it_is_quick(tmp_path: Path) -> None:
    """With the libraries loaded; loading torch takes what it takes."""
    began = time.perf_counter()
    doctor(tmp_path)
    assert time.perf_counter() - began < 5
