"""What BalanceMix does and costs on a GPU, in one command for a bare machine: `python benchmarks/gpu.py`.

Needs torch, torchvision, numpy, pandas and safetensors; no data. Under nine minutes; prints tables, and writes all
figures as JSON after every part, so that a run that is ended keeps what it has.

method    the method's functions on the device against their results on the CPU
epochs    a managed epoch of ResNet-50 at 224 and 448 pixels in bf16, float32 and fp16: images/s beside bare forward and
          backward passes, waiting for the loader processes, memory, a profile
resume    a run that is killed and goes on, against the same run uninterrupted, byte for byte
compile   torch.compile, training and evaluation
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

PARTS = {"method": ("method", 1.0), "epochs": ("epochs", 7.0), "resume": ("resume", 2.5), "compile": ("compiled", 2.0)}
"""Name to the module in benchmarks/gpu_parts, and its weight in sharing the time that is left."""
SECONDS = 510


def main(arguments: list[str] | None = None) -> int:
    """0 if every part ran and every check passed; else 1."""
    options = _options(arguments)
    import torch

    from benchmarks.gpu_parts.machine import describe
    from benchmarks.gpu_parts.setting import FULL, QUICK, Budget, Setting
    from bmix.training.run import set_up_torch

    name = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cpu" and not options.quick:
        print("error: no GPU is to be had; to try the command on the CPU: --device cpu --quick", file=sys.stderr)
        return 2
    set_up_torch(threads=torch.get_num_threads())
    budget, device = Budget(options.budget), torch.device(name)
    found: dict[str, Any] = {"name": "gpu", "quick": options.quick, "machine": describe(device), "parts": {}}
    for key, value in found["machine"].items():
        print(f"{key:20}{value}")
    with tempfile.TemporaryDirectory() as folder:
        for number, part in enumerate(options.parts):
            share = PARTS[part][1] / sum(PARTS[later][1] for later in options.parts[number:])
            own = Budget(max(0.0, budget.left * share))
            print(f"\n== {part} ==", flush=True)
            setting = Setting(device, QUICK if options.quick else FULL, Path(folder), own)
            found["parts"][part] = _measured(PARTS[part][0], setting)
            found["seconds"] = round(budget.spent, 1)
            if options.output is not None:
                options.output.write_text(json.dumps(_finite(found), indent=2, allow_nan=False) + "\n", "utf-8")
    failed = [part for part, each in found["parts"].items() if "error" in each or not each.get("passed", True)]
    print(f"\n{found['seconds']:.0f} s; " + (f"FAILED: {', '.join(failed)}" if failed else "every check passed"))
    return 1 if failed else 0


def _measured(module: str, setting: Any) -> dict[str, Any]:
    """What the part found; its error, where it raised one: the other parts are worth having all the same."""
    try:
        found: dict[str, Any] = importlib.import_module(f"benchmarks.gpu_parts.{module}").measure(setting)
    except Exception as error:
        traceback.print_exc()
        found = {"error": f"{type(error).__name__}: {error}"}
    return found | {"seconds": round(setting.budget.spent, 1)}


def _finite(value: Any) -> Any:
    """The same with None in the place of infinity and NaN, which JSON does not know."""
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python benchmarks/gpu.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="write all figures as JSON")
    parser.add_argument("--parts", type=_parts, default=list(PARTS), metavar="A,B", help=f"some of {','.join(PARTS)}")
    parser.add_argument(
        "--budget", type=float, default=SECONDS, metavar="SECONDS", help="what does not fit is left out"
    )
    parser.add_argument("--device", choices=["cuda", "cpu"], help="the GPU where there is one")
    parser.add_argument("--quick", action="store_true", help="toy sizes, to try the command itself")
    return parser.parse_args(arguments)


def _parts(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in PARTS]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(PARTS)}")
    return names


if __name__ == "__main__":
    # A script's first import path is its own folder, whose modules would take the names of others.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    sys.exit(main())
