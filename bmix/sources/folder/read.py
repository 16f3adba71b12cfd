"""A folder of images with one folder per class: PATH/CLASS/image, or PATH/PART/CLASS/image with train, val, test."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pandas as pd

from bmix.data.manifest import COLUMNS, Manifest, quoted
from bmix.sources.class_list import ClassList
from bmix.sources.folder.files import ClassedImage, ImageFile, files_below, joined
from bmix.sources.folder.layout import Layout, find_layout
from bmix.sources.image_names import UNREAD
from bmix.support.errors import InputError


def read_folder(
    path: Path, root: Path, split_of: dict[str, str] | None = None, listed: ClassList | None = None
) -> Manifest:
    """Read a folder per class into a manifest without digests; its notes tell what was decided here.

    PATH/PART/CLASS is read if every folder in PATH is named like a split (train, Validation, TEST_SET, val2017, see
    `split_named`), or if split_of (part -> split) is given; parts that it does not name are left out. Else PATH/CLASS,
    all of it train. A folder `unlabelled` beside either holds images without labels. If PATH holds a single folder
    that is neither, what is inside is read.
    Images are found at any depth below a class folder; the id is the path below it, after PART/ where there are parts.
    An image is in several classes by links to one file, or by files of one name and equal bytes in several class
    folders. Files that are no image are left out and counted. The classes are the folders, sorted; or those of
    `listed`, in its order, and other folders are left out. root: the folder that the manifest's paths start from.
    Raises InputError for a path that is not a folder or outside root, an image in no class folder, one name with
    different bytes in two classes, a link to a folder, and folders that `find_layout` refuses.
    """
    if not path.is_dir():
        raise InputError("data.path", f"{path} is not a folder", "a folder with a folder per class", "correct it")
    if not path.resolve().is_relative_to(root.resolve()):
        raise InputError("data.root", f"{root} does not hold {path}", "the folder that data.path names", "correct it")
    skipped: Counter[str] = Counter()
    layout = find_layout(path, split_of or {}, skipped, listed)
    images = joined(_files(layout, skipped))
    classes = listed.names if listed else sorted({name for names in layout.classes.values() for name in names})
    column_of = {name: column for column, name in enumerate(classes)}
    prefix = path.resolve().relative_to(root.resolve())
    rows = [
        [
            f"{image.first.part}/{image.first.name}" if image.first.part else image.first.name,
            (prefix / Path(image.first.path).relative_to(path)).as_posix(),
            layout.split_of[image.first.part],
            sorted(image.labels, key=column_of.__getitem__),
            [],
            "",
        ]
        for image in images
    ]
    origins = pd.Index([image.first.path for image in images], name="origin", dtype="str")
    notes = _notes(layout, path, images, skipped)
    if listed:
        notes["classes"] = listed.note
    return Manifest(pd.DataFrame(rows, columns=COLUMNS, index=origins), classes, notes, classes_listed=bool(listed))


def _files(layout: Layout, skipped: Counter[str]) -> list[ImageFile]:
    files = []
    for part, split in layout.split_of.items():
        if split == "unlabelled":
            files += files_below(layout.base / part, part, "", skipped)
        for label in layout.classes[part]:
            files += files_below(layout.base / part / label, part, label, skipped)
    return files


def _notes(layout: Layout, path: Path, images: list[ClassedImage], skipped: Counter[str]) -> dict[str, str]:
    notes = {}
    has_parts = "" not in layout.split_of
    if layout.left_out:
        notes["left out"] = f"the folders {quoted(layout.left_out)}, which data.splits does not name"
    if layout.unlisted:
        notes["unlisted"] = f"class folders that are not listed are left out: {quoted(layout.unlisted)}"
    if layout.base != path:
        notes["folder"] = f"{layout.base.relative_to(path)}, the only one there"
    notes["labels"] = "the names of the folders" + (" below the parts" if has_parts else "")
    if several := sum(len(image.labels) > 1 for image in images):
        notes["labels"] += f"; {several} images in several of them"
    if inner := [image.first for image in images if image.first.label and "/" in image.first.name]:
        notes["inner folders"] = (
            f"{len(inner)} images in folders inside those of the classes are of that class, "
            f'e.g. "{inner[0].label}/{inner[0].name}" of "{inner[0].label}"'
        )
    for name, what, kinds in (
        ("skipped", "files that are no images", [kind for kind in skipped if kind not in UNREAD]),
        ("other formats", "pictures in formats that are not read", [kind for kind in skipped if kind in UNREAD]),
    ):
        if kinds:
            notes[name] = f"{what}: " + ", ".join(f"{skipped[kind]} {kind}" for kind in sorted(kinds))
    renamed = [f"{split} from {part}" for part, split in layout.split_of.items() if part and part != split]
    if renamed:
        notes["splits"] = ", ".join(renamed)
    return notes
