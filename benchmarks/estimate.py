"""What ``--dry-run`` says beside what the run then takes: seconds, peak memory and bytes on disk, with their ratios.

    python benchmarks/estimate.py SCENE... [--case NAME]... [--epochs N]

Each case is estimated and run one right after the other, on each scene, with no other threads than OMP_NUM_THREADS
says; what is written goes to a temporary folder. A Markdown table is printed, a line as soon as it is known.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

DENSE = """\
models:
  iic-dense: {method: iic-dense, classes: 10, patch: 64, stride: 64, epochs: 3, width: 8, displacement: 4}
  wce: {method: wce, classes: 50, merge_to: 10, patch: 64, stride: 64, epochs: 2, width: 8, batch: 4}
"""

CASES = {"map": ["map"], "quick": ["run", "quick"], "kmeans": ["run", "kmeans"], "dense": ["run", "dense.yaml"]}


@dataclass(frozen=True)
class Taken:
    """Seconds, bytes in memory at most, bytes on disk."""

    seconds: float
    memory: int
    disk: int


def rsseg(words: Sequence[str], folder: Path) -> tuple[str, float, int]:
    """Run a command: its stdout, seconds and peak memory."""
    began = time.perf_counter()
    with (folder / "stdout").open("w+") as out:
        child = subprocess.Popen([sys.executable, "-m", "rsseg", *words, "-q"], cwd=folder, stdout=out)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise SystemExit(f"rsseg {' '.join(words)} failed")
        out.seek(0)
        return out.read(), time.perf_counter() - began, usage.ru_maxrss << 10


def bytes_in(folder: Path) -> int:
    """Bytes of all files below a folder, the cache's own left out."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and ".rsseg" not in path.parts)


def compare(words: Sequence[str], scene: Path, options: Sequence[str]) -> tuple[Taken, Taken, float]:
    """The estimate, the truth, and the seconds that measuring took."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "dense.yaml").write_text(DENSE)
        command = [*words, str(scene.resolve()), "-o", "out", *options]
        told = json.loads(rsseg([*command, "--dry-run", "--json"], folder)[0])["estimate"]
        _, seconds, memory = rsseg(command, folder)
        true = json.loads((folder / "out" / "run.json").read_text())["stages"]
        for stage in true:
            print(
                f"    {told['stages'][stage['stage']]:8.1f} {stage['seconds']:8.1f}  {stage['stage']}", file=sys.stderr
            )
        found = Taken(told["seconds"], told["memory"], told["disk"])
        return found, Taken(seconds, memory, bytes_in(folder / "out")), told["measuring"]


def line(name: str, told: Taken, true: Taken, measuring: float) -> str:
    """A row of the table."""
    mib = 1 << 20
    return (
        f"| {name} | {told.seconds:.0f} / {true.seconds:.0f} s = {told.seconds / true.seconds:.2f} "
        f"| {told.memory / mib:.0f} / {true.memory / mib:.0f} MiB = {told.memory / true.memory:.2f} "
        f"| {told.disk / mib:.1f} / {true.disk / mib:.1f} MiB = {told.disk / true.disk:.2f} | {measuring:.0f} s |"
    )


def main() -> None:
    """Compare all that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scenes", nargs="+", type=Path)
    parser.add_argument("--case", action="append", choices=CASES)
    parser.add_argument("--epochs", help="of every model of patches, for large scenes")
    asked = parser.parse_args()
    print("| case | seconds, estimate / truth | memory | disk | measuring |\n|---|---|---|---|---|")
    for scene in asked.scenes:
        for case in asked.case or CASES:
            options = ["--epochs", asked.epochs] if asked.epochs and case not in ("map", "kmeans") else []
            name = " ".join([case, scene.name, *options])
            print(line(name, *compare(CASES[case], scene, options)), flush=True)


if __name__ == "__main__":
    main()
