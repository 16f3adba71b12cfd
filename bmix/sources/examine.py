"""The examination of a source that `check` and the stage `prepare` share, so that both refuse the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bmix.data.manifest import Manifest, validate
from bmix.sources.draw import with_drawn_splits
from bmix.sources.plausibility import refuse_implausible, refuse_twins, warned
from bmix.sources.reading import Reading
from bmix.sources.registry import SOURCES
from bmix.sources.screening import drop_empty, noted_copies, screen_overlap, without_no_label
from bmix.sources.verify import verify

if TYPE_CHECKING:
    from bmix.params import DataParams


def examine(
    data: DataParams,
    images_folder: Path | None = None,
    memo: Path | None = None,
    accept: Callable[[Manifest], None] = lambda manifest: None,
) -> tuple[Manifest, Reading]:
    """The manifest of the data that params name, with the digest of every image, and how the data was understood.

    images_folder: where a source that makes its images or holds features writes them; None: it writes nothing, and
    images that are made are not looked at. memo: a file that keeps the digests of images by path, size and time of
    change; what is unchanged is not read again.
    accept: a further check, which raises InputError; called before the images are looked at, and again if some of them
    were left out.
    Raises InputError for whatever cannot be used, and for a reading that is not plausible.
    """
    source = SOURCES[data.source]
    manifest = source.read(data, images_folder)
    if not source.reads_cells:
        manifest = without_no_label(manifest, data.no_label, data.path)
    manifest = with_drawn_splits(manifest, data.seed)
    # Features are left out as they are read: rows of the file are rows of the manifest.
    if data.empty == "drop" and not source.holds_features:
        manifest = drop_empty(manifest)
    _accept(manifest, data, accept)
    if not source.holds_features and not (source.makes_images and images_folder is None):
        root = images_folder if source.makes_images and images_folder else Path(data.root)
        # Images made just now are read in any case, and would push those of other data out of the memo.
        memo = None if source.makes_images else memo
        verified = verify(manifest, root, data.path, unreadable=data.unreadable, memo=memo)
        if len(verified.frame) < len(manifest.frame):
            # What was skipped may have been the last image of a class or a split.
            _accept(verified, data, accept)
        manifest = verified
    manifest = warned(noted_copies(screen_overlap(manifest, data.path, data.overlap)))
    manifest = replace(manifest, frame=manifest.frame.reset_index(drop=True))
    return manifest, Reading.of(manifest, data)


def _accept(manifest: Manifest, data: DataParams, accept: Callable[[Manifest], None]) -> None:
    source = SOURCES[data.source]
    refuse_twins(manifest, data.path)
    validate(manifest, data.path)
    refuse_implausible(manifest, data.path, source.annotates_objects, source.reads_cells)
    accept(manifest)
