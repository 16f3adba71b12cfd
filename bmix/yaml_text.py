"""YAML read as DVC reads it: 1e-5 is a number, as in YAML 1.2, and a key that stands twice is an error."""

from __future__ import annotations

import re
from typing import Any

import yaml

# libyaml's loader is as safe as the other and ten times as fast, which the look at a large dvc.lock needs.
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value} stands there twice", key.start_mark)
            seen.add(str(key.value))
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


def parse_yaml(text: str | bytes) -> Any:
    """The content of a YAML text; yaml.YAMLError where it is none, or where a mapping holds a key twice."""
    return yaml.load(text, Loader=_Loader)
