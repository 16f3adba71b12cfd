"""Read params.yaml; a wrong key or value is refused with its name and the remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from bmix.params.section import Section
from bmix.params.whole import Params, known_keys
from bmix.support.errors import InputError, nearest
from bmix.support.yaml_text import parse_yaml


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read and check params.yaml; InputError names the file, the key, its value and the remedy."""
    return parse_params(read_yaml(path), str(path))


def read_yaml(path: Path) -> Any:
    """The content of a YAML file; InputError where it is missing, cannot be read or is no YAML."""
    try:
        return parse_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(
            str(path), "no such file", "a YAML file", "run the command in the folder that holds it"
        ) from error
    except OSError as error:
        found, remedy = f"cannot be read: {error.strerror}", "put the file there, with the right to read it"
        raise InputError(str(path), found, "a YAML file", remedy) from error
    except (yaml.YAMLError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(str(path), f"not readable as YAML: {reason}", "valid YAML in UTF-8", "correct it") from error


def parse_params(content: Any, where: str = "params.yaml") -> Params:
    """Check the content of a params file; every fault is reported at once."""
    if not isinstance(content, dict):
        found = "is empty" if content is None else "holds no sections"
        remedy = "correct it, or have the last good one back: git checkout params.yaml"
        raise InputError(where, found, f"the sections {', '.join(Params.model_fields)}", remedy)
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        faults = [_explain(fault) for fault in error.errors()]
        if len(faults) == 1:
            raise InputError(where, *faults[0]) from None
        found = "; ".join(fault for fault, _, _ in faults)
        expected = "; ".join(expected for _, expected, _ in faults)
        remedies = list(dict.fromkeys(remedy.removesuffix(".") for _, _, remedy in faults))
        raise InputError(where, found, expected, "; ".join(remedies)) from None


def _explain(fault: Any) -> tuple[str, str, str]:
    key = ".".join(str(part) for part in fault["loc"])
    section = key.rpartition(".")[0]
    siblings = _keys_of(section) or known_keys()
    if fault["type"] in ("extra_forbidden", "invalid_key"):
        known = siblings if section else list(Params.model_fields)
        return f"unknown key {key}", f"one of {', '.join(known)}", f"rename or remove it.{nearest(key, known)}"
    if fault["type"] == "missing":
        return f"key {key} is missing", "every key present", f"add {key}{_meaning(key)}"
    if fault["type"] == "value_error":
        reason = str(fault["ctx"]["error"])
        return f"{key}: {reason}", "values that fit together", f"change one of the two in {key}"
    value = fault["input"]
    if fault["type"] == "model_type":
        found = "is empty" if value is None else f"is {value!r}"
        return f"section {key} {found}", "keys with their values", "write " + ", ".join(_keys_of(key)) + " below it"
    choices = {"literal_error": "expected", "choice": "names"}.get(fault["type"])
    names = fault["ctx"][choices].replace("'", "").replace(" or ", ", ").split(", ") if choices else []
    hint = nearest(str(value), names)
    return f"{key} is {value!r}", fault["msg"].removeprefix("Input should be "), f"correct {key}{_meaning(key)}.{hint}"


def _keys_of(section: str) -> list[str]:
    return [key for key in known_keys() if key.startswith(f"{section}.")]


def _meaning(key: str) -> str:
    section, _, name = key.partition(".")
    field = Params.model_fields.get(section)
    annotation = field.annotation if field else None
    if not (isinstance(annotation, type) and issubclass(annotation, Section) and name in annotation.model_fields):
        return ""
    return f" ({annotation.model_fields[name].description})"
