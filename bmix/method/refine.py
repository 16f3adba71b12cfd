"""Eq. 8-9: clean, re-labelled or ambiguous, label by label."""

from __future__ import annotations

import torch
from torch import Tensor

from bmix.method.checks import check_fractions, check_given, check_shape
from bmix.support.errors import InputError

CLEAN = 0
RELABELLED = 1
AMBIGUOUS = 2
VERDICT_NAMES = {CLEAN: "clean", RELABELLED: "relabelled", AMBIGUOUS: "ambiguous"}


@torch.no_grad()
def refine_labels(
    given: Tensor,
    p_clean: Tensor,
    confidence: Tensor,
    epsilon: float,
    trust_positives: bool = False,
    *,
    relabel: bool = True,
    ambiguous: bool = True,
) -> tuple[Tensor, Tensor, Tensor]:
    """Sort labels into clean, re-labelled and ambiguous; returns their refined values, verdicts and weights.

    Takes, all of one shape such as (B, K): the given labels, bool or 0/1; p_G of eq. 8 in [0, 1]; the confidence f_k(x)
    in [0, 1], averaged over two views; and ε in [0.5, 1]. A label is

    - clean where p_G > 0.5, and where it is a given positive if `trust_positives`; it keeps its value, weight 1;
    - else re-labelled where confidence > ε (to 1) or confidence < 1 - ε (to 0), also if that is its value; weight 1;
    - else ambiguous; it keeps its value, weight p_G.

    Switches of the paper's ablation: without `relabel` nothing is re-labelled; without `ambiguous` the labels that are
    neither clean nor re-labelled get weight 0. Returns labels (float32, 0 or 1), verdict (uint8: CLEAN, RELABELLED,
    AMBIGUOUS) and weight (float32 in [0, 1]), each of the shape of `given` and on its device. No gradients flow.

    Raises InputError for shapes that differ, ε outside [0.5, 1] and given labels other than 0 and 1; on the CPU also
    for p_G that is NaN or outside [0, 1] and for confidences outside [0, 1]: on a GPU every step would wait for the
    answer. A confidence of NaN re-labels nothing; the loss shows where such a model diverged.
    """
    check_shape("p_clean", p_clean.shape, "given labels", given.shape)
    check_shape("confidence", confidence.shape, "given labels", given.shape)
    if not 0.5 <= epsilon <= 1:
        raise InputError("method.epsilon", str(epsilon), "a number from 0.5 to 1", "correct method.epsilon")
    check_given(given)
    if p_clean.device.type == "cpu":
        check_fractions("p_clean", p_clean)
    if confidence.device.type == "cpu":
        check_fractions("confidence", confidence, nan_passes=True)
    present = given.bool()
    clean = p_clean > 0.5
    if trust_positives:
        clean = clean | present
    to_present, to_absent = confidence > epsilon, confidence < 1 - epsilon
    relabelled = ~clean & (to_present | to_absent) if relabel else torch.zeros_like(clean)
    undecided = ~clean & ~relabelled

    labels = torch.where(relabelled, to_present, present).float()
    verdict = relabelled * RELABELLED + undecided * AMBIGUOUS
    weight = torch.where(undecided, p_clean if ambiguous else 0.0, 1.0)
    return labels, verdict.to(torch.uint8), weight.float()
