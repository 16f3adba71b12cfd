"""Eq. 2-3 at the size of MS-COCO: scores from confidences and given labels, against the dense formulas in torch."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from torch import Tensor

from benchmarks.noise import CLASSES, IMAGES, long_tailed
from bmix.method.sampling import RareLabels, class_confidence, instance_scores

ROUNDS = 15


def bench(images: int = IMAGES, rounds: int = ROUNDS) -> dict[str, Any]:
    """Time ours and the peer in turn. What hangs on the given labels alone is made before: neither is timed for it."""
    confidence_NK, given_NK = confidences(images)
    rare, dense_NK = RareLabels.of(given_NK), given_NK.float()
    print(
        f"{images} x {CLASSES}, {given_NK.float().mean():.1%} of the labels positive; {rounds} rounds of both in turn"
    )

    def ours() -> Tensor:
        return instance_scores(rare, *class_confidence(confidence_NK, rare))

    timed: dict[str, Callable[[], Any]] = {
        "ours": ours,
        "peer": lambda: dense_scores(confidence_NK, dense_NK),
        "rare labels": lambda: RareLabels.of(given_NK),
    }
    seconds: dict[str, list[float]] = {name: [] for name in timed}
    for _ in range(rounds):
        for name, work in timed.items():
            start = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - start)
    medians = {name: median(each) for name, each in seconds.items()}
    for name, each in medians.items():
        print(f"{name:12} {1000 * each:8.2f} ms" + (", once a run" if name == "rare labels" else ""))
    exact_N = dense_scores(confidence_NK.double(), given_NK.double())
    return {
        "ours": medians["ours"],
        "peer": medians["peer"],
        "ratio": round(medians["peer"] / medians["ours"], 2),
        "rounds": rounds,
        "threads": torch.get_num_threads(),
        "once": medians["rare labels"],
        "ours_error": (ours() - exact_N).abs().max().item(),
        "peer_error": (dense_scores(confidence_NK, dense_NK) - exact_N).abs().max().item(),
    }


def confidences(images: int) -> tuple[Tensor, Tensor]:
    """Confidences float32 (N, K) of a model that knows much but not all, and given labels bool (N, K)."""
    given_NK = torch.from_numpy(long_tailed(images)).bool()
    logits_NK = 2 * torch.randn(given_NK.shape, generator=torch.Generator().manual_seed(0)) - 4 + 4 * given_NK
    return logits_NK.sigmoid(), given_NK


def dense_scores(confidence_NK: Tensor, given_NK: Tensor) -> Tensor:
    """Eq. 2 and 3 as they are written, over every cell; all in the type of the arguments."""
    absent_NK = 1 - given_NK
    presence_K = (confidence_NK * given_NK).sum(dim=0) / given_NK.sum(dim=0)
    absence_K = ((1 - confidence_NK) * absent_NK).sum(dim=0) / absent_NK.sum(dim=0)
    return given_NK @ presence_K + absent_NK @ absence_K
