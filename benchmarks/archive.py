"""An archive's batch: faults survived, speed of workers, what a scene costs besides its work, planning, memory.

    python benchmarks/archive.py [--quick] [--parts faults workers overhead planning memory]

Writes ``benchmarks/results/archive.json`` and prints Markdown tables. Each part runs the command line as a user would.
"""

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests"))

from batch.archives import BROKEN, break_products, make_archive, make_product, write_pipeline  # noqa: E402
from batch.batch_runs import Run, differing, kill_all, kill_client, results, settled, until  # noqa: E402

TARGET = Path(__file__).parent / "results" / "archive.json"
SEED = 7

IN_PROCESS = """
import json, sys, time
from pathlib import Path
from rsseg.batch.prepared import prepare
from rsseg.batch.request import Request
from rsseg.batch.worker import run_scene
from rsseg.pipeline.stages.run import write_configuration
pipeline, archive, output, model = sys.argv[1:]
found = prepare(Request(pipeline, Path(archive), Path(output), models=(model,), device="cpu", threads=1))
write_configuration(found.scene_config, found.work.pipeline)
ends = []
for job in found.jobs:
    assert run_scene(job, found.work)["state"] == "done"
    ends.append(time.time())
print(json.dumps(ends))
"""


def faults(folder: Path, quick: bool) -> dict[str, Any]:
    """Whole and broken products in one archive: what comes of them, undisturbed and killed at random moments."""
    ways = BROKEN[:20]
    whole, kills = (20, 3) if quick else (180, 20)
    archive = make_archive(folder / "archive", whole)
    break_products(archive, ways)
    batch = _of(folder, archive, "out")
    first, seconds = _timed(batch.finish)
    second, again = _timed(batch.finish)
    summary = {outcome.name: outcome for outcome in _failures(batch.output)}
    explained = sum(any(words in summary[way.name].said for words in way.says) for way in ways if way.name in summary)
    killed, chance = _of(folder, archive, "killed"), random.Random(SEED)
    for _ in range(kills):
        process = killed.start()
        # so that the last kill finds work to do, however fast the machine is
        until(lambda: len(settled(killed.output)) >= whole + len(ways) - 2, process, chance.uniform(1.0, seconds / 3))
        (kill_client if chance.random() < 0.3 else kill_all)(process)
    code = killed.finish()[0]
    return {
        "scenes": whole + len(ways),
        "maps": len(list(batch.output.glob("scenes/*/*/labels/kmeans.tif"))),
        "failures": len(summary),
        "explained": explained,
        "exit_codes": [first[0], second[0], code],
        "seconds": seconds,
        "second_run_seconds": again,
        "kills": kills,
        "files": len(results(batch.output)),
        "differing_files": differing(killed.output, results(batch.output)),
    }


def workers(folder: Path, quick: bool) -> dict[str, Any]:
    """Scenes a second of one one-thread worker and of two, from the first scenes' ends to the last one's."""
    side, count = (400, 8) if quick else (1000, 24)
    archive = make_archive(folder / "archive", count, shape=(side, side))
    model = _model(folder, archive)
    rates = {n: _rate(_of(folder, archive, f"out{n}", "--model", model, "--workers", n), n) for n in (1, 2)}
    return {"pixels": side * side, "scenes": count, "rates": rates, "ratio": rates[2] / rates[1]}


def overhead(folder: Path, quick: bool) -> dict[str, Any]:
    """Seconds a tiny scene: in a batch of one worker, the same calls in one process, and what else a user has."""
    count, few = (12, 2) if quick else (100, 6)
    archive = make_archive(folder / "archive", count)
    model = _model(folder, archive)
    run = _of(folder, archive, "out", "--model", model, "--workers", 1, "--log-json")
    batch = _gaps(_ends(run))
    timings = json.loads((run.output / "batch.json").read_text())["scenes"].values()
    worker = statistics.median(timing["seconds"] for timing in timings)
    words = [sys.executable, "-c", IN_PROCESS, folder / "pipeline.yaml", archive, folder / "alone", model]
    alone = _gaps(json.loads(_run(words).stdout))
    scenes = [path for path in sorted(archive.iterdir()) if path.name.startswith("scene")][:few]
    one = f"{sys.executable} -m rsseg run {folder / 'pipeline.yaml'} {{}} --device cpu -q -o {folder}/{{}}"
    told = {}
    for name, parallel in (("shell loop of rsseg run", 1), ("xargs -P2 rsseg run", 2)):
        listed = "\n".join(map(str, scenes))
        command = (
            f"xargs -P{parallel} -I{{}} sh -c '{one.replace('-o ' + str(folder) + '/{}', '-o {}.run' + str(parallel))}'"
        )
        told[name] = _timed(lambda listed=listed, command=command: _run(["sh", "-c", command], listed))[1] / few
    found = {"scenes": count, "batch": batch, "worker": worker, "one_process": alone}
    return {**found, "scheduling": batch - worker, "overhead": batch - alone, **told}


def planning(folder: Path, quick: bool) -> dict[str, Any]:
    """Seconds until a dry run says what is to do, with and without a choice by metadata."""
    count = 500 if quick else 10_000
    product = make_product(folder / "product")
    for number in range(count):
        place = folder / "archive" / f"{number // 100:03}" / f"scene-{number:05}"
        place.mkdir(parents=True)
        for path in product.iterdir():
            os.link(path, place / path.name)
    plain = _of(folder, folder / "archive", "out", "--dry-run", "--no-estimate")
    chosen = _of(folder, folder / "archive", "out", "--dry-run", "--no-estimate", "--where", "sensor=LISS4")
    seconds = {}
    for name, run in (("all", plain), ("--where sensor=LISS4", chosen)):
        (code, out, said), seconds[name] = _timed(run.finish)
        assert code == 0 and out.startswith(f"{count} scenes"), said
    return {"scenes": count, "seconds": seconds}


def memory(folder: Path, quick: bool) -> dict[str, Any]:
    """The most memory that a worker takes for one large scene."""
    side, limit = (2000, 1 << 30) if quick else (8000, 2 << 30)
    make_archive(folder / "archive", 1, shape=(side, side))
    make_archive(folder / "small", 1)
    model = _model(folder, folder / "small")
    options = ("--model", model, "--workers", 1, "--memory", limit)
    process, peak = _of(folder, folder / "archive", "out", *options).start(), [0]

    def looked() -> bool:
        for child in psutil.Process(process.pid).children(recursive=True):
            try:
                peak[0] = max(peak[0], child.memory_info().rss)
            except psutil.Error:
                continue
        return False

    began = time.perf_counter()
    until(looked, process, 3600)
    _, said = process.communicate()
    assert process.returncode == 0, said
    return {"side": side, "limit": limit, "peak": peak[0], "seconds": time.perf_counter() - began}


class _Failure:
    """A row of failures.csv."""

    def __init__(self, row: dict[str, str]) -> None:
        self.name, self.said = row["scene"], " ".join(row.values())


def _failures(output: Path) -> list[_Failure]:
    import csv

    with (output / "failures.csv").open(newline="", encoding="utf-8-sig") as file:
        return [_Failure(row) for row in csv.DictReader(file)]


def _of(folder: Path, archive: Path, name: str, *options: object) -> Run:
    return Run(write_pipeline(folder / "pipeline.yaml"), archive, folder / name, options)


def _model(folder: Path, archive: Path) -> Path:
    scene = next(path for path in sorted(archive.iterdir()) if path.name.startswith("scene"))
    words = ["run", write_pipeline(folder / "pipeline.yaml"), scene, "-o", folder / "run", "--device", "cpu", "-q"]
    _run([sys.executable, "-m", "rsseg", *words])
    return folder / "run" / "models" / "kmeans.safetensors"


def _run(words: Sequence[object], given: str | None = None) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([str(word) for word in words], input=given, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    began = time.perf_counter()
    answer = work()
    return answer, time.perf_counter() - began


def _ends(batch: Run) -> list[float]:
    """When each scene ended, in seconds, from the log's events."""
    code, _, said = batch.finish(3600)
    assert code == 0, said
    events = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    return [datetime.fromisoformat(event["time"]).timestamp() for event in events if event["event"] == "scene"]


def _rate(batch: Run, count: int) -> float:
    """Scenes a second, without the first scene of each worker, which waits for imports."""
    batch = Run(batch.pipeline, batch.archive, batch.output, (*batch.options, "--log-json"))
    ends = sorted(_ends(batch))[count - 1 :]
    return (len(ends) - 1) / (ends[-1] - ends[0])


def _gaps(ends: Sequence[float]) -> float:
    """The median time between two scenes' ends."""
    ordered = sorted(ends)
    return statistics.median(later - sooner for sooner, later in pairwise(ordered))


def markdown(found: dict[str, Any]) -> str:
    """The judged numbers, a row each, with what was wanted."""
    rows = ["| what | found | wanted |", "|---|---|---|"]
    if part := found.get("faults"):
        told = f"{part['maps']} maps, {part['explained']} of {part['failures']} failures explained"
        told += f", exits {', '.join(map(str, part['exit_codes']))}"
        rows.append(f"| {part['scenes']} scenes, 20 of them broken | {told} | 20 explained, exit 1 |")
        rows.append(f"| the same command again | {part['second_run_seconds']:.1f} s of {part['seconds']:.0f} s | |")
        told = f"{len(part['differing_files'])} of {part['files']} files differ"
        rows.append(f"| killed {part['kills']} times at random | {told} | 0 |")
    if part := found.get("workers"):
        rates = ", ".join(f"{n}: {rate:.2f}/s" for n, rate in part["rates"].items())
        rows.append(
            f"| workers on scenes of {part['pixels'] / 1e6:.2g} Mpx | {rates}, {part['ratio']:.2f}x | >= 1.7x |"
        )
    if part := found.get("overhead"):
        told = f"{part['scheduling'] * 1000:.0f} ms of {part['batch']:.3f} s"
        rows.append(f"| scheduling a scene, from its worker's end to the next | {told} | < 50 ms |")
        told = f"{part['overhead'] * 1000:.0f} ms more than {part['one_process']:.3f} s"
        rows.append(f"| a scene in the batch against the same calls in one process | {told} | |")
        others = ("shell loop of rsseg run", "xargs -P2 rsseg run")
        rows += [f"| {name} | {part[name]:.2f} s a scene, {part[name] / part['batch']:.0f}x | |" for name in others]
    if part := found.get("planning"):
        told = ", ".join(f"{name}: {seconds:.1f} s" for name, seconds in part["seconds"].items())
        rows.append(f"| planning {part['scenes']} scenes | {told} | < 30 s for 10 000 |")
    if part := found.get("memory"):
        told = f"{part['peak'] / (1 << 20):.0f} of {part['limit'] / (1 << 20):.0f} MiB in {part['seconds']:.0f} s"
        rows.append(f"| a scene of {part['side']} x {part['side']} px | {told} | below the limit |")
    return "\n".join(rows)


PARTS = {"faults": faults, "workers": workers, "overhead": overhead, "planning": planning, "memory": memory}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few and small scenes, to try it; nothing is written")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    chosen = parser.parse_args()
    found: dict[str, Any] = {}
    for name in chosen.parts:
        folder = Path(tempfile.mkdtemp(prefix="rsseg-archive-"))
        try:
            found[name] = PARTS[name](folder, chosen.quick)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        print(f"{name}: {json.dumps(found[name])}", file=sys.stderr)
    if not chosen.quick:
        earlier = json.loads(TARGET.read_text()) if TARGET.exists() else {}
        cores = {"cores": psutil.cpu_count(), "date": time.strftime("%Y-%m-%d")}
        TARGET.write_text(json.dumps({**earlier, **found, **cores}, indent=1) + "\n")
    print(markdown(found))


if __name__ == "__main__":
    main()
