"""Where the affinity head keeps each class, and how far the classes are from each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist, pdist

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Prototypes:
    """The prototypes of every class, float64 (K, M, C), and σ, the squared distance at which affinity is 1/e."""

    places: np.ndarray
    sigma: float


def prototypes_of(network: nn.Module) -> Prototypes | None:
    """Those of the network's affinity head, of the first one in an ensemble; None if it has none."""
    from bmix.models.affinity import Affinity

    heads = [module for module in network.modules() if isinstance(module, Affinity)]
    if not heads:
        return None
    return Prototypes(heads[0].prototypes.detach().double().cpu().numpy(), heads[0].sigma)


def class_distances(prototypes: Prototypes) -> np.ndarray:
    """‖w_i - w_j‖² / σ of the nearest prototypes of two classes, float64 (K, K), 0 or more; the diagonal is 0."""
    classes, count, _ = prototypes.places.shape
    places_PC = prototypes.places.reshape(classes * count, -1)
    distances = cdist(places_PC, places_PC, "sqeuclidean") / prototypes.sigma
    distances_KK = distances.reshape(classes, count, classes, count).min(axis=(1, 3))
    np.fill_diagonal(distances_KK, 0)
    return distances_KK


def prototype_table(prototypes: Prototypes, classes: list[str]) -> pd.DataFrame:
    """A row per class, in their order: `class`, `nearest`, `distance`, `affinity`, `own_distance`.

    nearest: the class that has the nearest prototype, and its distance in units of σ; affinity: exp(-distance), what
    an image on the one prototype is worth to the other class, within 0..1. Empty for a single class. own_distance:
    mean squared distance between the class's own prototypes in units of σ, NaN for one prototype.
    """
    distances_KK = class_distances(prototypes)
    np.fill_diagonal(distances_KK, np.inf)
    nearest_K = distances_KK.argmin(axis=1)
    distance_K = distances_KK.min(axis=1)
    alone = len(classes) == 1
    return pd.DataFrame(
        {
            "class": classes,
            "nearest": [""] if alone else [classes[k] for k in nearest_K],
            "distance": np.nan if alone else distance_K,
            "affinity": np.nan if alone else np.exp(-distance_K),
            "own_distance": [_mean_distance(own_MC) / prototypes.sigma for own_MC in prototypes.places],
        }
    )


def _mean_distance(places_MC: np.ndarray) -> float:
    return float(pdist(places_MC, "sqeuclidean").mean()) if len(places_MC) > 1 else float("nan")
