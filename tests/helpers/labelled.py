"""A run of which the labels are judged: what prepare, noise and audit would have written, in milliseconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from bmix.audit.arrays import audit_labels
from bmix.audit.files import AuditedSplit, write_audit
from bmix.audit.labels import LabelAudit
from bmix.data.label_lists import label_lists
from bmix.data.manifest import Manifest, write_manifest
from bmix.data.noisy import write_labels
from bmix.labels.run import LabelledRun
from tests.helpers.spoilt import Spoilt, spoilt_labels
from tests.helpers.tiny import write_params

CLASSES = ["=cat", "dog", "<b>owl</b>"]
"""Names that a spreadsheet would run, and a page would show as markup."""
SPOILT = spoilt_labels(rows=400, classes=3)


_AUDITS: dict[tuple[int, tuple[str, ...]], LabelAudit] = {}


def _audit(spoilt: Spoilt, classes: list[str]) -> LabelAudit:
    """The audit of module-wide labels, made once."""
    key = (id(spoilt), tuple(classes))
    if key not in _AUDITS:
        _AUDITS[key] = audit_labels(spoilt.features, spoilt.given, class_names=classes)
    return _AUDITS[key]


def write_audited(
    folder: Path,
    spoilt: Spoilt = SPOILT,
    classes: list[str] = CLASSES,
    truth_known: bool = True,
    pictures: int = 0,
    reviewed: dict[int, list[str]] | None = None,
) -> LabelledRun:
    """A run in `folder` whose table is `labels.csv`, its images in `images/`, of which the first few are there.

    reviewed: classes that people looked at, by row.
    """
    write_params(folder, "data.source=table", "data.path=labels.csv", "data.root=images", "noise.kind=none")
    rows = len(spoilt.given)
    ids = [f"i{row}" for row in range(rows)]
    frame = pd.DataFrame({"id": ids, "path": [f"{name}.png" for name in ids], "split": "train"})
    frame["labels"] = label_lists(spoilt.given, classes)
    table = frame.assign(labels=frame["labels"].map(";".join))
    table.to_csv(folder / "labels.csv", index=False)
    frame["ignore"], frame["digest"] = [[] for _ in ids], "0"
    if reviewed is not None:
        frame["reviewed"] = [reviewed.get(row, []) for row in range(rows)]
    manifest = Manifest(frame, classes)
    write_manifest(manifest, folder / "data/prepared")
    (folder / "data/noisy").mkdir(parents=True, exist_ok=True)
    write_labels(folder / "data/noisy", manifest, spoilt.given, spoilt.true if truth_known else None)
    (folder / "data/audit").mkdir(parents=True, exist_ok=True)
    audit = _audit(spoilt, classes)
    write_audit(folder / "data/audit", "source", classes, {"train": AuditedSplit(ids, spoilt.given, audit)})
    (folder / "images").mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    for name in ids[:pictures]:
        Image.fromarray(rng.integers(0, 255, (30, 40, 3), dtype=np.uint8)).save(folder / "images" / f"{name}.png")
    return LabelledRun.open(folder)
