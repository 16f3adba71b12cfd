"""What the stage audit writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bmix.data.present import PRESENT_FILE
from bmix.data.quality import ESTIMATE_FILE, QUALITY_FILE
from bmix.support.files import replaced, write_json

if TYPE_CHECKING:
    from bmix.audit.labels import LabelAudit
    from bmix.audit.rehearsal import Rehearsal

_ROWS_AT_ONCE = 2**14


@dataclass(frozen=True)
class AuditedSplit:
    """One split: its ids, its given labels of 1, 0 and -1 (N, K), what the audit says, and its measures if any."""

    ids: Sequence[str]
    given_NK: np.ndarray
    audit: LabelAudit
    measured: dict[str, Any] | None = None


def write_audit(
    folder: Path,
    features: str,
    classes: list[str],
    splits: Mapping[str, AuditedSplit],
    rehearsal: Rehearsal | None = None,
) -> None:
    """Write the three files. features: what judged. splits: none if nothing was audited; then the files are empty.

    p_present.npy holds what training is to believe: NaN of classes that cannot be judged, and the given labels, those
    that are unknown as absent, if the rehearsal found that doubts do not pay.
    """
    _write_quality(folder / QUALITY_FILE, classes, splits)
    content: dict[str, Any] = {
        "features": features,
        "splits": {name: _estimate(split) for name, split in splits.items()},
    }
    if splits:
        content["rehearsal"] = None if rehearsal is None else rehearsal.told()
    write_json(folder / ESTIMATE_FILE, content)
    present_NK = _for_training(splits["train"], rehearsal) if "train" in splits else np.zeros((0, len(classes)))
    with replaced(folder / PRESENT_FILE) as temporary, temporary.open("wb") as file:
        np.save(file, present_NK.astype(np.float32))


def _for_training(split: AuditedSplit, rehearsal: Rehearsal | None) -> np.ndarray:
    if rehearsal is not None and not rehearsal.pays:
        return split.given_NK == 1
    return np.where(split.audit.classes["judged"].to_numpy(bool), split.audit.p_present, np.nan)


def _estimate(split: AuditedSplit) -> dict[str, Any]:
    table = split.audit.classes
    positives, negatives = table["positives"].sum(), table["negatives"].sum()
    return {
        "wrong_share": float((table["wrong_share"] * table["positives"]).sum() / max(positives, 1)),
        "missing_share": float((table["missing_share"] * table["negatives"]).sum() / max(negatives, 1)),
        "judged_classes": int(table["judged"].sum()),
        "classes": [
            {name: None if value != value else value for name, value in row.items()}
            for row in table.to_dict(orient="records")
        ],
        "measured": split.measured,
    }


def _write_quality(path: Path, classes: list[str], splits: Mapping[str, AuditedSplit]) -> None:
    import pyarrow
    from pyarrow import parquet

    names = pyarrow.dictionary(pyarrow.int32(), pyarrow.string())
    numbers = [("score", pyarrow.float32()), ("p_present", pyarrow.float64()), ("quality", pyarrow.float64())]
    fields = [("split", names), ("id", pyarrow.string()), ("class", names), ("given", pyarrow.int8()), *numbers]
    schema = pyarrow.schema(fields)
    class_names, count = pyarrow.array(classes, pyarrow.string()), len(classes)
    with replaced(path) as temporary, parquet.ParquetWriter(temporary, schema, compression="zstd") as file:
        for name, split in splits.items():
            audit = split.audit
            for start in range(0, len(split.ids), max(_ROWS_AT_ONCE // count, 1)):
                rows = slice(start, start + max(_ROWS_AT_ONCE // count, 1))
                ids = np.asarray(split.ids[rows], dtype=object).repeat(count)
                numbers_of = np.tile(np.arange(count, dtype=np.int32), len(split.ids[rows]))
                columns = [
                    pyarrow.DictionaryArray.from_arrays(np.zeros(len(ids), np.int32), pyarrow.array([name])),
                    pyarrow.array(ids, pyarrow.string()),
                    pyarrow.DictionaryArray.from_arrays(numbers_of, class_names),
                    *(
                        pyarrow.array(values[rows].ravel(), kind, from_pandas=True)
                        for values, kind in (
                            (split.given_NK, pyarrow.int8()),
                            (audit.scores, pyarrow.float32()),
                            (audit.p_present, pyarrow.float64()),
                            (audit.quality, pyarrow.float64()),
                        )
                    ),
                ]
                file.write_table(pyarrow.Table.from_arrays(columns, schema=schema))
