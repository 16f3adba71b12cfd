"""Presets: files in `params/` that each set some keys, applied by name among the edits of `--set`."""

from __future__ import annotations

from pathlib import Path

import yaml

from bmix.params import flat, known_keys, read_yaml
from bmix.support.errors import InputError, nearest

FOLDER = Path("params")


def expand_presets(edits: list[str], folder: Path = FOLDER) -> list[str]:
    """The edits with every preset's name replaced by the `key=value` edits of its file; later edits win.

    An edit without `=` is a name: `clean` stands for `params/clean.yaml`. InputError for a name without a file and for
    a file that holds anything but known keys in their sections.
    """
    expanded: list[str] = []
    for edit in edits:
        expanded += [edit] if "=" in edit else _edits_of(edit, folder)
    return expanded


def preset_names(folder: Path = FOLDER) -> list[str]:
    """The presets there are."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def _edits_of(name: str, folder: Path) -> list[str]:
    names = preset_names(folder)
    if name not in names:
        raise InputError(
            f"--set {name}",
            f"neither key=value nor a preset of {folder}/",
            f"key=value with a dotted key of params.yaml, e.g. training.recipe=bce, or a preset: {', '.join(names)}",
            f"correct it.{nearest(name, names)}",
        )
    path = folder / f"{name}.yaml"
    content = read_yaml(path)
    sections = content if isinstance(content, dict) else {}
    if not sections or not all(isinstance(keys, dict) for keys in sections.values()):
        raise InputError(str(path), "no sections of keys", "sections as in params.yaml", "correct the preset")
    values = flat(sections)
    for key in values:
        if key not in known_keys() and not key.startswith("recipes."):
            raise InputError(
                str(path),
                f"unknown key {key}",
                "keys of params.yaml",
                f"rename or remove it.{nearest(key, known_keys())}",
            )
    return [f"{key}={_as_yaml(value)}" for key, value in values.items()]


def _as_yaml(value: object) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("\n").removesuffix("\n...")
