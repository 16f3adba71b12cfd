"""The final table of a run, or of several side by side, and where to look further."""

from __future__ import annotations

import csv
import io
import json
import math
import shlex
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bmix.pipeline.repro import shown_command
from bmix.support.errors import InputError

Measures = dict[str, float | None]

_GROUPS = ("all", "many", "medium", "few")
_TOP1 = {"error": "top-1 error", "class_error": "top-1 error of the mean class", "macro_f1": "macro-F1"}


def read_measures(folder: Path = Path()) -> Measures:
    """The measures of a finished run from its metrics.json, in [0, 1]; None where one does not exist.

    `mAP all` ... `mAP few`; of a single-label run `top-1 error`, `top-1 error of the mean class`, `macro-F1`;
    `mAP NAME` for each further test split; `noise found`: share of the injected wrong labels
    that were judged wrong or ambiguous; `noise repaired`: share of them whose refined label is the true one.
    InputError where the file is missing or damaged.
    """
    path = folder / "metrics.json"
    try:
        return _measures(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise InputError(str(path), "no such file", "the result of a run", "run `make repro` first") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        remedy = f"have it back: {shown_command('dvc', 'checkout --force metrics.json', folder)}"
        raise InputError(str(path), "is damaged", "the measures that a run wrote", remedy) from error


def _measures(metrics: dict[str, Any]) -> Measures:
    measures: Measures = {f"mAP {group}": metrics["mAP"][group] for group in _GROUPS}
    measures |= {words: metrics["top1"][key] for key, words in _TOP1.items() if "top1" in metrics}
    for name, block in metrics.items():
        if name not in ("mAP", "detection", "repair", "top1"):
            measures[f"mAP {name}"] = block["all"]
    measures["noise found"] = (metrics["detection"] or {}).get("recall")
    measures["noise repaired"] = (metrics["repair"] or {}).get("repaired")
    return {name: None if value is None else float(value) for name, value in measures.items()}


def summarise(runs: Sequence[Measures]) -> dict[str, tuple[float | None, float | None]]:
    """Mean and standard error (deviation / √n) of each measure; None for the error of one run, and for what lacks."""
    summary: dict[str, tuple[float | None, float | None]] = {}
    for name in dict.fromkeys(name for run in runs for name in run):
        values = [value for run in runs if (value := run.get(name)) is not None]
        if not values or len(values) < len(runs):
            summary[name] = (None, None)
        else:
            error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
            summary[name] = (statistics.fmean(values), error)
    return summary


def render(columns: Mapping[str, Sequence[Measures]]) -> str:
    """A table for people: a row per measure, a column per name, in percent, `mean ± standard error` of several runs."""
    summaries = {title: summarise(runs) for title, runs in columns.items()}
    names = list(dict.fromkeys(name for summary in summaries.values() for name in summary))
    head = ["%", *summaries]
    body = [[name, *(percent(summary.get(name, (None, None))) for summary in summaries.values())] for name in names]
    return aligned([head, *body])


def write_csv_table(path: Path, columns: Mapping[str, Sequence[Measures]]) -> None:
    """Write the same table as a CSV: a row per name and measure, shares in [0, 1], empty where one does not exist."""
    from bmix.support.files import write_text

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["run", "runs", "measure", "mean", "standard_error"])
    for title, runs in columns.items():
        for name, values in summarise(runs).items():
            writer.writerow([title, len(runs), name, *("" if value is None else repr(value) for value in values)])
    write_text(path, text.getvalue())


def where_to_look(folder: Path, record: str) -> str:
    """The lines that end a run: the report, the plots, and the record, whose tracking URI is `record`."""
    return "\n".join(
        [
            f"report  {folder / 'report.html'}",
            f"plots   {shown_command('dvc', 'plots show', folder)}",
            where_is_the_record(record),
        ]
    )


def where_is_the_record(record: str) -> str:
    """The line that names the MLflow record: a server's address, or the command that shows a local one."""
    local = f"{shown_command('mlflow', 'ui')} --host 127.0.0.1 --backend-store-uri {shlex.quote(record)}"
    return f"record  {record if record.startswith('http') else local}"


def percent(value: tuple[float | None, float | None]) -> str:
    """A mean and its standard error as a cell in percent; a dash for what does not exist."""
    mean, error = value
    if mean is None:
        return "–"
    return f"{100 * mean:.1f}" if error is None else f"{100 * mean:.1f} ± {100 * error:.1f}"


def aligned(rows: list[list[str]], right: Callable[[int], bool] = bool) -> str:
    """Rows of cells as lines, a rule below the first; right: whether the column of an index is aligned to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = zip(row, widths, strict=True)
        told = [cell.rjust(width) if right(i) else cell.ljust(width) for i, (cell, width) in enumerate(cells)]
        lines.append("  ".join(told).rstrip())
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])
