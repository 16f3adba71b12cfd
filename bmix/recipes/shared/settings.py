"""Settings of one recipe: a frozen dataclass whose fields know their range and meaning."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from bmix.support.errors import InputError, nearest

Settings = TypeVar("Settings")
Value = bool | int | float | str


@dataclass(frozen=True)
class _Rule:
    meaning: str
    low: float
    high: float
    open_low: bool
    choices: tuple[str, ...]

    def fault(self, value: Any, kind: type) -> str | None:
        """What was expected if the value does not fit, else None."""
        if kind is bool:
            return None if isinstance(value, bool) else "true or false"
        if kind is str:
            return None if value in self.choices else f"one of {', '.join(self.choices)}"
        number = isinstance(value, int) if kind is int else isinstance(value, int | float)
        inside = number and not isinstance(value, bool) and math.isfinite(value) and self.low <= value <= self.high
        if inside and not (self.open_low and value == self.low):
            return None
        kind_of = "a whole number" if kind is int else "a number"
        start = f" {'above' if self.open_low else 'from'} {self.low:g}" if self.low > -math.inf else ""
        end = f" up to {self.high:g}" if self.high < math.inf else ""
        return kind_of + start + end


def setting(
    default: Value,
    meaning: str,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    open_low: bool = False,
    choices: tuple[str, ...] = (),
) -> Any:
    """A field of a recipe's settings, with its default, its meaning, and what values it takes.

    low, high: of numbers, both inclusive unless `open_low`. choices: of texts. The type is the default's.
    """
    return dataclasses.field(default=default, metadata={"rule": _Rule(meaning, low, high, open_low, choices)})


def meanings(kind: type | None) -> dict[str, str]:
    """What each setting means, by its name; none for a recipe without settings."""
    return {} if kind is None else {field.name: field.metadata["rule"].meaning for field in dataclasses.fields(kind)}


def read_settings(kind: type[Settings], values: Mapping[str, Any], where: str) -> Settings:
    """The settings from their section of params.yaml; what it leaves out has its default.

    Raises InputError for an unknown key and for a value of another type or outside the range, naming `where`, the
    key, the value, what it may be and what it means.
    """
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for name, value in values.items():
        if name not in fields:
            remedy = f"rename or remove it.{nearest(name, fields)}"
            raise InputError(where, f"unknown key {name}", f"one of {', '.join(fields) or 'none'}", remedy)
        rule: _Rule = fields[name].metadata["rule"]
        if expected := rule.fault(value, type(fields[name].default)):
            raise InputError(f"{where}.{name}", f"is {value!r}", expected, f"correct it ({rule.meaning})")
    return kind(**values)
