"""Time and memory of what happens between two epochs, against the number of images: `python -m benchmarks.scale`.

Fit (2K mixtures and every posterior), the same fit from batches without a matrix of losses, scores (eq. 2-3) and one
draw per image (eq. 4), each size in a process of its own. Memory is what the work takes beside its input.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bmix.method.loss_histogram import LossHistogram
from bmix.method.mixture import fit_histogram, fit_loss_mixtures
from bmix.method.sampling import RareLabels, class_confidence, draw, instance_scores, sampling_probability

SIZES = ((20_000, 80), (80_000, 80), (320_000, 80), (1_280_000, 80), (200_000, 600))
OPEN_IMAGES = (1_700_000, 600)
ROUNDS = 3
BATCH = 512
IMBALANCE = 353


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--size", nargs=2, type=int, metavar=("IMAGES", "CLASSES"), help="one size alone, as JSON")
    if size := parser.parse_args().size:
        print(json.dumps(measure(*size)))
        return
    rows = []
    print(f"{'images':>9} {'classes':>7}  {'work':14} {'seconds':>8}  {'ns per label':>12}  {'MiB beside':>10}")
    for images, classes in SIZES:
        command = [sys.executable, "-m", "benchmarks.scale", "--size", str(images), str(classes)]
        measured = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        for work, (seconds, mebibytes) in measured.items():
            rows.append((images, classes, work, seconds, mebibytes))
            share = 1e9 * seconds / (images * classes)
            print(f"{images:>9} {classes:>7}  {work:14} {seconds:8.3f}  {share:12.2f}  {mebibytes:10.0f}", flush=True)
    print(f"\nextrapolated to {OPEN_IMAGES[0]} x {OPEN_IMAGES[1]} (Open Images), from the exponent over 80 classes")
    for work in dict.fromkeys(row[2] for row in rows):
        small, large = (next(r for r in rows if r[2] == work and r[:2] == (n, 80)) for n in (20_000, 1_280_000))
        exponent = math.log(large[3] / small[3]) / math.log(large[0] / small[0])
        wide = next(row for row in rows if row[2] == work and row[1] == 600)
        seconds = wide[3] * (OPEN_IMAGES[0] / wide[0]) ** max(1.0, exponent)
        print(f"{work:14} time grows as N^{exponent:.2f}: about {seconds:.1f} s")


def measure(images: int, classes: int) -> dict[str, tuple[float, float]]:
    """Median seconds and peak extra MiB of each work."""
    given_NK, losses_NK = _labels_and_losses(images, classes)
    found = {
        "fit, posterior": _measured(lambda: _fit(losses_NK, given_NK)),
        "fit in batches": _measured(lambda: _fit_in_batches(losses_NK, given_NK)),
    }
    # Any numbers from 0 to 1 serve; these take the losses' place.
    confidence_NK = losses_NK.neg_().exp_()
    rare = RareLabels.of(given_NK)
    scores_N = instance_scores(rare, *class_confidence(confidence_NK, rare))
    found["scores"] = _measured(lambda: instance_scores(rare, *class_confidence(confidence_NK, rare)))
    generator = torch.Generator().manual_seed(0)
    found["draw"] = _measured(lambda: draw(sampling_probability(scores_N), images, generator))
    return found


def _fit(losses_NK: torch.Tensor, given_NK: torch.Tensor) -> None:
    fit_loss_mixtures(losses_NK, given_NK).clean_probability(losses_NK, given_NK)


def _fit_in_batches(losses_NK: torch.Tensor, given_NK: torch.Tensor) -> None:
    histogram = LossHistogram(losses_NK.shape[1])
    for losses, given in zip(losses_NK.split(BATCH), given_NK.split(BATCH), strict=True):
        histogram.add(losses, given)
    fit_histogram(histogram)


def _labels_and_losses(images: int, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Given labels with COCO's imbalance, and losses of which a part is wrong: log-normal about two centres."""
    rng = np.random.default_rng(0)
    share_K = 0.3 * np.exp(-np.linspace(0, math.log(IMBALANCE), classes))
    given_NK = torch.empty(images, classes, dtype=torch.bool)
    losses_NK = torch.empty(images, classes)
    for start in range(0, images, 20_000):
        part = slice(start, min(start + 20_000, images))
        drawn = rng.random((part.stop - start, classes), dtype=np.float32)
        given_NK[part] = torch.from_numpy(drawn < share_K)
        wrong = rng.random(drawn.shape, dtype=np.float32) < np.where(given_NK[part].numpy(), 0.4, 0.02)
        normal = rng.standard_normal(drawn.shape, dtype=np.float32)
        losses_NK[part] = torch.from_numpy(np.exp(0.6 * normal + np.where(wrong, 0.8, -3.0)))
    return given_NK, losses_NK


def _measured(work: Callable[[], Any]) -> tuple[float, float]:
    seconds = []
    with _Peak() as peak:
        for _ in range(1 + ROUNDS):
            start = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:]), peak.mebibytes


class _Peak:
    """The most memory that the process holds beyond what it held at first, looked at every 2 ms."""

    mebibytes = 0.0

    def __enter__(self) -> _Peak:
        self._first, self._ended = _resident(), threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.002):
            self.mebibytes = max(self.mebibytes, _resident() - self._first)


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


if __name__ == "__main__":
    main()
