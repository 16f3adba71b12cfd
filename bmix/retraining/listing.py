"""The accepted models as a table."""

from __future__ import annotations

from typing import Any

from bmix.pipeline.runs import GROUPS
from bmix.pipeline.table import aligned, percent
from bmix.retraining.versions import all_versions, champion, previous
from bmix.support.errors import shortened

_LONGEST_REASON = 100


def plain_versions() -> list[dict[str, Any]]:
    """Every version as values for JSON, the newest first: shares in [0, 1], `role` champion, previous or empty."""
    roles = {version.number: name for name, version in (("previous", previous()), ("champion", champion())) if version}
    return [
        {
            "version": version.number,
            "role": roles.get(version.number, ""),
            "made": version.note["made"],
            "mAP": {group: version.note["mAP"][group] for group in GROUPS},
            "reason": version.note["reason"],
            "folder": str(version.folder),
        }
        for version in reversed(all_versions())
    ]


def render_versions() -> str:
    """The same as a table for people, mAP in percent."""
    head = ["version", "", "made", *(f"mAP {group}" for group in GROUPS), "why"]
    body = [
        [
            str(row["version"]),
            row["role"],
            row["made"],
            *(percent((row["mAP"][group], None)) for group in GROUPS),
            shortened(" ".join(row["reason"].split()), _LONGEST_REASON),
        ]
        for row in plain_versions()
    ]
    if not body:
        return "no model was accepted yet; python -m flows.retrain --once makes the first"
    return aligned([head, *body], lambda column: head[column].startswith("mAP") or column == 0)
