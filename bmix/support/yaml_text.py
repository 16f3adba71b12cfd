"""YAML by the core schema of 1.2: 1e-5 is a number, 020 is 20, yes is text; and a key that stands twice is an error.

DVC reads the same, and besides a few forms of 1.1, such as 1_000 and 0b1, that are text here and so no value of a
number's key.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

import yaml

MOST_UNFOLDED = 1_000_000
"""Values of a text with aliases: a few lines of them can stand for more than any memory holds."""

MOST_NESTED = 100
_STEEP = re.compile(rf"^ {{{MOST_NESTED}}}|([-?:]\s+){{{MOST_NESTED}}}", re.MULTILINE)
_STEEP_BYTES = re.compile(_STEEP.pattern.encode(), re.MULTILINE)

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
                raise yaml.constructor.ConstructorError(None, None, f"{key.value} is duplicated", key.start_mark)
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
    """The content of a YAML text; yaml.YAMLError if it is not YAML, or if a mapping holds a key twice.

    And for a value that is not of its tag, for nesting deeper than MOST_NESTED, and for aliases that unfold without end
    or to more than MOST_UNFOLDED values. ValueError for bytes that are no text, and text that is not Unicode.
    """
    _refuse_deep(text)
    try:
        content = yaml.load(text, Loader=_Loader)
        # Marks of anchors, without which nothing is shared.
        if ("&" if isinstance(text, str) else b"&") in text and _unfolded(content, {}) > MOST_UNFOLDED:  # type: ignore[operator]
            raise yaml.YAMLError("aliases unfold to too many values")
    except RecursionError as error:
        raise yaml.YAMLError("an alias stands for what holds it") from error
    except UnicodeError:
        raise
    except (ValueError, AttributeError, TypeError, LookupError, OverflowError) as error:
        # What the constructors of tags meet in values that are not of their kind.
        raise yaml.YAMLError(" ".join(str(error).split())[:200] or type(error).__name__) from error
    return content


def _refuse_deep(text: str | bytes) -> None:
    """YAMLError for deep nesting, which ends libyaml's loader, and the process with it, by a full stack."""
    opened = text.count("[") + text.count("{") if isinstance(text, str) else text.count(b"[") + text.count(b"{")
    steep = _STEEP.search(text) if isinstance(text, str) else _STEEP_BYTES.search(text)
    if opened <= MOST_NESTED and not steep:
        return
    depth = 0
    # Events come one by one, without a stack.
    for event in yaml.parse(text, Loader=_SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MOST_NESTED:
            raise yaml.YAMLError(f"is nested more than {MOST_NESTED} deep")


def _unfolded(value: Any, known: dict[int, int]) -> int:
    """How many values there are, those that are shared counted as often as they stand; RecursionError for a circle."""
    if not isinstance(value, (dict, list)):
        return 1
    if id(value) not in known:
        # While it is looked at, whoever meets it again is within it.
        known[id(value)] = -1
        parts = value if isinstance(value, list) else [*value.keys(), *value.values()]
        known[id(value)] = 1 + sum(_unfolded(part, known) for part in parts)
    if known[id(value)] < 0:
        raise RecursionError
    return known[id(value)]
