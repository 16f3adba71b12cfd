"""The settings of BalanceMix, with the paper's values."""

from __future__ import annotations

from dataclasses import dataclass

# Far beyond these the formulas leave float64: Beta(α, α) is drawn wrong, Score^-sharpness becomes NaN.
LARGEST_ALPHA = 1e6
LARGEST_SHARPNESS = 1e3


@dataclass(frozen=True)
class MethodSettings:
    """Settings of the method; the switches are the rows of the paper's Table 5.

    alpha: α of Beta(α, α), eq. 5, above 0, at most 10^6. epsilon: ε, the re-labelling threshold of eq. 9, from 0.5 to
    1. sharpness: p ∝ Score^-sharpness, from 0 to 1000, 1 is eq. 4. trust_positives: every given positive counts as
    clean. minority: partners come from the minority sampler, else uniformly. clean: labels are managed at all. relabel:
    eq. 9 is applied. ambiguous: ambiguous labels weigh p_G, else 0. audit: "step", eq. 9 by the current model at every
    step, as in the paper; "epoch", by one pass over two views of every image after each epoch, which the mixtures and
    the sampler use too.
    """

    alpha: float = 4.0
    epsilon: float = 0.975
    sharpness: float = 1.0
    trust_positives: bool = False
    minority: bool = True
    clean: bool = True
    relabel: bool = True
    ambiguous: bool = True
    audit: str = "step"
