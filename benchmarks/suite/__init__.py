"""The benchmark suite: one module a line or a few, run by ``benchmarks/bench.py``; see ``harness``."""
