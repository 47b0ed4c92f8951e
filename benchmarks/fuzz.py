"""Run a fuzzer for some minutes: python benchmarks/fuzz.py --target metadata|configuration|model --minutes 10.

Cases are seeded changes of real files (tests/mutations.py). What is not an error of rsseg, takes longer than 5 s or
more than 500 MB is written to tests/fuzz/corpus/TARGET/, where tests/fuzz/test_corpus.py runs it from then on. Cases
run in a process of their own, so that one that ends it (a crash of a library, memory) is found too.
"""

import argparse
import hashlib
import json
import multiprocessing
import platform
import resource
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from fuzzing import TARGETS, quietly  # noqa: E402
from hostile import peak_megabytes  # noqa: E402
from mutations import mutated, seeds  # noqa: E402

CORPUS = ROOT / "tests" / "fuzz" / "corpus"
SECONDS, WAITING, MEGABYTES, ADDRESSES = 5, 60, 500, 8 << 30


class Hang(BaseException):
    """A case took too long; no target catches it."""


def run_cases(target: str, seed: int, first: int, until: float, case: Path, found: Any) -> None:
    """Run cases from number ``first``; each finding, and at the end the number of cases, goes into the queue."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    for kind in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(kind, _hang)
    real = seeds(target, CORPUS)
    number = first
    for data in real:
        _one(target, data, case, found)
    while time.time() < until:
        _one(target, mutated(target, real, Random(f"{seed}/{number}")), case, found)
        number += 1
        if number % 20 == 0:
            found.put(("at", number))
    found.put(("end", number))


def _hang(number: int, frame: object) -> None:
    raise Hang


def _one(target: str, data: bytes, case: Path, found: Any) -> None:
    case.write_bytes(data)
    Path("/proc/self/clear_refs").write_text("5")
    before = peak_megabytes()
    signal.setitimer(signal.ITIMER_PROF, SECONDS)  # of work: other jobs on the machine are no fault
    signal.alarm(WAITING)
    try:
        quietly(TARGETS[target], data)
    except (Exception, Hang) as problem:
        found.put(("crash", _place(problem), "".join(traceback.format_exception(problem)[-4:]), data))
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
    if peak_megabytes() - before > MEGABYTES:
        found.put(("crash", f"{target}: memory", f"{peak_megabytes() - before:.0f} MB", data))


def _place(problem: BaseException) -> str:
    """What tells one fault from another: the kind of exception, and the last line of rsseg's that it went through."""
    frames = [frame for frame in traceback.extract_tb(problem.__traceback__) if "/rsseg/" in frame.filename]
    frames = frames or list(traceback.extract_tb(problem.__traceback__))
    return f"{type(problem).__name__} at {Path(frames[-1].filename).name}:{frames[-1].lineno}"


class Findings:
    """Faults by their place, of each the first case that met it, in the corpus."""

    def __init__(self, target: str) -> None:
        self.folder, self.counts = CORPUS / target, dict[str, int]()

    def add(self, place: str, text: str, data: bytes) -> None:
        """Count a fault, and keep the case of a new one."""
        if place not in self.counts:
            self.folder.mkdir(parents=True, exist_ok=True)
            name = f"crash-{hashlib.sha256(data).hexdigest()[:12]}"
            (self.folder / name).write_bytes(data)
            print(f"{place}: {name}\n{text}", flush=True)
        self.counts[place] = self.counts.get(place, 0) + 1


def fuzz(target: str, minutes: float, seed: int) -> dict[str, Any]:
    """Run one fuzzer; its counts."""
    until, findings, number = time.time() + 60 * minutes, Findings(target), 0
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        case = Path(folder) / "case"
        while time.time() < until:
            queue = context.Queue()
            worker = context.Process(target=run_cases, args=(target, seed, number, until, case, queue))
            worker.start()
            ended = False
            while not ended and (worker.is_alive() or not queue.empty()):
                try:
                    kind, *told = queue.get(timeout=2)
                except Exception:
                    continue
                if kind == "crash":
                    findings.add(*told)
                else:
                    number, ended = told[0], kind == "end"
            worker.join()
            if not ended:
                findings.add(f"the process ended with {worker.exitcode}", "", case.read_bytes())
                number += 21  # not the same case again
    return {"target": target, "seed": seed, "minutes": minutes, "cases": number, "faults": findings.counts}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", choices=list(TARGETS), required=True)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    result = fuzz(given.target, given.minutes, given.seed)
    print(json.dumps({**result, "date": time.strftime("%Y-%m-%d"), "machine": platform.machine()}))
    sys.exit(1 if result["faults"] else 0)


if __name__ == "__main__":
    main()
