"""What determines a run, part by part: its key, and a table of what differs between two."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bmix.training.ranks import own_device


@dataclass(frozen=True)
class RunIdentity:
    """Everything that a run's result depends on, under readable names; values are JSON."""

    parts: dict[str, Any]

    @classmethod
    def of(cls, settings: Mapping[str, Any], inputs: Iterable[Path], code: Iterable[Path]) -> RunIdentity:
        """From the settings by dotted key, and the bytes of the inputs (folders: every file in them) and of the code
        (folders: their .py files).

        torch's version and the kind of device are part of it.
        """
        parts = dict(settings)
        parts |= {f"input {path.as_posix()}": _digest(path) for path in _files(inputs, "*")}
        parts |= {f"code {path.as_posix()}": _digest(path) for path in _files(code, "*.py")}
        return cls(parts | {"torch": str(torch.__version__), "device": own_device().type})

    @property
    def key(self) -> str:
        """A digest of all parts."""
        return hashlib.blake2b(json.dumps(self.parts, sort_keys=True).encode(), digest_size=12).hexdigest()


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """A line for each part that differs: its name, its value before and now; of a digest only that it changed."""
    names = [name for name in dict.fromkeys([*before, *now]) if before.get(name) != now.get(name)]
    width = max((len(name) for name in names), default=0)
    return [f"{name:<{width}}  {_shown(name, before)} -> {_shown(name, now)}" for name in names]


def _shown(name: str, parts: Mapping[str, Any]) -> str:
    if name not in parts:
        return "absent"
    digest = name.startswith(("input ", "code "))
    return str(parts[name])[:8] if digest else json.dumps(parts[name], ensure_ascii=False)


def _files(places: Iterable[Path], pattern: str) -> list[Path]:
    found = [sorted(place.rglob(pattern)) if place.is_dir() else [place] for place in places]
    return [path for paths in found for path in paths if path.is_file()]


def _digest(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
