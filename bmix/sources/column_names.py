"""Which column of a table holds what, by its name: the one that bmix uses, or one that is usual elsewhere."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bmix.support.errors import InputError, quoted

TEXTS = ["path", "id", "split"]
LISTS = ["labels", "ignore", "true"]
REVIEWED = "reviewed"
"""Under this name alone: what `bmix labels apply` adds."""
ROLES = [*TEXTS, *LISTS, REVIEWED]

USUAL: dict[str, list[list[str]]] = {
    "path": [
        ["filepath", "filename", "file", "fname", "fullpath", "imagepath", "imgpath", "imagefile", "imgfile",
         "imagefilename", "imagename", "imgname"],
        ["image", "img", "picture", "photo", "imageindex", "imageid", "imgid"],
    ],
    "split": [["subset", "partition", "phase", "isvalid"]],
    "labels": [
        ["label", "labelname", "labelnames", "labellist", "findinglabels", "findings", "tags", "classes", "classname",
         "classnames", "categories", "targets"],
        ["tag", "class", "category", "target"],
    ],
    "true": [["truelabels", "truelabel"]],
}  # fmt: skip
"""Names of each role, lower-case and without blanks and signs, by rank: an image_id beside a file_name is no path."""

_INDEX = re.compile(r"|__index_level_\d+__|Unnamed: \d+")


def is_index(name: str) -> bool:
    """Whether a column is the index of a pandas table that was written with it."""
    return _INDEX.fullmatch(name) is not None


def find_roles(names: Sequence[str], where: str, needs_path: bool = True) -> dict[str, str]:
    """Role -> the column that has it, for the columns of one file.

    A column under the exact name counts first, then one that differs in case or signs, then one under a usual name.
    needs_path: an id is the path where nothing else is.
    InputError if two columns have an equal claim to `path` or `labels`; of two for another role none has it.
    """
    roles: dict[str, str] = {}
    free = {name: _plain(name) for name in names if name not in ROLES}
    for role in ROLES:
        usual = [] if role == REVIEWED else [[role], *USUAL.get(role, [])]
        ranks = [[name for name, plain in free.items() if plain in rank] for rank in usual]
        found = next((rank for rank in [[role] if role in names else [], *ranks] if rank), [])
        if len(found) > 1 and role in ("path", "labels"):
            raise InputError(
                where,
                f"the columns {quoted(found)}, each of which may be the one for {role}",
                f"one column {role}",
                f"rename the right one to {role}",
            )
        if len(found) == 1:
            roles[role] = found[0]
    if needs_path and "path" not in roles and "id" in roles:
        roles["path"] = roles.pop("id")
    return roles


def is_label_name(name: str) -> bool:
    """Whether a column under this name usually holds the labels."""
    return any(_plain(name) in rank for rank in (["labels"], *USUAL["labels"]))


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).lower()


def form_note(roles: dict[str, str], indexes: Sequence[str] = ()) -> str:
    """What to say of columns that have a role under another name, and of an index; '' if there is neither."""
    parts = [f'{role} in column "{name}"' for role, name in roles.items() if name != role]
    return ", ".join([*parts, *(f"the index of pandas, {quoted([name])}, left alone" for name in indexes if name)])
