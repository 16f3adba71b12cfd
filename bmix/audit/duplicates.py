"""Near-duplicates among feature vectors, so that copies of one image lie in one fold."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

TABLES = 8
NEIGHBOURS = 4
"""Rows of one bucket that each row is compared with."""


def copies(features_ND: np.ndarray, cosine: float, largest: int, rng: np.random.Generator) -> np.ndarray:
    """A group number for each row, int64 (N,): those of `near_duplicates`, as long as likeness tells copies.

    Of few features, or very smooth ones, most rows are alike. So if a group has more than `largest` rows, only equal
    rows share a group.
    """
    groups_N = near_duplicates(features_ND, cosine, rng)
    if np.bincount(groups_N).max() <= largest:
        return groups_N
    return np.unique(features_ND, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)


def near_duplicates(features_ND: np.ndarray, cosine: float, rng: np.random.Generator) -> np.ndarray:
    """A group number for each row, int64 (N,): rows whose centred vectors have at least this cosine share one.

    features_ND: float, centred and scaled. Candidates are rows that fall on one side of every one of log2(N) random
    hyperplanes, in one of TABLES draws (Charikar 2002), of which a pair at a cosine of 0.98 misses all about once in
    a hundred times. Time grows with N · log N.
    """
    count = len(features_ND)
    length_N = np.linalg.norm(features_ND, axis=1)
    bits = max(1, int(np.ceil(np.log2(max(count, 2)))))
    weights_B = 2 ** np.arange(bits, dtype=np.int64)
    pairs = []
    for _ in range(TABLES):
        planes_DB = rng.standard_normal((features_ND.shape[1], bits)).astype(np.float32)
        bucket_N = ((features_ND @ planes_DB) > 0) @ weights_B
        order = np.argsort(bucket_N, kind="stable")
        for step in range(1, NEIGHBOURS + 1):
            first, second = order[:-step], order[step:]
            together = bucket_N[first] == bucket_N[second]
            pairs.append(np.stack([first[together], second[together]], axis=1))
    pairs_P2 = np.unique(np.sort(np.concatenate(pairs), axis=1), axis=0)
    product_P = np.einsum("pd,pd->p", features_ND[pairs_P2[:, 0]], features_ND[pairs_P2[:, 1]])
    alike = product_P >= cosine * length_N[pairs_P2[:, 0]] * length_N[pairs_P2[:, 1]]
    alike &= (length_N[pairs_P2] > 0).all(axis=1)
    first, second = pairs_P2[alike].T
    graph = coo_array((np.ones(len(first), bool), (first, second)), shape=(count, count))
    return connected_components(graph, directed=False)[1].astype(np.int64)
