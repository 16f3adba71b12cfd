"""The record of a run as plain values, read from the files that the stages left."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from bmix.params import Params, load_params
from bmix.support.errors import InputError
from bmix.support.files import read_json
from bmix.support.spreadsheet import read_named_csv
from bmix.tracking import tables
from bmix.tracking.identity import FACTS, LABELS, MANIFEST, NOISY, PREPARED, RecordKey, code_digest, data_digest
from bmix.tracking.tags import membership_tags, model_tags, run_name, version_tags
from bmix.workspace.locked import LOCK_FILE, PARAMS_FILE, digest, file_digest, locked_params, locked_stages
from bmix.workspace.run_note import given_name
from bmix.workspace.timings import read_timing

AUDIT = Path("data/audit")
CLASSES_PICTURE, NOISE = PREPARED / "classes.png", NOISY / "noise.json"
LABEL_QUALITY, NOISE_ESTIMATE = AUDIT / "label_quality.parquet", AUDIT / "noise_estimate.json"
PRETRAIN_NOTE, PRETRAIN_HISTORY = Path("models/pretrained/pretrain.json"), Path("models/pretrained/history.csv")
PSEUDO_NOTE = Path("data/pseudo/pseudo.json")
HISTORY, MIXTURES, SAMPLER = Path("history.csv"), Path("mixtures.parquet"), Path("sampler.csv")
VERDICTS, VERDICT_COUNTS = Path("verdicts.parquet"), Path("verdicts.json")
MODEL = Path("models/final")
METRICS, REPORT, PLOTS = Path("metrics.json"), Path("report.html"), Path("plots")
TRAINED = (HISTORY, MIXTURES, SAMPLER, VERDICT_COUNTS)


@dataclass(frozen=True)
class Point:
    """One value of a metric; `step` is the epoch, 0 for a final value."""

    key: str
    value: float
    step: int = 0


@dataclass(frozen=True)
class DatasetUse:
    """A data set as a run used it: `context` is training or evaluation."""

    name: str
    digest: str
    source: str
    context: str
    profile: dict[str, Any]


@dataclass(frozen=True)
class StageContent:
    """What a stage's outputs say; `files` pairs a file with its folder in MLflow."""

    metrics: list[Point]
    files: list[tuple[Path, str]] = field(default_factory=list)
    datasets: list[DatasetUse] = field(default_factory=list)


@dataclass(frozen=True)
class StageRun:
    """A stage: `ran` is false where DVC skipped or restored it; times are Unix seconds, None where it did not run."""

    name: str
    digest: str
    ran: bool
    started: float | None
    ended: float | None
    content: StageContent


@dataclass(frozen=True)
class Record:
    """A record: the parent's content, then its stages in order; `files` pairs a file with its folder in MLflow.

    key: of the parent run. lock_digest: of all that DVC locked, which tells its versions apart. model: the folder of
    the trained model; None if there is none.
    """

    name: str
    key: RecordKey
    params: dict[str, Any]
    lock_digest: str
    tags: dict[str, str]
    metrics: list[Point]
    files: list[tuple[Path, str]]
    tables: dict[str, pd.DataFrame]
    datasets: list[DatasetUse]
    stages: list[StageRun]
    model: Path | None = None


def read_record() -> Record:
    """Read the record of the outputs in the current folder.

    InputError where the stages have not run, or last ran with other params than params.yaml holds now.
    """
    params, locked = load_params(), locked_stages()
    _refuse_other_params(params.flat(), locked_params(locked.values()))
    _refuse_missing_files()
    training, evaluation = _datasets(params)
    facts = read_json(FACTS)
    # What leads back to the outputs of this version, when those of another have taken their place.
    way_back = _files(PARAMS_FILE, LOCK_FILE)
    contents = {
        "prepare": StageContent(_points(tables.overall_numbers(facts)), _files(FACTS, CLASSES_PICTURE)),
        "noise": StageContent(_points(tables.overall_numbers(read_json(NOISE))), _files(NOISE)),
        "audit": _audit_content(),
        "pretrain": _pretrain_content(),
        "warmup": StageContent(_epoch_points(params, warmup=True), datasets=[training]),
        "pseudo": _pseudo_content(),
        "train": StageContent(_epoch_points(params, warmup=False), [*_files(*TRAINED), *way_back], [training]),
        "evaluate": StageContent(
            _class_points() + _prototype_points(), [*_files(METRICS, REPORT), *way_back], [evaluation]
        ),
    }
    return Record(
        name=run_name(params.flat(), given_name()),
        key=RecordKey(digest(params.flat()), data_digest(), code_digest(locked.values())),
        params=params.flat(),
        lock_digest=digest(locked),
        tags=version_tags() | membership_tags(facts) | model_tags(locked),
        metrics=_points(tables.result_numbers(read_json(METRICS))),
        files=[*_files(REPORT, METRICS), *way_back, (VERDICTS, "labels"), *_plots()],
        tables=_label_tables(),
        datasets=[training, evaluation],
        stages=[_stage_run(name, locked[name], content) for name, content in contents.items()],
        model=MODEL if (MODEL / "model.json").exists() else None,
    )


def _refuse_other_params(current: dict[str, Any], locked: dict[str, Any]) -> None:
    for key, value in locked.items():
        if key in current and current[key] != value:
            raise InputError(
                f"{PARAMS_FILE}, {key}",
                f"{current[key]!r}, but the outputs on disk were made with {value!r}",
                "outputs that belong to the params",
                "run `dvc repro`, which makes or restores them and brings the record up to date",
            )


def _refuse_missing_files() -> None:
    for path in (
        MANIFEST,
        FACTS,
        CLASSES_PICTURE,
        LABELS,
        NOISE,
        NOISE_ESTIMATE,
        PRETRAIN_NOTE,
        PRETRAIN_HISTORY,
        PSEUDO_NOTE,
        *TRAINED,
        VERDICTS,
        METRICS,
        REPORT,
        PLOTS,
    ):
        if not path.exists():
            remedy = "run `dvc checkout`, which restores outputs, or `dvc repro`, which makes them"
            raise InputError(str(path), "no such file or folder", "the outputs that dvc.lock lists", remedy)


def _datasets(params: Params) -> tuple[DatasetUse, DatasetUse]:
    source, profile = params.data.path, dict(tables.overall_numbers(read_json(FACTS)))
    noise = {"noise": params.noise.model_dump(mode="json")}
    return (
        DatasetUse(params.data.source, file_digest(MANIFEST, LABELS), source, "training", profile | noise),
        DatasetUse(params.data.source, file_digest(MANIFEST), source, "evaluation", profile),
    )


def _points(numbers: Iterable[tuple[str, float]]) -> list[Point]:
    return [Point(key, value) for key, value in numbers]


def _audit_content() -> StageContent:
    estimate = read_json(NOISE_ESTIMATE)
    if not estimate["splits"]:
        return StageContent([], _files(NOISE_ESTIMATE))
    found = _points(tables.overall_numbers({"audit": estimate["splits"]}))
    return StageContent(found, [*_files(NOISE_ESTIMATE), (LABEL_QUALITY, "labels")])


def _pretrain_content() -> StageContent:
    rows = pd.read_csv(PRETRAIN_HISTORY).set_index("epoch").dropna(axis="columns", how="all")
    points = [
        Point(f"pretraining/{name}", value, epoch)
        for name, column in rows.items()
        for epoch, value in zip(rows.index.tolist(), column.tolist(), strict=True)
        if math.isfinite(value)
    ]
    return StageContent(points, _files(PRETRAIN_NOTE, PRETRAIN_HISTORY))


def _pseudo_content() -> StageContent:
    note = read_json(PSEUDO_NOTE)
    found = _points(tables.overall_numbers({"pseudo-labels": note})) if note["use"] else []
    return StageContent(found, _files(PSEUDO_NOTE))


def _epoch_points(params: Params, warmup: bool) -> list[Point]:
    frames = [
        tables.history_columns(pd.read_csv(HISTORY)),
        pd.read_csv(SAMPLER).set_index("epoch").add_prefix("sampler/"),
        tables.mean_mixtures(pd.read_parquet(MIXTURES)),
    ]
    return [
        Point(str(key), value, epoch)
        for frame in frames
        for key, column in frame.items()
        for epoch, value in zip(frame.index.tolist(), column.tolist(), strict=True)
        if (epoch <= params.training.warmup_epochs) == warmup and math.isfinite(value)
    ]


def _class_points() -> list[Point]:
    classes = PLOTS / "classes.csv"
    return _points(tables.result_numbers(read_json(METRICS))) + (
        _points(tables.class_numbers(read_named_csv(classes))) if classes.exists() else []
    )


def _prototype_points() -> list[Point]:
    drawn = PLOTS / "prototypes.csv"
    return _points(tables.prototype_numbers(read_named_csv(drawn))) if drawn.exists() else []


def _label_tables() -> dict[str, pd.DataFrame]:
    drawn = [PLOTS / name for name in ("classes.csv", "transition.csv")]
    return {
        "labels/verdict_shares": tables.verdict_shares(read_json(VERDICT_COUNTS)),
        **{f"labels/{path.stem}": read_named_csv(path) for path in drawn if path.exists()},
    }


def _stage_run(name: str, locked: dict[str, Any], content: StageContent) -> StageRun:
    timing = read_timing(name)
    if timing is None:
        return StageRun(name, digest(locked), False, None, None, content)
    started = datetime.fromisoformat(timing["started"]).timestamp()
    seconds = [Point("seconds", timing["seconds"])]
    if timing["epochs"]:
        seconds.append(Point("seconds_per_epoch", sum(timing["epochs"]) / len(timing["epochs"])))
    timed = replace(content, metrics=content.metrics + seconds)
    return StageRun(name, digest(locked), True, started, started + timing["seconds"], timed)


def _plots() -> list[tuple[Path, str]]:
    return [(path, path.parent.as_posix()) for path in sorted(PLOTS.rglob("*")) if path.is_file()]


def _files(*paths: Path) -> list[tuple[Path, str]]:
    return [(path, "") for path in paths]
