"""Whether doubting labels pays on a data set: the recipe `audited` in small, on the features, by held-out labels."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor

from bmix.audit.arrays import audit_labels, folds_of, standardised
from bmix.evaluation.metrics import average_precision
from bmix.method.mixture import fit_loss_mixtures
from bmix.method.objective import balancemix_loss, label_losses
from bmix.randomness import numpy_generator, torch_generator
from bmix.recipes.audited import AuditedSettings, believed, learnt_classes

ROWS = 4096
"""Rows that are rehearsed on at most, drawn at random."""
FEWEST_ROWS = 50
WARMUP_EPOCHS, EPOCHS, BATCH, RATE = 4, 10, 64, 0.0015
"""How the heads are trained. Longer training learns wrong labels by heart, and doubts pay sooner."""
STEPS_PER_EPOCH = 20
"""Of few rows an epoch is repeated until it has as many steps."""


@dataclass(frozen=True)
class Rehearsal:
    """What the weights of `audited` gained over taking every label as given: the mean over the classes, and its error.

    Both in average precision of the given labels of rows that no head saw; gain in [-1, 1].
    """

    gain: float
    error: float

    @property
    def pays(self) -> bool:
        """Whether labels are to be doubted in training: unless that lost more than one standard error.

        Doubts gain far more where they pay than they lose where they do not (docs/audit.md).
        """
        return self.gain > -self.error

    def told(self) -> dict[str, float | bool]:
        """For noise_estimate.json."""
        return asdict(self) | {"pays": self.pays}


def rehearse(features_ND: np.ndarray, given_NK: np.ndarray, folds: int, seed: int) -> Rehearsal | None:
    """Linear heads trained with and without doubts on all folds but one, compared by the given labels of that one.

    features_ND: not learnt from these labels. given_NK: 1, 0, and -1 for unknown, which counts nowhere. Wrong labels
    that do not follow the features leave the order of two rankings as it is (Menon, van Rooyen, Ong, Williamson 2015):
    what ranks the given labels better ranks the true ones better. What is believed of a fold's training rows is found
    from these rows alone. None for fewer than FEWEST_ROWS rows, or without a class that has both values in every fold.
    """
    rng = numpy_generator(seed, "audit rehearsal")
    if len(features_ND) > ROWS:
        chosen = np.sort(rng.choice(len(features_ND), ROWS, replace=False))
        features_ND, given_NK = features_ND[chosen], given_NK[chosen]
    fewest_K = np.minimum((given_NK == 1).sum(axis=0), (given_NK == 0).sum(axis=0))
    if len(features_ND) < FEWEST_ROWS or not (fewest_K >= folds).any():
        return None
    features_ND, given_NK = features_ND.astype(np.float32), given_NK[:, fewest_K >= folds]
    fold_N = folds_of(features_ND, given_NK, folds, rng)
    scores_2NK = np.zeros((2, *given_NK.shape), np.float32)
    for fold in range(folds):
        own_N, rest_N = fold_N == fold, fold_N != fold
        inputs_ND = torch.from_numpy(standardised(features_ND, of=rest_N))
        inputs_ND = torch.cat([inputs_ND, torch.ones(len(inputs_ND), 1)], dim=1)
        inputs_RD, given_RK = inputs_ND[rest_N], torch.from_numpy(given_NK[rest_N])
        weights = (given_RK >= 0).float(), _believed(features_ND[rest_N], inputs_RD, given_RK, folds, seed)
        for number, weight_RK in enumerate(weights):
            head_DK = _trained(inputs_RD, given_RK, weight_RK, EPOCHS, seed)
            scores_2NK[number, own_N] = (inputs_ND[own_N] @ head_DK).numpy()
    plain_K, doubting_K = (average_precision(scores_NK, given_NK) for scores_NK in scores_2NK)
    gain_K = doubting_K - plain_K
    return Rehearsal(float(gain_K.mean()), float(gain_K.std() / np.sqrt(len(gain_K))))


def _believed(features_RD: np.ndarray, inputs_RD: Tensor, given_RK: Tensor, folds: int, seed: int) -> Tensor:
    """What `audited` makes each label weigh at the end of a warm-up by the audit's weights; float32 (R, K)."""
    known_RK, present_RK = given_RK >= 0, given_RK == 1
    audit = audit_labels(features_RD, given_RK.numpy(), folds, seed)
    judged_K = torch.from_numpy(audit.classes["judged"].to_numpy(bool, copy=True))
    p_present_RK = torch.from_numpy(audit.p_present).float()
    audit_RK = torch.where(present_RK, p_present_RK, 1 - p_present_RK)
    head_DK = _trained(inputs_RD, given_RK, audit_RK.where(judged_K, 1) * known_RK, WARMUP_EPOCHS, seed)
    losses_RK = label_losses(inputs_RD @ head_DK, present_RK)
    mixtures = fit_loss_mixtures(losses_RK, present_RK)
    network_RK = mixtures.clean_probability(losses_RK, present_RK)
    network_RK = network_RK.where(learnt_classes(mixtures, AuditedSettings().learnt), 1)
    return believed(audit_RK, network_RK, judged_K) * known_RK


def _trained(inputs_RD: Tensor, given_RK: Tensor, weight_RK: Tensor, epochs: int, seed: int) -> Tensor:
    """A linear head (D, K) trained from zero by plain BCE of the weighted labels."""
    generator = torch_generator(seed, "audit rehearsal")
    head_DK = torch.zeros(inputs_RD.shape[1], given_RK.shape[1], requires_grad=True)
    optimizer = torch.optim.AdamW([head_DK], RATE)
    target_RK = (given_RK == 1).float()
    passes = max(1, round(STEPS_PER_EPOCH * BATCH / len(inputs_RD)))
    for _ in range(epochs * passes):
        for rows in torch.randperm(len(inputs_RD), generator=generator).split(BATCH):
            loss = balancemix_loss(inputs_RD[rows] @ head_DK, target_RK[rows], weight_RK[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return head_DK.detach()
