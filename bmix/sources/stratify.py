"""Seeded splits of a multi-label data set that keep each class's share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bmix.randomness import numpy_generator

SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}


def stratified_splits(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int], seed: int) -> np.ndarray:
    """A split name for each image by iterative stratification (Sechidis, Tsoumakas, Vlahavas 2011).

    rows, columns: int (M,), the image and the class of each label, every pair once, as `np.nonzero` gives them.
    shape: (N, K). Returns object (N,) of the names in SHARES. The rarest class is dealt out first, each image to the
    split that lacks most of that class, then to the one that lacks most images, then at random. Afterwards single
    images are moved so that every class is in train, and a class of at least 3 images in every split; where classes
    overlap so that no single move can do it without taking a class from another split, it stays out of val or test.
    Time and memory grow with N + M.
    """
    labels = _Labels.of(rows, columns, shape)
    splits_N = _deal(labels, np.array(list(SHARES.values())), numpy_generator(seed, "splits"))
    _fill_gaps(labels, splits_N)
    return np.array(list(SHARES), dtype=object)[splits_N]


@dataclass(frozen=True)
class _Labels:
    """Each image's classes and each class's images, all ascending, one after the other; where each starts, and ends."""

    classes: np.ndarray
    class_starts: np.ndarray
    images: np.ndarray
    image_starts: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> _Labels:
        by_row, by_column = np.lexsort((columns, rows)), np.lexsort((rows, columns))
        starts = [
            np.concatenate([[0], np.bincount(of, minlength=length).cumsum()])
            for of, length in zip((rows, columns), shape, strict=True)
        ]
        return cls(columns[by_row], starts[0], rows[by_column], starts[1])

    def classes_of(self, image: int) -> np.ndarray:
        return self.classes[self.class_starts[image] : self.class_starts[image + 1]]

    def images_with(self, column: int) -> np.ndarray:
        return self.images[self.image_starts[column] : self.image_starts[column + 1]]

    @property
    def images_per_class(self) -> np.ndarray:
        return np.diff(self.image_starts)


def _deal(labels: _Labels, shares_S: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The split index of each image, int64 (N,)."""
    count = len(labels.class_starts) - 1
    order_N = rng.permutation(count)
    place_N = np.empty(count, np.int64)
    place_N[order_N] = np.arange(count)
    breaks_N = rng.random((count, len(shares_S)))
    splits_N = np.full(count, -1)
    # Lists: numpy's scalars take several times as long, and this loop passes every label.
    remaining = labels.images_per_class.tolist()
    wanted = (shares_S * count).tolist()
    wanted_of = (labels.images_per_class[:, None] * shares_S).tolist()

    def deal(images: np.ndarray, wanted_of_class: list[float]) -> None:
        images = images[splits_N[images] < 0]
        images = images[np.argsort(place_N[images])]
        for image, breaks in zip(images.tolist(), breaks_N[images].tolist(), strict=True):
            # Rounded, so that equal wishes are ties whatever the order of the subtractions was.
            ranks = [
                (round(own * 1e6), round(wish * 1e6), tie)
                for own, wish, tie in zip(wanted_of_class, wanted, breaks, strict=True)
            ]
            split = ranks.index(max(ranks))
            splits_N[image] = split
            wanted[split] -= 1
            for column in labels.classes_of(image).tolist():
                wanted_of[column][split] -= 1
                remaining[column] -= 1

    while any(remaining):
        rarest = min((left, column) for column, left in enumerate(remaining) if left)[1]
        deal(labels.images_with(rarest), wanted_of[rarest])
    deal(np.arange(count), wanted)
    return splits_N


def _fill_gaps(labels: _Labels, splits_N: np.ndarray) -> None:
    """Move images, in place, into splits that lack a class; train (0) first, and never at the cost of train."""
    total_K = labels.images_per_class
    of_label = np.repeat(splits_N, np.diff(labels.class_starts)) * len(total_K) + labels.classes
    counts_SK = np.bincount(of_label, minlength=len(SHARES) * len(total_K)).reshape(len(SHARES), -1)
    for split in range(len(SHARES)):
        for column in np.argsort(total_K, kind="stable"):
            if counts_SK[split, column] or total_K[column] < (3 if split else 1):
                continue
            for image in labels.images_with(column):
                donor, shown = splits_N[image], labels.classes_of(image)
                if split and (counts_SK[donor, shown] == 1).any():
                    continue
                counts_SK[donor, shown] -= 1
                counts_SK[split, shown] += 1
                splits_N[image] = split
                break
