"""Flip rates of every class from the correlations of its labels with those of other classes, on given labels alone.

Li et al., "Estimating Noise Transition Matrix with Label Correlations for Noisy Multi-Label Learning", NeurIPS 2022.
A class i has the flip rates ρ0 = P(given 1 | true 0) and ρ1 = P(given 0 | true 1); its matrix T_i has the rows
(1 - ρ0, ρ0) and (ρ1, 1 - ρ1).
"""

from __future__ import annotations

import torch
from torch import Tensor

from bmix.method.mixture import fit_loss_mixtures

_TINY = 0.01
"""A rate from -_TINY to 0 is 0: where nothing was flipped, an estimate falls on either side of it."""


def select_right(losses_NK: Tensor, given_NK: Tensor) -> Tensor:
    """Which labels are probably right: those of the component with the smaller mean, per class and given value.

    The losses of every class and given value are scaled to [0, 1] by their minimum and maximum first. Takes losses
    (N, K), 0 or more, and given labels (N, K) bool; returns bool (N, K).
    """
    scaled_NK = torch.zeros_like(losses_NK)
    for among_NK in (given_NK, ~given_NK):
        low_K = losses_NK.masked_fill(~among_NK, torch.inf).amin(dim=0)
        high_K = losses_NK.masked_fill(~among_NK, -torch.inf).amax(dim=0)
        spread_K = torch.where(high_K > low_K, high_K - low_K, 1)
        scaled_NK = torch.where(among_NK, (losses_NK - low_K) / spread_K, scaled_NK)
    mixtures = fit_loss_mixtures(scaled_NK, given_NK)
    return mixtures.clean_probability(scaled_NK, given_NK) > 0.5


def estimate_flip_rates(given_NK: Tensor, right_NK: Tensor, minimum: int = 50) -> Tensor:
    """ρ0 and ρ1 of every class, float64 (2, K); both 0, the identity, for a class that nothing can be said of.

    Of class i and another class k, with a and b in {0, 1}:

    - N_ab: the share of all images with (given i = a, given k = b);
    - q(b | a): the share with given k = b among the images given i = a whose label i is probably right;
    - π_1 = (P(given k = 0) - q(0 | 0)) / (q(0 | 1) - q(0 | 0)), how often i is truly present, and π_0 = 1 - π_1;
    - C_ab = q(b | a) π_a, the share with (true i = a, given k = b), left out unless π_1 lies in [0, 1].

    N = T_iᵀ C gives the rates ρ0 = (C_11 N_10 - C_10 N_11) / D and ρ1 = (C_00 N_01 - C_01 N_00) / D with
    D = C_00 C_11 - C_01 C_10. A class k is a candidate where both lie in [0, 1] (down to -0.01, our limit, they count
    as 0) and their sum is below 1. The candidate whose rates fulfil N = T_iᵀ C best gives the rates of i: with the
    least squares (our choice), summed over all k that are not left out.

    Takes given labels (N, K) bool, and which are probably right, bool (N, K). minimum: how many images probably right
    a class needs with either value. One class alone has no other to be correlated with.
    """
    given, right = given_NK.double(), right_NK.double()
    presence_K = given.mean(dim=0)
    joint_KK = given.T @ given / len(given)
    right_1, right_0 = right * given, right * (1 - given)
    count_2K = torch.stack([right_0.sum(dim=0), right_1.sum(dim=0)])
    # [a, i, k]: q(1 | a)
    share_2KK = torch.stack([right_0.T @ given, right_1.T @ given]) / count_2K[..., None].clamp(min=1)
    rates_2K = torch.zeros(2, given.shape[1], dtype=torch.float64, device=given.device)
    for i in range(given.shape[1]):
        if bool((count_2K[:, i] >= minimum).all()):
            others = torch.arange(given.shape[1], device=given.device) != i
            given_22K = _joint(presence_K[i], presence_K, joint_KK[i])[..., others]
            rates_2K[:, i] = _rates_of_class(given_22K, share_2KK[:, i, others], presence_K[others])
    return rates_2K


def _joint(presence: Tensor, presence_K: Tensor, joint_K: Tensor) -> Tensor:
    """The shares N_ab (2, 2, K) of one class i and each class k, from how often each, and both, are given."""
    given_0 = torch.stack([1 - presence - presence_K + joint_K, presence_K - joint_K])
    return torch.stack([given_0, torch.stack([presence - joint_K, joint_K])])


def _rates_of_class(given_22K: Tensor, share_2K: Tensor, presence_K: Tensor) -> Tensor:
    """ρ0 and ρ1 (2,) of one class: N_ab (2, 2, K), q(1 | a) (2, K) and P(given k = 1) (K,) with each other class k."""
    # The numerator and the denominator of the formula, each times -1, in shares of 1 instead of 0.
    true_1 = (presence_K - share_2K[0]) / (share_2K[1] - share_2K[0])
    by_true_2K = torch.stack([1 - true_1, true_1])
    true_22K = torch.stack([by_true_2K * (1 - share_2K), by_true_2K * share_2K], dim=1)
    usable_K = (true_1 >= 0) & (true_1 <= 1)
    given_22K, true_22K = given_22K[..., usable_K], true_22K[..., usable_K]

    (c_00, c_01), (c_10, c_11) = true_22K
    (n_00, n_01), (n_10, n_11) = given_22K
    determinant = c_00 * c_11 - c_01 * c_10
    rates_2K = torch.stack([c_11 * n_10 - c_10 * n_11, c_00 * n_01 - c_01 * n_00]) / determinant
    candidate_K = (rates_2K >= -_TINY).all(dim=0) & (rates_2K <= 1).all(dim=0)
    rates_2K = rates_2K.clamp(min=0)
    rates_2K = rates_2K[:, candidate_K & (rates_2K.sum(dim=0) < 1)]
    if rates_2K.shape[1] == 0:
        return rates_2K.new_zeros(2)
    rate_0, rate_1 = rates_2K[..., None, None]
    # [candidate, b, k]
    implied_1 = rate_0 * true_22K[0] + (1 - rate_1) * true_22K[1]
    implied_0 = (1 - rate_0) * true_22K[0] + rate_1 * true_22K[1]
    misfit = ((implied_0 - given_22K[0]) ** 2 + (implied_1 - given_22K[1]) ** 2).sum(dim=(1, 2))
    return rates_2K[:, misfit.argmin()]
