"""Edits of params.yaml by `key=value`."""

from __future__ import annotations

import copy
from typing import Any

import yaml

from bmix.params.whole import known_keys
from bmix.support.errors import InputError, nearest
from bmix.support.yaml_text import parse_yaml


def apply_edits(content: dict[str, Any], edits: list[str]) -> dict[str, Any]:
    """The params content with `key=value` edits applied to a copy; values are read as YAML."""
    edited = copy.deepcopy(content)
    for edit in edits:
        key, equals, value = edit.partition("=")
        known = settable_keys(content)
        if not equals or key not in known:
            raise InputError(
                f"--set {edit}",
                f"unknown key {key}" if equals else "no '=' in it",
                "key=value with a dotted key of params.yaml, e.g. training.recipe=bce",
                f"correct it.{nearest(key, known)}",
            )
        *sections, name = key.split(".")
        place = edited
        for section in sections:
            place = place.setdefault(section, {})
        try:
            place[name] = parse_yaml(value)
        except (yaml.YAMLError, ValueError) as error:
            raise InputError(
                f"--set {edit}", f"{value} is not readable as YAML", "a number, true, false or text", "put it in quotes"
            ) from error
    return edited


def settable_keys(content: Any) -> list[str]:
    """Every dotted key that an edit may name: the known ones, and the settings of recipes that the content holds."""
    recipes = content.get("recipes") if isinstance(content, dict) else None
    sections = recipes if isinstance(recipes, dict) else {}
    own = [f"recipes.{name}.{key}" for name, keys in sections.items() if isinstance(keys, dict) for key in keys]
    return [*known_keys(), *own]
