"""Where the annotations and images of VOC are, and which of them make which split.

Published: Annotations, JPEGImages and lists in ImageSets/Main, for one year or, in a VOCdevkit, several. Of one's own:
folders called otherwise, no lists, a folder for each split, or all files in one folder.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from pathlib import Path

from bmix.data.manifest import path_fault, quoted
from bmix.sources.image_names import is_image_name
from bmix.sources.split_map import refuse_unknown_parts
from bmix.sources.split_names import split_named, splits_by_name
from bmix.sources.voc.classes import CLASSES
from bmix.support.errors import InputError

SPLITS = ["train", "val", "test"]
UNLABELLED = "unlabelled"
CLASS_LISTS = {f"{name}_{part}" for name in CLASSES for part in (*SPLITS, "trainval")}
ANNOTATIONS = {"annotations", "annotation", "xml", "xmls", "labels", "anns"}
IMAGES = {"jpegimages", "images", "image", "imgs", "img", "pngimages"}
EVERY_PART = ["JPEGImages", "Annotations", "ImageSets/Main"]


@dataclass(frozen=True)
class Part:
    """Some images of one folder: those of a list, or of all annotations there.

    name: of the list or folder, '' for all there is. base: the folder of a year, or of a split. annotations: the folder
    of the annotations; None if there is none. listed: the list; None for all. prefix: what the ids start with.
    """

    name: str
    base: Path
    annotations: Path | None
    listed: Path | None
    prefix: str = ""

    def names(self) -> list[tuple[str, str]]:
        """Where each image is named, and its name: the path of its annotation below theirs, without suffix."""
        if self.listed is not None:
            return _read_list(self.listed, self.annotations)
        if self.annotations is None:
            return []
        return [(str(path), _below(path, self.annotations)) for path in _annotations_in(self.annotations)]


def find_parts(path: Path) -> dict[str, Part]:
    """Part -> its images. A part is a list of ImageSets/Main: LIST in one year's folder, YEAR-LIST in a VOCdevkit;
    a folder named like a split; or, as '', all there is.

    Raises InputError if `path` is not a folder or holds no annotations.
    """
    if not path.is_dir():
        raise InputError(
            "data.path", f"{path} is not a folder", "a year's folder, e.g. VOCdevkit/VOC2007", "correct data.path"
        )
    if _is_year(path):
        return _parts_of(path, "")
    years = [entry for entry in sorted(path.glob("VOC?*")) if entry.is_dir() and _is_year(entry)]
    if years:
        return {name: part for year in years for name, part in _parts_of(year, f"{year.name[3:]}-").items()}
    parts = {
        entry.name: Part(entry.name, entry, _annotation_folder(entry), None, f"{entry.name}/")
        for entry in sorted(path.iterdir())
        if entry.is_dir() and split_named(entry.name) and _is_year(entry)
    }
    if not parts:
        raise _no_annotations(path)
    return parts


def choose_parts(path: Path, parts: dict[str, Part], split_of: dict[str, str]) -> list[tuple[Part, str]]:
    """The parts to read, each with its split; `split_of`, of data.splits, is empty for auto.

    Auto takes train, val and test of the only year; for those that are not there, lists and folders whose names say so,
    and trainval for train. A single list, or all there is without one, is train.
    Raises InputError for a part that is not there, several years, and lists of which none is train.
    """
    if split_of:
        refuse_unknown_parts(split_of, [name for name in parts if name], str(path))
        return [(parts[part], split) for part, split in split_of.items()]
    _refuse_several_years(path, parts)
    by_name = {part.name: part for part in parts.values()}
    first = next(iter(parts.values()))
    if len(by_name) == 1 and split_named(first.name) in (None, "train"):
        return [(first, "train")]
    exact = {name: name for name in SPLITS if name in by_name}
    others = [name for name in by_name if name not in exact and split_named(name) not in exact]
    named = exact | splits_by_name(others, str(path), "lists" if first.listed else "folders")
    if "train" not in named.values() and "trainval" in by_name:
        named = {"trainval": "train", **named}
    if "train" not in named.values():
        raise InputError(
            str(first.listed.parent if first.listed else path),
            "no train.txt" if first.listed else "no folder train",
            f"images to train on, beside {quoted(by_name)}",
            "add it, or say in data.splits which part makes which split",
        )
    return [(by_name[name], split) for name, split in named.items()]


def _is_year(folder: Path) -> bool:
    """Whether a folder holds VOC's folders, or annotations."""
    official = any((folder / name).is_dir() for name in ("JPEGImages", "ImageSets", "Annotations"))
    return official or _annotation_folder(folder) is not None


def _annotation_folder(base: Path) -> Path | None:
    """The folder with annotations: Annotations, one that is called alike, or the base itself; None if there is none."""
    if (base / "Annotations").is_dir():
        return base / "Annotations"
    alike = [entry for entry in sorted(base.iterdir()) if entry.name.lower() in ANNOTATIONS and entry.is_dir()]
    return next((folder for folder in [*alike, base] if _holds_annotation(folder)), None)


def _holds_annotation(folder: Path) -> bool:
    return any(_is_annotation(entry) for entry in folder.iterdir())


def _is_annotation(path: Path) -> bool:
    # macOS leaves a hidden ._NAME.xml beside each.
    return path.suffix.lower() == ".xml" and not path.name.startswith(".")


def _annotations_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if _is_annotation(path) and path.is_file())


def _below(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix()


def _parts_of(year: Path, prefix: str) -> dict[str, Part]:
    annotations = _annotation_folder(year)
    lists = _lists(year)
    if not lists:
        _refuse_class_lists_alone(year)
        return {prefix.rstrip("-"): Part("", year, annotations, None)}
    return {prefix + file.stem: Part(file.stem, year, annotations, file) for file in lists}


def _lists(year: Path) -> list[Path]:
    """The lists of images, in ImageSets/Main, or in ImageSets, or beside it if they are named like a split."""
    for folder in (year / "ImageSets" / "Main", year / "ImageSets", year):
        lists = [
            file
            for file in sorted(folder.glob("*.txt"))
            if file.is_file()
            and file.stem not in CLASS_LISTS
            and not file.name.startswith(".")
            and not _is_class_list(file)
            and (folder != year or split_named(file.stem))
        ]
        if lists:
            return lists
    return []


def _refuse_class_lists_alone(year: Path) -> None:
    """InputError for lists of single classes, such as cat_train.txt, without a list of all images of a split."""
    for folder in (year / "ImageSets" / "Main", year / "ImageSets"):
        lists = [
            file for file in sorted(folder.glob("*.txt")) if not file.name.startswith(".") and _is_class_list(file)
        ]
        if splits := sorted({file.stem.rpartition("_")[2] for file in lists}):
            raise InputError(
                str(folder),
                f"lists of single classes alone, e.g. {lists[0].name}",
                "lists of all images of a split, e.g. " + " and ".join(f"{split}.txt" for split in splits),
                "add these lists, or remove the folder to have the splits drawn",
            )


def _is_class_list(path: Path) -> bool:
    """Whether a list is of one class: CLASS_PART.txt with 1, 0 or -1 after each name."""
    if "_" not in path.stem or not path.is_file():
        return False
    with path.open("rb") as file:
        words = file.readline(1000).split()
    return len(words) == 2 and words[1] in (b"1", b"0", b"-1")


def _refuse_several_years(path: Path, parts: dict[str, Part]) -> None:
    years = sorted({part.base for part in parts.values() if not part.prefix})
    if len(years) < 2:
        return
    first, second = (year.name[3:] for year in years[:2])
    raise InputError(
        "data.path",
        f"{path} holds the years {', '.join(year.name for year in years)}",
        "with data.splits: auto a single year",
        f"set data.path and data.root to {years[0]} or another year, or join them, e.g. data.splits: "
        f"train={first}-trainval+{second}-trainval test={first}-test",
    )


def _no_annotations(path: Path) -> InputError:
    below = [folder for pattern in ("*", "*/*") for folder in sorted(path.glob(pattern)) if folder.is_dir()]
    place = next((folder for folder in below if _is_year(folder)), None)
    return InputError(
        "data.path",
        f"{path} holds no VOC year",
        "a year's folder with " + ", ".join(EVERY_PART) + ", a VOCdevkit, or a folder of XML annotations",
        f"set data.path to {place}" if place else "correct data.path",
    )


def _read_list(path: Path, annotations: Path | None) -> list[tuple[str, str]]:
    """Where each image of a list is named, and its name.

    A byte order mark, Windows line ends and blank lines are accepted, and so is the suffix of an image.
    """
    try:
        data = path.read_bytes().removeprefix(codecs.BOM_UTF8)
        lines = data.decode("utf-8").splitlines()
    except OSError as error:
        raise InputError(str(path), f"not readable: {error.strerror}", "a list in UTF-8", "check it") from error
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        found = f"not UTF-8: byte 0x{data[error.start]:02x}"
        raise InputError(f"{path}, line {number}", found, "a list in UTF-8", "save it in UTF-8") from error
    listed = [(f"{path}, line {number}", line.strip()) for number, line in enumerate(lines, start=1) if line.strip()]
    return [(where, _name(line, annotations, where)) for where, line in listed]


def _name(line: str, annotations: Path | None, where: str) -> str:
    """The name of the annotation that a line of a list means: the line, without an image's suffix, without folders."""
    bare = line.rpartition(".")[0] if is_image_name(line) else line
    if not path_fault(line):
        for name in (line, bare, bare.rpartition("/")[2]):
            if _is_annotated(name, annotations):
                return name
        if "/" not in bare and len(bare.split()) == 1:
            return bare
    raise InputError(where, f'image "{line}"', "the name of one image in JPEGImages", "correct or remove the line")


def _is_annotated(name: str, annotations: Path | None) -> bool:
    return annotations is not None and annotation_file(annotations, name) is not None


def annotation_file(annotations: Path, name: str) -> Path | None:
    """The annotation of that name; None if there is none."""
    for suffix in (".xml", ".XML"):
        path = annotations / f"{name}{suffix}"
        if is_file(path):
            return path
    return None


def is_file(path: Path) -> bool:
    """Whether there is a file, also for a name that is too long for the file system."""
    try:
        return path.is_file()
    except OSError:
        return False
