"""A million images in 600 classes through the stages prepare and noise: time and memory of the real commands."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from bmix.params import apply_edits

REPOSITORY = Path(__file__).resolve().parents[1]
IMAGES, CLASSES, LABELS_PER_IMAGE, FALL = 1_000_000, 600, 3.5, 0.8
PICTURES = 1000
"""Different pictures; every file has bytes of its own, by a number in a comment."""


def bench(images: int = IMAGES, classes: int = CLASSES) -> dict[str, Any]:
    """Run prepare, prepare again with its memo of unchanged files, and noise of two kinds, each as a process."""
    with tempfile.TemporaryDirectory(prefix="bmix-scale-") as folder:
        project = Path(folder)
        _write_images(project / "images", images)
        _write_table(project / "labels.csv", images, classes)
        print(f"{images} x {classes}, pictures of 64 x 48, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
        print(f"{'command':26} {'seconds':>8} {'CPU seconds':>12} {'peak GiB':>9}")
        runs = {
            "prepare": _run(project, "prepare"),
            "prepare again": _run(project, "prepare"),
            "noise, mislabel": _run(project, "noise", "noise.kind=mislabel"),
            "noise, flip": _run(project, "noise", "noise.kind=flip"),
        }
        for name, (seconds, cpu_seconds, peak) in runs.items():
            print(f"{name:26} {seconds:8.1f} {cpu_seconds:12.1f} {peak:9.2f}")
    return {
        "images": images,
        "classes": classes,
        "seconds": {name: run[0] for name, run in runs.items()},
        "cpu_seconds": {name: run[1] for name, run in runs.items()},
        "peak_gib": {name: run[2] for name, run in runs.items()},
    }


def _run(project: Path, stage: str, *edits: str) -> tuple[float, float, float]:
    """Seconds, seconds of all its threads, and peak memory in GiB of `python -m stages.STAGE` in the project."""
    content = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
    source = ["data.source=table", "data.path=labels.csv", "data.root=images"]
    (project / "params.yaml").write_text(yaml.safe_dump(apply_edits(content, [*source, *edits])), encoding="utf-8")
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", f"stages.{stage}"],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "BMIX_TRACKING": "off"},
        stdout=subprocess.DEVNULL,
    )
    # Popen.wait would not tell what the process used.
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"the stage {stage} ended with status {process.returncode}")
    # Linux counts in KiB.
    return time.monotonic() - started, used.ru_utime + used.ru_stime, used.ru_maxrss / 2**20


def _write_images(folder: Path, images: int) -> None:
    pictures = [_picture(number) for number in range(min(PICTURES, images))]
    for number, path in enumerate(_paths(images)):
        if number % 1000 == 0:
            (folder / path).parent.mkdir(parents=True)
        head, rest = pictures[number % PICTURES]
        comment = str(number).encode()
        (folder / path).write_bytes(head + b"\xff\xfe" + struct.pack(">H", len(comment) + 2) + comment + rest)


def _picture(number: int) -> tuple[bytes, bytes]:
    """A JPEG, cut where a comment may stand."""
    coarse = np.random.default_rng(number).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    content = BytesIO()
    Image.fromarray(coarse).resize((64, 48), Image.Resampling.BICUBIC).save(content, "JPEG", quality=80)
    return content.getvalue()[:2], content.getvalue()[2:]


def _paths(images: int) -> Iterator[str]:
    return (f"{number // 1000:04d}/{number:07d}.jpg" for number in range(images))


def _write_table(path: Path, images: int, classes: int) -> None:
    """Without a column `split`, so that splits are drawn."""
    rng = np.random.default_rng(0)
    frequency_K = np.arange(1, classes + 1) ** -FALL
    counts = 1 + rng.poisson(LABELS_PER_IMAGE - 1, images)
    drawn = np.split(rng.choice(classes, counts.sum(), p=frequency_K / frequency_K.sum()), counts.cumsum()[:-1])
    with path.open("w", encoding="utf-8") as table:
        table.write("path,labels\n")
        for image, columns in zip(_paths(images), drawn, strict=True):
            table.write(f"{image},{';'.join(f'class-{column:03d}' for column in sorted(set(columns.tolist())))}\n")
