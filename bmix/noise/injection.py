"""Label noise by its kind."""

from __future__ import annotations

from typing import Any

import numpy as np

from bmix.noise.kinds import KINDS
from bmix.noise.labels import checked_labels
from bmix.noise.request import Request
from bmix.support.errors import InputError, nearest


def inject(
    labels: Any, kind: str, rate: float, rng: np.random.Generator, matrix: np.ndarray | None = None
) -> np.ndarray:
    """Noisy labels (N, K) uint8 from true ones (N, K) of 0 and 1, array or tensor of any dtype; these stay as they are.

    - `none`: a copy.
    - `mislabel` (eq. 11): each positive is hit with probability `rate`; a hit class i turns absent, and a class j that
      the image neither truly shows nor already got in place of another turns present, drawn in proportion to its number
      of positives N_j. So an image keeps its number of labels: two hits of one image never fall on the same class, and
      the first is distributed as eq. 11 says. Where hits outnumber the classes left to draw, as in an image that shows
      every class, the surplus keep their label.
    - `flip`: each of the N·K labels flips with probability `rate`.
    - `single-positive`: of each image's positives one is kept, each as likely; `rate` is unused.
    - `missing`: each positive turns absent with probability `rate`, be it the last of its image or class.
    - `class-dependent`: `matrix` (K, K), rows of shares that sum to 1, says in row i what a positive of class i turns
      into, on the diagonal how often it stays; `rate` is unused. The hits of an image are settled one after the other
      in random order. Each turns class i absent and a class j present that the image neither truly shows nor already
      got in place of another, drawn by row i renormalised over these; where row i gives them no share, i stays.

    A matrix is looked at for class-dependent alone. Memory beyond the two matrices grows with the number of positives
    and of hits. Raises InputError for labels that are not a matrix of 0 and 1, an unknown kind, a rate outside [0, 1),
    and a matrix that is missing, of another shape, or whose rows are not shares.
    """
    labels_NK = checked_labels(labels, "labels")
    if kind not in KINDS:
        raise InputError("noise.kind", repr(kind), f"one of {', '.join(KINDS)}", f"correct it.{nearest(kind, KINDS)}")
    if not 0 <= rate < 1:
        raise InputError("noise.rate", str(rate), "a number from 0 to below 1", "correct noise.rate")
    return KINDS[kind].inject(labels_NK, Request(rate, matrix), rng)
