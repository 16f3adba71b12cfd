"""What every night leaves: a line in `history/retraining.csv`, and beside it a file with all that was looked at."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from bmix.retraining.findings import Finding
from bmix.support.errors import InputError
from bmix.support.files import read_json, write_json
from bmix.support.spreadsheet import guarded, unguarded

HISTORY = Path("history")
LINES, NIGHTS = HISTORY / "retraining.csv", HISTORY / "nights"

PROMOTED, NOTHING_NEW = "promoted", "nothing new"
BY_DATA, BY_MODEL = "rejected by data gate", "rejected by model gate"
FAILED, DIED, CANCELLED, BY_HAND = "failed", "died", "cancelled", "by hand"
RESULTS = (PROMOTED, NOTHING_NEW, BY_DATA, BY_MODEL, FAILED, DIED, CANCELLED, BY_HAND)


@dataclass
class NightRecord:
    """A line of the history. Shares and mAP in [0, 1]; None for what the night did not come to.

    night: when it started (ISO 8601, UTC). result: one of RESULTS. version: the champion when it ended. run: the folder
    of the candidate. candidate and champion: mAP on the test split of the night's own data.
    """

    night: str
    result: str = FAILED
    reason: str = ""
    seconds: float = 0.0
    version: int | None = None
    run: str = ""
    train_images: int | None = None
    labels_per_image: float | None = None
    wrong: float | None = None
    candidate_map: float | None = None
    champion_map: float | None = None
    candidate_few: float | None = None
    champion_few: float | None = None
    rates: dict[str, float] = field(default_factory=dict)
    findings: Sequence[Finding] = ()

    @property
    def stamp(self) -> str:
        """The night as part of a file's name, e.g. `20261126T020000.123Z`."""
        return stamp_of(self.night)


COLUMNS = [one.name for one in fields(NightRecord) if one.name not in ("rates", "findings")]
_NUMBERS = {"seconds", "labels_per_image", "wrong", "candidate_map", "champion_map", "candidate_few", "champion_few"}
_WHOLE = {"version", "train_images"}


def stamp_of(night: str) -> str:
    """A time in ISO 8601 as part of a file's name."""
    return night.replace("-", "").replace(":", "").replace("+0000", "Z")


def add_night(record: NightRecord) -> None:
    """Append the line in one write, so that a kill leaves it whole or not at all, and write what was looked at."""
    write_json(
        NIGHTS / f"{record.stamp}.json",
        {
            "night": record.night,
            "result": record.result,
            "reason": record.reason,
            "rates": record.rates,
            "findings": [asdict(finding) for finding in record.findings],
        },
    )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if not LINES.exists() or not LINES.stat().st_size:
        writer.writerow(COLUMNS)
    writer.writerow([_cell(getattr(record, name)) for name in COLUMNS])
    descriptor = os.open(LINES, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, text.getvalue().encode())
    finally:
        os.close(descriptor)


def read_nights() -> list[NightRecord]:
    """Every line of the history with the class rates of its night, the oldest first; none where there is no history.

    InputError if a line cannot be read.
    """
    try:
        with LINES.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except FileNotFoundError:
        return []
    return [_record(row, number) for number, row in enumerate(rows, start=2)]


def _record(row: Mapping[str, Any], line: int) -> NightRecord:
    try:
        values: dict[str, Any] = {name: row[name] for name in COLUMNS}
        for name in _NUMBERS | _WHOLE:
            kind = int if name in _WHOLE else float
            values[name] = kind(values[name]) if values[name] else None
        if values["result"] not in RESULTS:
            raise ValueError(f"result {values['result']!r}")
        values["reason"] = unguarded(values["reason"])
        values["seconds"] = values["seconds"] or 0.0
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(
            f"{LINES}, line {line}", f"is damaged: {error}", "a line that a night wrote", "mend it, or remove the line"
        ) from error
    return NightRecord(**values, rates=_rates(values["night"]))


def _rates(night: str) -> dict[str, float]:
    """The class rates of a night; none where its file is gone, which costs a curve of a picture."""
    try:
        return {str(name): float(rate) for name, rate in read_json(NIGHTS / f"{stamp_of(night)}.json")["rates"].items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return repr(round(value, 6))
    return guarded(" ".join(str(value).split())) if isinstance(value, str) else str(value)
