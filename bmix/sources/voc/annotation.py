"""One annotation of VOC: an XML file that names the objects of an image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

import defusedxml.ElementTree
from defusedxml.common import DTDForbidden

from bmix.support.errors import InputError

_TRUTH = {"": False, "0": False, "false": False, "1": True, "true": True}


@dataclass(frozen=True)
class Annotation:
    """path: its file. filename: the image that it names, '' without one. objects: class and whether it is difficult."""

    path: Path
    filename: str
    objects: list[tuple[str, bool]]

    def present(self, difficult: str) -> tuple[set[str], set[str]]:
        """The present and the ignored classes.

        difficult: what a class is of which every object is marked difficult: `ignore`, `drop` (absent) or `positive`.
        """
        every = {name for name, _ in self.objects}
        present = (
            every if difficult == "positive" else {name for name, is_difficult in self.objects if not is_difficult}
        )
        return present, every - present if difficult == "ignore" else set()


def read_annotation(path: Path) -> Annotation:
    """Read one annotation.

    Raises InputError for what is not XML, has a document type, is not called <annotation>, or has an object without a
    name or with another `difficult` than 0 and 1.
    """
    try:
        root = defusedxml.ElementTree.fromstring(path.read_bytes(), forbid_dtd=True)
    except OSError as error:
        raise InputError(str(path), f"not readable: {error.strerror}", "a VOC annotation", "check it") from error
    except DTDForbidden as error:
        found = "a document type (<!DOCTYPE ...>), which can define entities"
        raise InputError(str(path), found, "a VOC annotation, which has none", "replace it") from error
    # A ValueError and a LookupError come of encodings that are not known.
    except (ParseError, ValueError, LookupError) as error:
        raise InputError(str(path), f"not readable as XML: {error}", "a VOC annotation", "replace it") from error
    if root.tag != "annotation":
        remedy = "export it as Pascal VOC" if root.tag == "annotations" else "replace it"
        raise InputError(str(path), f"<{root.tag}>", "a VOC annotation: <annotation>", remedy)
    objects = [(_name(entry, path), _is_difficult(entry, path)) for entry in root.findall("object")]
    return Annotation(path, (root.findtext("filename") or "").strip(), objects)


def _name(entry: Element, path: Path) -> str:
    name = (entry.findtext("name") or "").strip()
    if not name:
        raise InputError(str(path), 'object ""', "the name of a class in <name>", "correct the annotation")
    return name


def _is_difficult(entry: Element, path: Path) -> bool:
    text = (entry.findtext("difficult") or "").strip()
    if text.lower() not in _TRUTH:
        raise InputError(str(path), f'difficult "{text}"', "0 or 1", "correct the annotation")
    return _TRUTH[text.lower()]
