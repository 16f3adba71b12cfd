"""Splits for data that has none: drawn by a seed, stratified by the labels."""

from __future__ import annotations

from dataclasses import replace

from bmix.data.label_lists import label_pairs
from bmix.data.manifest import Manifest
from bmix.sources.stratify import stratified_splits


def with_drawn_splits(manifest: Manifest, seed: int) -> Manifest:
    """The manifest with val and test drawn from train if it has no other split to measure on, else itself.

    Every labelled image takes part; those of split `unlabelled` stay. A note says so. Raises InputError for a label
    that is not among the classes.
    """
    labelled_N = (manifest.frame["split"] != "unlabelled").to_numpy()
    if not labelled_N.any() or (manifest.frame["split"][labelled_N] != "train").any():
        return manifest
    splits = manifest.frame["split"].to_numpy(dtype=object, copy=True)
    shape = (int(labelled_N.sum()), len(manifest.classes))
    pairs = label_pairs(manifest.frame["labels"][labelled_N], manifest.classes)
    splits[labelled_N] = stratified_splits(*pairs, shape, seed)
    drawn = f"drawn for data.seed {seed}, stratified by the labels"
    before = manifest.notes.get("splits")
    notes = {**manifest.notes, "splits": f"{before}, from which val and test are {drawn}" if before else drawn}
    return replace(manifest, frame=manifest.frame.assign(split=splits), notes=notes)
