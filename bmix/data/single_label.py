"""Single-label data: every image shows exactly one class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bmix.data.label_lists import label_lists
from bmix.data.manifest import TRUE, Manifest, origin
from bmix.support.errors import InputError, quoted


def check_one_class(manifest: Manifest, where: str) -> None:
    """InputError if an image outside the split `unlabelled` has no label, or more than one; nor may the true ones.

    where: the file or folder that the manifest comes from.
    """
    frame = manifest.frame
    labelled_N = (frame["split"] != "unlabelled").to_numpy()
    for column in ("labels", *([TRUE] if TRUE in frame else [])):
        counts_N = np.where(labelled_N, frame[column].map(len), 1)
        if (counts_N != 1).any():
            position = int(np.argmax(counts_N != 1))
            image = f"{origin(frame, position, where)}, image {frame['id'].iloc[position]}"
            names, images = frame[column].iloc[position], int((counts_N != 1).sum())
            remedy = "give it one label" if len(names) else "give it one, leave it out (data.empty=drop)"
            raise _refused(image, "labels" if column == "labels" else "true labels", names, images, remedy)


def check_one_given(given_NK: np.ndarray, ids: list[str], classes: list[str]) -> None:
    """The same of given labels (N, K) of 0 and 1, after noise."""
    counts_N = given_NK.sum(axis=1, dtype=int)
    if (counts_N != 1).any():
        row = int(np.argmax(counts_N != 1))
        names = label_lists(given_NK[[row]], classes)[0]
        remedy = "set noise.kind to none or mislabel, and run the stage noise again"
        raise _refused(f"data/noisy, image {ids[row]}", "given labels", names, int((counts_N != 1).sum()), remedy)


def _refused(image: str, what: str, names: Sequence[str], images: int, remedy: str) -> InputError:
    found = f"{len(names)} {what}, {quoted(list(names))}" if len(names) else f"no {what}"
    more = f"; {images} images in all have other than one" if images > 1 else ""
    return InputError(
        image,
        f"has {found}{more}",
        "exactly one class an image: model.task is single-label",
        f"{remedy}, or set model.task to multi-label",
    )
