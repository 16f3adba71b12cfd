"""Answers and rules made into a new table, with a note beside it that says where every change came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import bmix
from bmix.labels.changes import Changes
from bmix.labels.copies.copy import copied_suffix, splits_setting, write_copy
from bmix.labels.copies.plain import plain_table, write_plain
from bmix.labels.run import LabelledRun
from bmix.sources.provenance import note_beside, table_digest
from bmix.sources.registry import SOURCES
from bmix.support.errors import InputError
from bmix.support.files import write_json
from bmix.workspace.locked import digest, file_digest
from bmix.workspace.run_note import read_note


def apply_changes(
    run: LabelledRun,
    changes: Changes,
    output: Path,
    answers: Path | None,
    rule: Mapping[str, float],
    split: str,
    plain: bool = False,
) -> list[str]:
    """Write the corrected table and the note beside it; returns what to set in params to train on it.

    The table has the form of the source's file where such a copy can be written, else, or with `plain`, it is plain.
    Answered labels are marked in it as reviewed. Nothing is written where something is refused.
    InputError if the pipeline makes the images itself, for a plain table of features, and as `write_copy`.
    """
    data = run.params.data
    made = SOURCES[data.source].makes_images
    if made:
        found = f"{data.source}: the pipeline makes the images of this source from {data.path}"
        expected = "a table, features, COCO, VOC, folders or DeepFashion"
        raise InputError("data.source", found, expected, "export a table: bmix labels export --format csv")
    if plain and run.image_root is None:
        found = "--plain: a plain table names images, and the run is of features"
        raise InputError("--plain", found, "a copy of the source's own file", "leave --plain out")
    if copied_suffix(run) and not plain:
        write_copy(run, changes, output, marked=True)
        settings = [f"data.path={output}"]
        if (splits := splits_setting(run, output)) != data.splits:
            settings.append(f"'data.splits={splits}'")
    else:
        write_plain(plain_table(run, changes, marked=True), run.classes, output)
        # As they were read: names that were numbers, and cells that were ignored.
        settings = [f"data.path={output}", "data.source=table", "data.splits=auto"]
    if run.params.noise.kind != "none":
        settings.append("noise.kind=none")
    write_json(note_beside(output), _note(run, changes, output, answers, rule, split))
    return settings


def _note(
    run: LabelledRun, changes: Changes, output: Path, answers: Path | None, rule: Mapping[str, float], split: str
) -> dict[str, Any]:
    note = read_note(run.folder)
    source = run.source_path
    quality = run.folder / "data/audit/label_quality.parquet"
    return {
        "written": {"file": output.name, "digest": table_digest(output)},
        "from": {"file": run.params.data.path, "digest": file_digest(source) if source.is_file() else None},
        "run": {
            "name": (note.name if note else "") or run.folder.resolve().name,
            "params": digest(run.params.flat()),
            "manifest": file_digest(run.folder / "data/prepared/manifest.parquet"),
            "labels": file_digest(run.folder / "data/noisy/labels.parquet"),
            "audit": file_digest(quality) if quality.is_file() else None,
            "bmix": bmix.__version__,
        },
        "answers": None if answers is None else {"file": answers.name, "digest": file_digest(answers)},
        "rule": {"accept_above": dict(rule), "split": split} if rule else None,
        "counts": changes.counts(),
        "changes": [asdict(change) for change in changes.looked_at.values()],
    }
