"""Label noise on label matrices: how labels are made wrong, and how much was injected."""

from __future__ import annotations

from typing import Any

import numpy as np

from bmix.arrays import as_array
from bmix.noise.matrix import checked_matrix
from bmix.support.errors import InputError, nearest

KINDS: tuple[str, ...] = ("none", "mislabel", "flip", "single-positive", "missing", "class-dependent")
_LABELS_AT_ONCE = 2**20
_BYTES_AT_ONCE = 2**18
_REJECTION_ROUNDS = 12


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
    labels_NK = _checked(labels, "labels")
    if kind not in KINDS:
        raise InputError("noise.kind", repr(kind), f"one of {', '.join(KINDS)}", f"correct it.{nearest(kind, KINDS)}")
    if not 0 <= rate < 1:
        raise InputError("noise.rate", str(rate), "a number from 0 to below 1", "correct noise.rate")
    if kind == "mislabel":
        return _mislabel(labels_NK, rate, rng)
    if kind == "flip":
        return _flip(labels_NK, rate, rng)
    if kind == "single-positive":
        return _single_positive(labels_NK, rng)
    if kind == "missing":
        return _missing(labels_NK, rate, rng)
    if kind == "class-dependent":
        return _class_dependent(labels_NK, checked_matrix(matrix, labels_NK.shape[1]), rng)
    return labels_NK.copy()


def transition(true: Any, given: Any, ignored: Any = None) -> np.ndarray:
    """How labels (N, K) changed: int64 (K, 2, 2), those of each class counted by [class, true value, given value].

    ignored: bool (N, K), the cells to leave out of every count; None for none.
    """
    true_NK, given_NK = _checked(true, "true labels"), _checked(given, "given labels")
    ignored = None if ignored is None else as_array(ignored)
    for name, other in (("given labels", given_NK), ("ignored cells", ignored)):
        if other is not None and other.shape != true_NK.shape:
            expected = f"that of the true labels, {true_NK.shape}"
            raise InputError(name, f"shape {other.shape}", expected, f"pass {name} that match")
    counts = np.zeros((true_NK.shape[1], 2, 2), dtype=np.int64)
    rows = max(1, _LABELS_AT_ONCE // max(1, true_NK.shape[1]))
    for low in range(0, len(true_NK), rows):
        part = slice(low, low + rows)
        true_BK, given_BK = true_NK[part], given_NK[part]
        counted_K: int | np.ndarray = len(true_BK)
        if ignored is not None:
            counted_BK = ~ignored[part].astype(bool, copy=False)
            true_BK, given_BK, counted_K = true_BK & counted_BK, given_BK & counted_BK, _sums(counted_BK)
        true_K, given_K, both_K = _sums(true_BK), _sums(given_BK), _sums(true_BK & given_BK)
        negatives_K = counted_K - true_K - given_K + both_K
        counts += np.stack([negatives_K, given_K - both_K, true_K - both_K, both_K], axis=1).reshape(-1, 2, 2)
    return counts


def measured_rates(true: Any, given: Any, ignored: Any = None) -> dict[str, Any]:
    """What noise did to the labels (N, K), as counts and shares ready for JSON, over all classes and `per_class`.

    `removed` positives turned absent and `added` negatives turned present; `changed` is their sum. `removed_rate` is a
    share of the true positives, `added_rate` of the true negatives, `changed_rate` of all labels; a share of nothing is
    0. Cells of `ignored`, bool (N, K), are neither positives nor negatives; None for none. The injected rate τ compares
    with `removed_rate` for mislabel and missing, and with `changed_rate`, or either of the others, for flip. For
    single-positive `removed_rate` is the share of positives that were hidden, for class-dependent that of positives
    that turned into another class. `per_class` holds one such dict per class in column order.
    """
    counts = transition(true, given, ignored)
    return {**_rates(counts.sum(axis=0)), "per_class": [_rates(each) for each in counts]}


def _sums(cells_BK: np.ndarray) -> np.ndarray:
    return cells_BK.sum(axis=0, dtype=np.int64)


def _rates(counts_22: np.ndarray) -> dict[str, int | float]:
    (kept_negatives, added), (removed, kept_positives) = counts_22.tolist()
    positives, negatives, changed = removed + kept_positives, added + kept_negatives, removed + added
    return {
        "positives": positives,
        "negatives": negatives,
        "removed": removed,
        "removed_rate": removed / max(positives, 1),
        "added": added,
        "added_rate": added / max(negatives, 1),
        "changed": changed,
        "changed_rate": changed / max(positives + negatives, 1),
    }


def _mislabel(labels_NK: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    images, classes = labels_NK.shape
    cells = _positives(labels_NK)
    image = cells // classes
    positives_K = np.bincount(cells - image * classes, minlength=classes)
    chance = rng.random(len(cells))
    hit = np.flatnonzero(chance < rate)
    left_N = np.count_nonzero(positives_K) - np.bincount(image, minlength=images)
    hit = hit[_within(image[hit], chance[hit], left_N)]

    occupied_NK = labels_NK.copy()
    _occupy(occupied_NK, image[hit], positives_K, rng)
    occupied_NK.reshape(-1)[cells[hit]] = 0
    return occupied_NK


def _within(image: np.ndarray, chance: np.ndarray, left_N: np.ndarray) -> np.ndarray:
    """Which hits to keep, so that no image has more than are left for it: those of the smallest chance."""
    keep = np.ones(len(image), dtype=bool)
    tight = np.flatnonzero(np.bincount(image, minlength=len(left_N))[image] > left_N[image])
    tight = tight[np.lexsort((chance[tight], image[tight]))]
    rank = np.arange(len(tight)) - np.searchsorted(image[tight], image[tight])
    keep[tight] = rank < left_N[image[tight]]
    return keep


def _occupy(occupied_NK: np.ndarray, image: np.ndarray, positives_K: np.ndarray, rng: np.random.Generator) -> None:
    """Give each listed image a class that it does not have yet, in proportion to `positives_K`, in place.

    image: ascending. Draws that meet an occupied class are repeated, which leaves eq. 11's distribution over the free
    ones; the few that a dozen rounds did not settle are drawn from the free ones directly.
    """
    classes = len(positives_K)
    occupied = occupied_NK.reshape(-1)
    class_of_positive = np.repeat(np.arange(classes, dtype=np.int32), positives_K)
    for _ in range(_REJECTION_ROUNDS):
        if not len(image):
            return
        cells = image * classes + class_of_positive[rng.integers(len(class_of_positive), size=len(image))]
        taken = occupied[cells] == 1
        free = np.sort(cells[~taken], kind="stable")  # almost in order
        occupied[free] = 1
        twice = free[1:][free[1:] == free[:-1]]
        image = np.sort(np.concatenate([image[taken], twice // classes]), kind="stable")
    while len(image):
        _, first = np.unique(image, return_index=True)
        for part in np.array_split(first, -(-first.size * classes // _LABELS_AT_ONCE)):
            cumulative = np.where(occupied_NK[image[part]], 0, positives_K).cumsum(axis=1)
            drawn = (cumulative <= rng.integers(cumulative[:, -1])[:, None]).sum(axis=1)
            occupied_NK[image[part], drawn] = 1
        image = np.delete(image, first)


def _flip(labels_NK: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    """A label flips by its random byte or by a second, rare chance; together they make up the rate.

    A byte is below the whole part of 256·rate with the chance a; the second chance is (rate - a) / (1 - a).
    """
    flipped_NK = np.empty_like(labels_NK)
    labels, flipped = labels_NK.reshape(-1), flipped_NK.reshape(-1)
    below = int(256 * rate)
    # SFC64 draws in two thirds of the time of numpy's default.
    fast = np.random.Generator(np.random.SFC64(rng.integers(2**32, size=4).tolist()))
    for low in range(0, len(labels), _BYTES_AT_ONCE):
        part = slice(low, low + _BYTES_AT_ONCE)
        words = fast.integers(2**64 - 1, size=_BYTES_AT_ONCE // 8, dtype=np.uint64, endpoint=True)
        byte = words.astype("<u8", copy=False).view(np.uint8)[: len(labels[part])]
        np.bitwise_xor(labels[part], (byte < np.uint8(below)).view(np.uint8), out=flipped[part])
    rest = _hit_cells(len(labels), (256 * rate - below) / (256 - below), fast)
    flipped[rest] = labels[rest] ^ 1
    return flipped_NK


def _hit_cells(cells: int, chance: float, rng: np.random.Generator) -> np.ndarray:
    """Which of so many cells are hit, ascending, each with the chance: gaps between hits are geometric."""
    if chance == 0:
        return np.empty(0, dtype=np.int64)
    parts = [np.array([-1])]
    while parts[-1][-1] < cells:
        expected = (cells - parts[-1][-1]) * chance
        gaps = rng.geometric(chance, size=int(expected + 4 * expected**0.5) + 1)
        parts.append(parts[-1][-1] + np.minimum(gaps, cells + 1).cumsum())
    found = np.concatenate(parts[1:])
    return found[: found.searchsorted(cells)]


def _single_positive(labels_NK: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    cells = _positives(labels_NK)
    count = np.bincount(cells // labels_NK.shape[1], minlength=len(labels_NK))
    count = count[count > 0]
    kept = count.cumsum() - count + rng.integers(count)
    single_NK = np.zeros_like(labels_NK)
    single_NK.reshape(-1)[cells[kept]] = 1
    return single_NK


def _missing(labels_NK: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    cells = _positives(labels_NK)
    left_NK = labels_NK.copy()
    left_NK.reshape(-1)[cells[rng.random(len(cells)) < rate]] = 0
    return left_NK


def _class_dependent(labels_NK: np.ndarray, matrix_KK: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    classes = labels_NK.shape[1]
    cells = _positives(labels_NK)
    cells = cells[rng.random(len(cells)) >= matrix_KK.diagonal()[cells % classes]]
    cells = cells[np.lexsort((rng.random(len(cells)), cells // classes))]
    image = cells // classes
    turn = np.arange(len(cells)) - np.searchsorted(image, image)
    cells = cells[np.argsort(turn, kind="stable")]

    occupied_NK = labels_NK.copy()
    turned = [_replace(occupied_NK, part, matrix_KK, rng) for part in np.split(cells, np.bincount(turn).cumsum()[:-1])]
    occupied_NK.reshape(-1)[np.concatenate(turned)] = 0
    return occupied_NK


def _replace(occupied_NK: np.ndarray, cells: np.ndarray, matrix_KK: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Give each cell's image a class that it does not have yet, by the row of the cell's class, in place.

    cells: one per image. Returns those that found a class. Draws are repeated as in `_occupy`.
    """
    classes = len(matrix_KK)
    occupied = occupied_NK.reshape(-1)
    share_KK = matrix_KK * (1 - np.eye(classes))
    # All rows in one ascending list, row i from i to i + 1, find a class for every row by one search.
    row_K = np.arange(classes)
    mass_K = share_KK.sum(axis=1)
    cumulative_KK = share_KK.cumsum(axis=1) / np.maximum(mass_K, np.finfo(float).tiny)[:, None]
    last_K = classes - 1 - (share_KK[:, ::-1] > 0).argmax(axis=1)
    cumulative_KK[row_K >= last_K[:, None]] = 1
    cumulative = (cumulative_KK + row_K[:, None]).reshape(-1)

    turned = []
    cells = cells[mass_K[cells % classes] > 0]
    for _ in range(_REJECTION_ROUNDS):
        row = cells % classes
        drawn = np.minimum(row + rng.random(len(cells)), np.nextafter(row + 1, 0))
        new = cells - row + cumulative.searchsorted(drawn, side="right") - row * classes
        free = occupied[new] == 0
        occupied[new[free]] = 1
        turned.append(cells[free])
        cells = cells[~free]
    for part in np.array_split(cells, max(1, -(-cells.size * classes // _LABELS_AT_ONCE))):
        image, row = part // classes, part % classes
        cumulative_BK = np.where(occupied_NK[image], 0, share_KK[row]).cumsum(axis=1)
        possible = np.flatnonzero(cumulative_BK[:, -1] > 0)
        cumulative_BK, total_B = cumulative_BK[possible], cumulative_BK[possible, -1]
        drawn = np.minimum(rng.random(len(possible)) * total_B, np.nextafter(total_B, 0))
        occupied_NK[image[possible], (cumulative_BK <= drawn[:, None]).sum(axis=1)] = 1
        turned.append(part[possible])
    return np.concatenate(turned)


def _positives(labels_NK: np.ndarray) -> np.ndarray:
    """The cells n·K + k of the positives, ascending, of 0/1 labels in row-major order."""
    return np.flatnonzero(labels_NK.view(bool))


def _checked(labels: Any, where: str) -> np.ndarray:
    """The labels as uint8, in row-major order; InputError where they are not a matrix of 0 and 1."""
    array = as_array(labels)
    if array.ndim != 2:
        raise InputError(where, f"{array.ndim} dimensions", "a matrix (images, classes)", "pass one row per image")
    rows = max(1, _LABELS_AT_ONCE // max(1, array.shape[1]))
    for low in range(0, len(array), rows):
        part = array[low : low + rows]
        # The largest of unsigned numbers tells at once, in a fraction of the time.
        if array.dtype == bool or not part.size or (array.dtype == np.uint8 and part.max() <= 1):
            continue
        wrong = (part != 0) & (part != 1)
        if wrong.any():
            image, label = np.argwhere(wrong)[0].tolist()
            raise InputError(
                f"{where}, row {low + image}, class at index {label}",
                str(part[image, label]),
                "0 (absent) or 1 (present)",
                "turn the labels into 0 and 1 first",
            )
    return np.ascontiguousarray(array, dtype=np.uint8)
