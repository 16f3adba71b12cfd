"""A run that is killed and started again, against the same run uninterrupted: the bytes of the state after each.

The killed one is a process of its own: `python -m benchmarks.gpu_parts.resume FOLDER ...`.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from benchmarks.gpu_parts.runs import build_run, write_photographs
from benchmarks.gpu_parts.setting import FULL, QUICK, Scale, Setting
from bmix.training.checkpoint import Checkpoints
from bmix.training.identity import RunIdentity
from bmix.training.run import set_up_torch
from bmix.training.state import STATE_FILES, save_run

EPOCHS, WARMUP, KILLED_IN = 4, 2, 3
IMAGES_ON_GPU, IMAGES = 320, 16
HANG_GUARD = 1800
REPOSITORY = Path(__file__).resolve().parents[2]


def measure(setting: Setting) -> dict[str, Any]:
    """In float32 and fp16, as far as the time goes; if the states differ, whether two uninterrupted runs agree."""
    found: dict[str, Any] = {"runs": [], "left_out": []}
    for precision in ("float32", "fp16") if setting.on_gpu else ("fp16",):
        if found["runs"] and setting.budget.left < 1.3 * found["runs"][0]["seconds"]:
            found["left_out"].append(precision)
            print(f"left out, as the time would not do: {precision}")
            continue
        before = setting.budget.spent
        whole = _uninterrupted(setting, precision, "whole")
        row: dict[str, Any] = {"precision": precision, "resumed": _compare(whole, _killed(setting, precision))}
        if not row["resumed"]["equal"]:
            row["repeated"] = _compare(whole, _uninterrupted(setting, precision, "repeated"))
        row |= {"passed": row["resumed"]["equal"], "seconds": round(setting.budget.spent - before, 1)}
        found["runs"].append(row)
        for name in ("resumed", "repeated"):
            if name in row:
                print(f"{precision}, {name} against uninterrupted: {_told(row[name])}", flush=True)
    found["passed"] = all(row["passed"] for row in found["runs"])
    return found


def _uninterrupted(setting: Setting, precision: str, name: str) -> Path:
    """The folder of the state after a run."""
    folder = setting.folder / f"{name}-{precision}"
    train(folder, setting.folder / "photographs", setting.device, precision, setting.scale)
    return folder / "state"


def _killed(setting: Setting, precision: str) -> Path:
    """The folder of the state after a run that was killed in the middle of an epoch and started again."""
    folder = setting.folder / f"killed-{precision}"
    command = [sys.executable, "-m", __name__, str(folder), str(setting.folder / "photographs"), setting.device.type]
    command += [precision, *(["--quick"] if setting.scale is QUICK else [])]
    killed = _run([*command, "--kill-in", str(KILLED_IN)], setting)
    if killed.returncode != -signal.SIGKILL:
        raise RuntimeError(f"the run was to be killed, and ended with {killed.returncode}:\n{killed.stdout}")
    ended = _run(command, setting)
    if ended.returncode or f"goes on after epoch {KILLED_IN - 1}\n" not in ended.stdout:
        raise RuntimeError(f"a run was to go on, and ended with {ended.returncode}:\n{ended.stdout}")
    return folder / "state"


def train(
    folder: Path, photographs: Path, device: torch.device, precision: str, scale: Scale, kill_in: int = 0
) -> None:
    """Write the state after EPOCHS into `folder`, going on from a checkpoint there; kill this process in `kill_in`."""
    paths = write_photographs(photographs, scale.photographs)
    images = IMAGES_ON_GPU if device.type == "cuda" else IMAGES
    image_size = next(iter(scale.image_sizes))
    trainer = build_run(paths, scale, image_size, device, precision, "step", EPOCHS, WARMUP, images)
    checkpoints = Checkpoints(folder / "checkpoints", "train", RunIdentity({"precision": precision}))
    if checkpoints.resume(trainer):
        print(f"goes on after epoch {trainer.epoch}", flush=True)

    def on_step(epoch: int, step: int, steps: int) -> None:
        if epoch == kill_in and step == steps // 2:
            os.kill(os.getpid(), signal.SIGKILL)

    while trainer.epoch < EPOCHS:
        trainer.train_epoch(on_step)
        checkpoints.save(trainer)
    save_run(trainer, folder / "state")


def _run(command: list[str], setting: Setting) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=max(60.0, setting.budget.left) if setting.on_gpu else HANG_GUARD,
    )


def _compare(expected: Path, found: Path) -> dict[str, Any]:
    """Whether the files are equal byte for byte; if not, which are not, and by how much their tensors differ."""
    differing = [name for name in STATE_FILES if (expected / name).read_bytes() != (found / name).read_bytes()]
    tensors, largest = 0, 0.0
    for name in (name for name in differing if name.endswith(".safetensors")):
        ours, theirs = load_file(expected / name), load_file(found / name)
        for key in ours.keys() | theirs.keys():
            if key not in ours or key not in theirs or ours[key].shape != theirs[key].shape:
                tensors, largest = tensors + 1, float("inf")
            elif not torch.equal(ours[key], theirs[key]):
                tensors += 1
                largest = max(largest, float((ours[key].double() - theirs[key].double()).abs().max()))
    finite = largest if largest < float("inf") else None
    return {"equal": not differing, "files": differing, "tensors": tensors, "largest_deviation": finite}


def _told(comparison: dict[str, Any]) -> str:
    if comparison["equal"]:
        return "equal bytes"
    return (
        f"DIFFERS in {', '.join(comparison['files'])}: {comparison['tensors']} tensors, "
        f"by {comparison['largest_deviation']} at most"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="One run of the comparison; it goes on if it was killed.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("device", choices=["cpu", "cuda"])
    parser.add_argument("precision")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--kill-in", type=int, default=0, metavar="EPOCH")
    options = parser.parse_args()
    set_up_torch(threads=torch.get_num_threads())
    scale = QUICK if options.quick else FULL
    device = torch.device(options.device)
    train(options.folder, options.photographs, device, options.precision, scale, options.kill_in)


if __name__ == "__main__":
    main()
