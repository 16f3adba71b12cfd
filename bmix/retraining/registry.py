"""What nights tell MLflow: which version is served and why, and what became of a candidate's run."""

from __future__ import annotations

from pathlib import Path

from bmix.retraining.history import NightRecord
from bmix.retraining.versions import Version
from bmix.tracking.champion import set_aliases, tag_run


def mark_champion(version: Version, before: Version | None, reason: str) -> None:
    """Move the aliases `champion` and `previous`, and tag the version with the reason and its figures."""
    models = {"champion": version.folder}
    if before is not None and before.number != version.number:
        models["previous"] = before.folder
    measures = {f"bmix.mAP.{group}": f"{100 * value:.2f}" for group, value in _measured(version).items()}
    set_aliases(models, {"bmix.version": str(version.number), "bmix.reason": reason, **measures})


def mark_run(record: NightRecord) -> None:
    """Tag the run of a night's candidate with the result and the reason."""
    tags = {"bmix.night": record.night, "bmix.night_result": record.result, "bmix.night_reason": record.reason}
    tag_run(Path(record.run), tags)


def _measured(version: Version) -> dict[str, float]:
    return {group: version.note["mAP"][group] for group in ("all", "few") if version.note["mAP"][group] is not None}
