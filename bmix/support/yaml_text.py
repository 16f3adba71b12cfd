"""YAML by the core schema of 1.2: 1e-5 is a number, 020 is 20, yes is text; and a key that stands twice is an error.

DVC reads the same, and besides a few forms of 1.1, such as 1_000 and 0b1, that are text here and so no value of a
number's key.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

import yaml

# libyaml's loader is as safe as the other and ten times as fast, which the look at a large dvc.lock needs.
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_BOOL, _INT, _FLOAT = _RESOLVED = [f"tag:yaml.org,2002:{name}" for name in ("bool", "int", "float")]


class _Loader(_SafeLoader):
    # Without those of YAML 1.1 that the core schema of YAML 1.2, below, replaces.
    yaml_implicit_resolvers: ClassVar = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in _RESOLVED]
        for first, resolvers in _SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value} stands there twice", key.start_mark)
            seen.add(str(key.value))
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def _construct_int(_loader: _Loader, node: yaml.ScalarNode) -> int:
    return int(node.value, 0 if node.value[1:2] in ("o", "x") else 10)


_FIRST = list("-+.0123456789")
_FINITE = r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
_OTHER = r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
_Loader.add_implicit_resolver(_BOOL, re.compile(r"^(true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
_Loader.add_implicit_resolver(_INT, re.compile(r"^([-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$"), _FIRST)
_Loader.add_implicit_resolver(_FLOAT, re.compile(f"^({_FINITE}|{_OTHER})$"), _FIRST)
_Loader.add_constructor(_INT, _construct_int)


def parse_yaml(text: str | bytes) -> Any:
    """The content of a YAML text; yaml.YAMLError where it is none, or where a mapping holds a key twice.

    ValueError for bytes that are no text, text that is no Unicode, and a number that is none, such as a 13th month.
    """
    return yaml.load(text, Loader=_Loader)
