"""Benchmarks by name: `python benchmarks/bench.py NAME`; each ends in one line that is a JSON object of its figures."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path

BENCHMARKS = {
    "noise": "benchmarks.noise",
    "views": "benchmarks.views",
}
"""Name to module; a module's `bench()` prints its table and returns a dict with `ratios`."""


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python benchmarks/bench.py", description=__doc__)
    parser.add_argument("name", choices=sorted(BENCHMARKS))
    name = parser.parse_args(arguments).name
    module = importlib.import_module(BENCHMARKS[name])
    figures = {"name": name, **module.bench()}
    print(json.dumps(figures, allow_nan=False))


if __name__ == "__main__":
    # A script's first import path is its own folder, whose modules would take the names of others.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    main()
