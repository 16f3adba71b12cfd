"""What dvc.yaml declares: the one list of the stages, of what each reads and of what it writes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bmix.support.errors import InputError
from bmix.support.yaml_text import parse_yaml

PIPELINE_FILE = Path("dvc.yaml")
CODE_FOLDERS = ("bmix", "stages")
_INTERPOLATION = re.compile(r"\$\{\s*([A-Za-z0-9_.-]+)\s*\}")


@dataclass(frozen=True)
class Declaration:
    """One stage as dvc.yaml declares it.

    code: files and folders of the project's own code. inputs: the other files and folders it reads. keys: the dotted
    keys of params.yaml, one of a section standing for all keys below it. outputs: what it writes.
    """

    code: list[Path]
    inputs: list[Path]
    keys: list[str]
    outputs: list[str]

    def settings(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the flattened params that the stage reads."""
        below = tuple(f"{key}." for key in self.keys)
        return {key: value for key, value in params.items() if key in self.keys or key.startswith(below)}


def declared(stage: str, params: Mapping[str, Any], path: Path = PIPELINE_FILE) -> Declaration:
    """A stage's declaration, `${key}` replaced by the value in the flattened params; InputError where there is none."""
    stages = _stages(path)
    if stage not in stages:
        raise InputError(str(path), f"declares no stage {stage}", "every stage of the pipeline", f"declare {stage}")

    def filled(entries: list[str]) -> list[str]:
        return [_INTERPOLATION.sub(lambda found: str(params.get(found[1], found[0])), entry) for entry in entries]

    own = stages[stage]
    dependencies = [Path(name) for name in filled(own.get("deps", []))]
    code = [place for place in dependencies if place.parts[:1] and place.parts[0] in CODE_FOLDERS]
    inputs = [place for place in dependencies if place not in code]
    return Declaration(code, inputs, filled(own.get("params", [])), own.get("outs", []))


def stage_names(path: Path = PIPELINE_FILE) -> list[str]:
    """The stages in the order in which they stand, which is the order in which they run."""
    return list(_stages(path))


def lasting_stages(path: Path = PIPELINE_FILE) -> list[str]:
    """The stages but for those that run every time, such as publish: what DVC locks of these says nothing."""
    return [name for name, stage in _stages(path).items() if not stage.get("always_changed")]


def output_names(path: Path = PIPELINE_FILE) -> list[str]:
    """Everything that some stage writes, and that DVC removes before the stage runs."""
    return [output for stage in _stages(path).values() for output in stage.get("outs", [])]


def _stages(path: Path) -> dict[str, dict[str, Any]]:
    remedy = "run the command in the project's folder, or restore the file: git checkout dvc.yaml"
    try:
        stages = parse_yaml(path.read_bytes())["stages"]
        for name, stage in stages.items():
            for key in ("deps", "params", "outs"):
                if not all(isinstance(entry, str) for entry in stage.get(key, [])):
                    raise ValueError(f"stage {name}: {key} is not a list of text")
    except FileNotFoundError as error:
        raise InputError(str(path), "no such file", "the stages of the pipeline", remedy) from error
    except (yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(str(path), f"not readable: {reason}", "the stages of the pipeline", remedy) from error
    return dict(stages)
