"""What identifies a record: digests of the params and of what DVC locked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from bmix.support.errors import InputError
from bmix.support.yaml_text import parse_yaml
from bmix.workspace.pipeline_file import lasting_stages

PARAMS_FILE = Path("params.yaml")
LOCK_FILE = Path("dvc.lock")


def digest(value: Any) -> str:
    """16 hex digits of a JSON-like value; the order of keys has no say in it."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def file_digest(*paths: Path) -> str:
    """16 hex digits of the content of files, in the order given."""
    state = hashlib.blake2b(digest_size=8)
    for path in paths:
        content = path.read_bytes()
        state.update(len(content).to_bytes(8, "little"))
        state.update(content)
    return state.hexdigest()


def load_yaml(path: Path) -> Any:
    """The content of a YAML file as it stands, unchecked; InputError if it is not YAML."""
    try:
        return parse_yaml(path.read_bytes())
    except (yaml.YAMLError, ValueError) as error:
        reason = " ".join(str(error).split())
        remedy = f"correct it, or have the last good one back: git checkout {path}"
        raise InputError(str(path), f"not readable as YAML: {reason}", "valid YAML in UTF-8", remedy) from error


def locked_entries(path: Path = LOCK_FILE) -> dict[str, dict[str, Any]]:
    """What DVC locked of each stage that has run, as it stands; empty where there is no lock file. InputError."""
    content = load_yaml(path) if path.exists() else {}
    stages = content.get("stages", {}) if isinstance(content, dict) else None
    if not isinstance(stages, dict) or not all(isinstance(entry, dict) for entry in stages.values()):
        raise InputError(str(path), "is not what DVC writes", "what DVC locked of every stage", f"git checkout {path}")
    return stages


def locked_stages(path: Path = LOCK_FILE) -> dict[str, dict[str, Any]]:
    """What DVC locked of each stage of the science: command, deps, params and outs by name, in the order of the stages.

    The entry of publish is left out: it is written after publish has run. InputError where there is no lock file or a
    stage has not run yet.
    """
    remedy = "run `dvc repro`, which runs what is missing"
    if not path.exists():
        raise InputError(str(path), "no such file", "what DVC locked of every stage", remedy)
    stages, lasting = locked_entries(path), lasting_stages()
    if missing := [name for name in lasting if name not in stages]:
        raise InputError(str(path), f"holds no stage {', '.join(missing)}", f"the stages {', '.join(lasting)}", remedy)
    return {name: stages[name] for name in lasting}


def locked_params(entries: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The params values that the stages last ran with, under their dotted keys."""
    return {key: value for entry in entries for key, value in entry.get("params", {}).get(str(PARAMS_FILE), {}).items()}
