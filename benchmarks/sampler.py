"""The minority sampler's draws: scores, probabilities, indices; against torch.multinomial on the same probabilities."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from torch import Tensor

from bmix.method.sampling import draw, sampling_probability

INSTANCES, CLASSES = 1_700_000, 80
BEYOND = 2**24 + 1
"""One more instance than torch.multinomial takes."""
ROUNDS = 7

Draw = Callable[[Tensor, int, torch.Generator], Tensor]


def bench(instances: int = INSTANCES, beyond: int = BEYOND, rounds: int = ROUNDS) -> dict[str, Any]:
    """Time ours and the peer in turn, both from the same scores; then both once on more instances than 2^24."""
    scores_N = eq3_scores(instances)
    print(f"{instances} scores to as many draws with replacement; {rounds} rounds of both in turn")
    kinds: dict[str, Draw] = {"ours": draw, "peer": multinomial, "peer in float32": multinomial_float32}
    seconds: dict[str, list[float]] = {name: [] for name in kinds}
    for seed in range(rounds):
        for name, kind in kinds.items():
            seconds[name].append(_seconds(kind, scores_N, instances, seed))
    medians = {name: median(each) for name, each in seconds.items()}
    ours = medians["ours"]
    for name, each in medians.items():
        print(f"{name:16} {each:8.4f} s {each / ours:7.2f}")
    # The peer is faster on float32, whose rounding its draws then inherit: it may have the better of the two.
    peer = min(medians["peer"], medians["peer in float32"])
    return {"ours": ours, "peer": peer, "ratio": round(peer / ours, 2), "rounds": rounds} | _beyond(beyond, instances)


def eq3_scores(instances: int) -> Tensor:
    """Scores of eq. 3 as a model gives them after warm-up: a little below K; float64."""
    generator = torch.Generator().manual_seed(0)
    return CLASSES - 6 * torch.rand(instances, generator=generator, dtype=torch.float64) ** 2


def multinomial(probability_N: Tensor, size: int, generator: torch.Generator) -> Tensor:
    return torch.multinomial(probability_N, size, replacement=True, generator=generator)


def multinomial_float32(probability_N: Tensor, size: int, generator: torch.Generator) -> Tensor:
    return multinomial(probability_N.float(), size, generator)


def _beyond(instances: int, size: int) -> dict[str, Any]:
    scores_N = eq3_scores(instances)
    ours = _seconds(draw, scores_N, size, 0)
    print(f"{size} draws of {instances} instances: ours {ours:.4f} s", end=", ")
    try:
        print(f"peer {_seconds(multinomial, scores_N, size, 0):.4f} s")
        answer = "draws"
    except RuntimeError as error:
        answer = str(error).splitlines()[0]
        print(f"peer fails: {answer}")
    return {"beyond": instances, "beyond_ours": ours, "beyond_peer": answer}


def _seconds(kind: Draw, scores_N: Tensor, size: int, seed: int) -> float:
    generator = torch.Generator().manual_seed(seed)
    start = time.perf_counter()
    kind(sampling_probability(scores_N), size, generator)
    return time.perf_counter() - start
