"""The benchmark suite: what rsseg takes, beside the bare limit and what a user would run instead, in the same run.

    python benchmarks/bench.py [LINE...] [--full] [--repeats 3] [--json DIR] [--threads N] [--set KEY=VALUE ...]
    python benchmarks/bench.py --table [--json DIR]      the kept results as a Markdown table
    python benchmarks/bench.py --list                    the lines

Every part of a line runs in a process of its own, alternating with the others, after a round that is not counted; the
median of the repeats counts, and the largest peak of resident memory. Results are kept as JSON, one file a line.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from suite import harness, tables
from suite.lines import Line
from suite.machine import limit_threads, machine

RESULTS = Path(__file__).resolve().parent / "results"
MODULES = (
    "suite.toa",
    "suite.patch_statistics",
    "suite.gather",
    "suite.dense_iic",
    "suite.superpixels",
    "suite.refine",
    "suite.consensus",
    "suite.vectorize",
    "suite.startup",
    "suite.training_steps",
    "suite.growth",
    "suite.whole",
)


def lines() -> dict[str, Line]:
    """All lines of the suite by name, in order."""
    return {line.name: line for module in MODULES for line in import_module(module).LINES}


def main(arguments: list[str] | None = None) -> int:
    wanted = parsed(arguments)
    if wanted.child:
        module, part = wanted.child
        print(json.dumps(harness.run_child(module, part, wanted.folder)))
        return 0
    if wanted.machine:
        print(json.dumps(machine()))
        return 0
    known = lines()
    if wanted.list:
        print("\n".join(f"{line.name:14} {line.title}" for line in known.values()))
        return 0
    if wanted.table:
        print(tables.markdown(tables.load(wanted.json, list(known))))
        return 0
    return measured([known[name] for name in wanted.lines or known], wanted)


def measured(chosen: list[Line], wanted: argparse.Namespace) -> int:
    """Run the lines; a line that fails is said, and the others still run."""
    given, failed = dict(wanted.set), 0
    unknown = [key for key in given if not any(key in line.settings for line in chosen)]
    if unknown:
        raise SystemExit(f"no chosen line has the setting {', '.join(unknown)}; see its module for those it has")
    if wanted.threads:
        limit_threads(wanted.threads)
    with tempfile.TemporaryDirectory() as scratch:
        folder = (wanted.folder or Path(scratch)).resolve()
        asked = subprocess.run([sys.executable, __file__, "--machine"], check=True, capture_output=True, text=True)
        for line in chosen:
            began = time.perf_counter()
            settings = line.chosen(wanted.full, given)
            try:
                result = harness.run_line(line, folder / line.name, settings, wanted.repeats, json.loads(asked.stdout))
            except harness.PartFailed as problem:
                print(f"{line.name} failed: {problem}", file=sys.stderr, flush=True)
                failed += 1
                continue
            tables.save(result, wanted.json)
            print(tables.markdown([result]))
            print(f"{line.name}: {time.perf_counter() - began:.0f} s in all", file=sys.stderr, flush=True)
    return 1 if failed else 0


def setting(text: str) -> tuple[str, Any]:
    """KEY=VALUE; the value as JSON where it is, HEIGHTxWIDTH as a pair."""
    key, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    words = value.split("x")
    if len(words) == 2 and all(word.isdigit() for word in words):
        return key, [int(word) for word in words]
    try:
        return key, json.loads(value)
    except json.JSONDecodeError:
        return key, value


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lines", nargs="*", metavar="LINE", help="by default all")
    parser.add_argument("--full", action="store_true", help="full scenes: hours, and about 20 GB of disk")
    parser.add_argument("--repeats", type=int, default=3, help="0: one run of each part, without a warm-up")
    parser.add_argument("--threads", type=int, help="hold all parts to so many cores (default: all)")
    parser.add_argument("--json", type=Path, default=RESULTS, metavar="DIR", help="where results are kept")
    parser.add_argument("--folder", type=Path, help="where inputs and outputs go and stay (default: a temporary one)")
    parser.add_argument("--set", type=setting, nargs="+", default=[], metavar="KEY=VALUE", action="extend")
    parser.add_argument("--table", action="store_true", help="print the kept results")
    parser.add_argument("--list", action="store_true", help="name the lines")
    parser.add_argument("--child", nargs=2, metavar=("MODULE", "PART"), help=argparse.SUPPRESS)
    parser.add_argument("--machine", action="store_true", help=argparse.SUPPRESS)
    wanted = parser.parse_args(arguments)
    if not wanted.child and (unknown := set(wanted.lines) - set(lines())):
        parser.error(f"no line is called {', '.join(sorted(unknown))}; they are {', '.join(lines())}")
    return wanted


if __name__ == "__main__":
    sys.exit(main())
