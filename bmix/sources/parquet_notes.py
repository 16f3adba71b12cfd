"""What the columns of a parquet file are, by their types and by what pandas and Hugging Face note about them."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from bmix.sources.column_names import is_index


def index_names(schema: pa.Schema) -> list[str]:
    """The columns that are the index of a pandas table, by their name or by what pandas notes."""
    try:
        noted = json.loads((schema.metadata or {})[b"pandas"])["index_columns"]
    except (KeyError, TypeError, ValueError, RecursionError):
        noted = []
    return [name for name in schema.names if is_index(name) or (isinstance(noted, list) and name in noted)]


def class_names(schema: pa.Schema) -> dict[str, list[str]]:
    """Column -> the names that its numbers count in, as Hugging Face's datasets notes them in a parquet file."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {column: names for column, feature in features.items() if (names := _names_of(feature))}
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return {}


def _names_of(feature: Any) -> list[str]:
    """The names of a ClassLabel, or of a list of them."""
    if isinstance(feature, list):
        feature = feature[0] if feature else {}
    feature = feature.get("feature", feature)
    names = feature.get("names") if feature.get("_type") == "ClassLabel" else None
    return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else []


def holds_pictures(kind: pa.DataType) -> bool:
    """Whether a column holds bytes, alone or beside a path."""
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        kind = kind.field("bytes").type
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))
