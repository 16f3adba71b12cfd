"""2K mixtures and every posterior at the size of MS-COCO: bmix, until each has converged, against scikit-learn's."""

from __future__ import annotations

import ctypes
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from torch import Tensor
from torch.nn.functional import softplus

from benchmarks.noise import long_tailed
from bmix.method.mixture import fit_loss_mixtures
from bmix.noise import inject

IMAGES, RATE = 82_081, 0.4
ROUNDS = 5
CONVERGED = {"tol": 1e-6, "reg_covar": 1e-6, "max_iter": 5000}
DIVIDEMIX = {"tol": 1e-2, "reg_covar": 5e-4, "max_iter": 10}


def bench(images: int = IMAGES, rounds: int = ROUNDS) -> dict[str, Any]:
    """Against scikit-learn at equal likelihood, with the quality and the memory of the same run."""
    losses_NK, given_NK = losses_like_coco(images)
    figures = against(losses_NK, given_NK, CONVERGED, rounds)
    figures |= quality(losses_NK, given_NK) | {"extra_mib": extra_memory(losses_NK, given_NK)}
    print(f"worst mean log-likelihood, ours less scikit-learn's: {figures['worst_likelihood_gap']:.1e} nats")
    print(f"labels on the other side of 0.5: {figures['labels_across']:.1e} of all")
    four_times = (losses_NK.repeat(4, 1), given_NK.repeat(4, 1))
    figures["extra_mib_at_four_times"] = extra_memory(*four_times)
    print(f"memory beyond losses, labels and result: {figures['extra_mib']:.0f} MiB; ", end="")
    print(f"{figures['extra_mib_at_four_times']:.0f} MiB at four times the images")
    return figures


def bench_dividemix(images: int = IMAGES, rounds: int = ROUNDS) -> dict[str, Any]:
    """Against scikit-learn stopped as early as DivideMix stops it; ours has converged all the same."""
    return against(*losses_like_coco(images), DIVIDEMIX, rounds)


def against(losses_NK: Tensor, given_NK: Tensor, options: dict[str, Any], rounds: int) -> dict[str, Any]:
    """Time ours and the loop in turn, each over everything; the ratio is that of the medians."""
    images, classes = losses_NK.shape
    print(f"{images} x {classes}, {given_NK.sum() / images:.2f} labels per image; scikit-learn with {options}")
    print(f"{'round':>5} {'ours':>10} {'scikit-learn':>13} {'ratio':>7}")
    _ours(losses_NK, given_NK)
    seconds = []
    for round_ in range(rounds):
        seconds.append((_median_of_three(losses_NK, given_NK), _seconds(lambda: _peer(losses_NK, given_NK, options))))
        ours, peer = seconds[-1]
        print(f"{round_ + 1:5} {ours:8.4f} s {peer:11.2f} s {peer / ours:7.0f}", flush=True)
    ours, peer = (median(column) for column in zip(*seconds, strict=True))
    return {"ours": ours, "peer": peer, "ratio": round(peer / ours, 1), "rounds": rounds}


def quality(losses_NK: Tensor, given_NK: Tensor) -> dict[str, float]:
    """Both fits judged on the losses themselves: the worst gap in mean log-likelihood, labels on different sides."""
    ours = fit_loss_mixtures(losses_NK, given_NK)
    p_clean_NK = ours.clean_probability(losses_NK, given_NK)
    gaps, across = [], 0
    for value, k, peer in _fits(losses_NK, given_NK, CONVERGED):
        chosen = given_NK[:, k] == bool(value)
        column = losses_NK[chosen, k].double()
        means, variances, weights = (each[value, k] for each in (ours.means, ours.variances, ours.weights))
        log_joint = weights.log() - 0.5 * (
            (2 * torch.pi * variances).log() + (column[:, None] - means) ** 2 / variances
        )
        gaps.append(log_joint.logsumexp(dim=1).mean().item() - peer.score(column.numpy()[:, None]))
        peer_clean = peer.predict_proba(column.numpy()[:, None])[:, peer.means_[:, 0].argmin()] > 0.5
        across += int(((p_clean_NK[chosen, k].numpy() > 0.5) != peer_clean).sum())
    return {"worst_likelihood_gap": min(gaps), "labels_across": across / losses_NK.numel()}


def extra_memory(losses_NK: Tensor, given_NK: Tensor) -> float:
    """MiB at the peak of a fit and its posteriors, beyond what was there before and the result (Linux)."""
    _ours(losses_NK[:1000], given_NK[:1000])
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = _status_kib("VmRSS")
    p_clean_NK = _ours(losses_NK, given_NK)
    return round((_status_kib("VmHWM") - before) / 1024 - p_clean_NK.nbytes / 2**20, 1)


def losses_like_coco(images: int = IMAGES) -> tuple[Tensor, Tensor]:
    """BCE losses (N, K) float32 and given labels (N, K) bool of a network that has begun to tell 80 classes apart.

    The frequencies are MS-COCO's, 40 % of the positives are mislabelled; logits are normal about a mean that depends on
    the true label and the class.
    """
    rng = np.random.default_rng(1)
    true_NK = long_tailed(images)
    given_NK = torch.from_numpy(inject(true_NK, "mislabel", RATE, rng).astype(bool))
    skill_K = rng.uniform(0.5, 1.5, true_NK.shape[1])
    present, absent = (rng.standard_normal(true_NK.shape, np.float32) for _ in range(2))
    logits_NK = torch.from_numpy(np.where(true_NK, skill_K + 1.8 * present, -4 - skill_K + 1.3 * absent))
    return softplus(torch.where(given_NK, -logits_NK, logits_NK)).float(), given_NK


def _ours(losses_NK: Tensor, given_NK: Tensor) -> Tensor:
    return fit_loss_mixtures(losses_NK, given_NK).clean_probability(losses_NK, given_NK)


def _peer(losses_NK: Tensor, given_NK: Tensor, options: dict[str, Any]) -> np.ndarray:
    p_clean_NK = np.ones(losses_NK.shape, dtype=np.float32)
    for value, k, mixture in _fits(losses_NK, given_NK, options):
        chosen = given_NK[:, k].numpy() == bool(value)
        posterior = mixture.predict_proba(losses_NK[:, k].numpy()[chosen, None].astype(np.float64))
        p_clean_NK[chosen, k] = posterior[:, mixture.means_[:, 0].argmin()]
    return p_clean_NK


def _fits(losses_NK: Tensor, given_NK: Tensor, options: dict[str, Any]) -> Iterator[tuple[int, int, GaussianMixture]]:
    for k in range(losses_NK.shape[1]):
        column, given = losses_NK[:, k].double().numpy(), given_NK[:, k].numpy()
        for value in (0, 1):
            # More threads only make it slower; ours keeps itself to one.
            with threadpool_limits(limits=1), warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                mixture = GaussianMixture(2, random_state=0, **options).fit(column[given == bool(value), None])
                yield value, k, mixture


def _median_of_three(losses_NK: Tensor, given_NK: Tensor) -> float:
    return median(_seconds(lambda: _ours(losses_NK, given_NK)) for _ in range(3))


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _status_kib(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))
