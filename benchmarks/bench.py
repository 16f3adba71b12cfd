"""Benchmarks by name: `python benchmarks/bench.py NAME`; each ends in one line that is a JSON object of its figures."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path

BENCHMARKS = {
    "audit": "benchmarks.audit:bench_detection",
    "audit-images": "benchmarks.audit_images:bench",
    "audit-speed": "benchmarks.audit:bench_speed",
    "checkpoint": "benchmarks.epoch:bench_checkpoint",
    "data-scale": "benchmarks.data_scale:bench",
    "epoch-affinity": "benchmarks.epoch:bench_affinity",
    "epoch-audit": "benchmarks.epoch:bench_audit",
    "epoch-audited": "benchmarks.epoch:bench_audited",
    "epoch-rotation": "benchmarks.epoch:bench_rotation",
    "epoch-simsiam": "benchmarks.epoch:bench_simsiam",
    "epoch-step": "benchmarks.epoch:bench_step",
    "map": "benchmarks.average_precision:bench",
    "mixture": "benchmarks.mixture:bench",
    "mixture-dividemix": "benchmarks.mixture:bench_dividemix",
    "noise": "benchmarks.noise:bench",
    "sampler": "benchmarks.sampler:bench",
    "scores": "benchmarks.scores:bench",
    "views": "benchmarks.views:bench",
}
"""Name to MODULE:FUNCTION, which prints its table and returns a dict of figures."""


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python benchmarks/bench.py", description=__doc__)
    parser.add_argument("name", choices=sorted(BENCHMARKS))
    name = parser.parse_args(arguments).name
    module, _, function = BENCHMARKS[name].partition(":")
    figures = {"name": name, **getattr(importlib.import_module(module), function)()}
    print(json.dumps(figures, allow_nan=False))


if __name__ == "__main__":
    # A script's first import path is its own folder, whose modules would take the names of others.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    main()
