"""One night: look whether anything is new, judge the data, train a candidate apart, judge it, and only then promote."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from bmix.params import Params
from bmix.pipeline.checks import check_inputs
from bmix.pipeline.projects import HOME, RUNS, Project
from bmix.pipeline.repro import PipelineError
from bmix.pipeline.start import run_params
from bmix.retraining import history
from bmix.retraining.committed import BRANCH, check_git, commit_version
from bmix.retraining.findings import Finding, reason, refused
from bmix.retraining.history import NightRecord, add_night
from bmix.retraining.inputs import OWN, Decision, Inputs, last_decision, look_at_inputs
from bmix.retraining.judges import Judges
from bmix.retraining.marks import clear_dead_mark, mark_of_work
from bmix.retraining.owed import owe_run, owe_version
from bmix.retraining.registry import tell_mlflow
from bmix.retraining.versions import champion, keep_version, promote
from bmix.support.errors import InputError
from bmix.support.locks import held
from bmix.support.secrets import without_secrets
from bmix.workspace.pipeline_file import stage_names
from bmix.workspace.run_note import RunNote

LOCK = OWN / "lock"
SLOTS = ("night-a", "night-b")
"""Copies that candidates are made in by turns: the one that holds the champion's run is left as it is."""
_JUDGED_FIRST = ("noise", "audit")
"""Stages after prepare whose outputs the data gate looks at before anything is trained."""


class BusyError(RuntimeError):
    """Another night is at work."""


class _EndedEarlyError(Exception):
    """The night has its result before a promotion."""

    def __init__(self, result: str, why: str) -> None:
        self.result, self.why = result, why
        super().__init__(why)


@dataclass(frozen=True)
class Tools:
    """How a night does its work.

    stage: runs one stage in a project, PipelineError if it fails. gate: makes a judgement of this name, so that it can
    be watched. tell: takes a line. run: what the caller knows this night by. dead: called with the `run` of an earlier
    night whose process was killed.
    """

    stage: Callable[[str, Project], None]
    gate: Callable[[str, Callable[[], list[Finding]]], list[Finding]]
    tell: Callable[[str], None]
    run: str = ""
    dead: Callable[[str], None] = lambda run: None


def run_night(edits: list[str], tools: Tools) -> NightRecord:
    """One night in the project of the current folder; its record, which the history holds too.

    edits: `key=value` for params.yaml. Wrong input and stages that fail are results; whatever else is raised is
    recorded as failed and passes through. Nothing but a promotion changes what is served. BusyError if another night is
    at work.
    """
    record = NightRecord(datetime.now(UTC).isoformat(timespec="milliseconds"))
    started = time.monotonic()
    try:
        with held(LOCK, lambda process: BusyError(f"process {process} is at work on another night")):
            if dead := clear_dead_mark():
                tools.tell(f"the night of {dead.get('night')} died: its process was killed")
                if dead.get("run"):
                    tools.dead(str(dead["run"]))
            with mark_of_work(record.night, tools.run):
                _recorded(record, started, lambda: _work(edits, tools, record))
    except BusyError as busy:
        record.result, record.reason = history.CANCELLED, str(busy)
        _finish(record, started)
        raise
    return record


def _recorded(record: NightRecord, started: float, work: Callable[[], None]) -> None:
    try:
        work()
    except (InputError, PipelineError, OSError) as error:
        record.result, record.reason = history.FAILED, str(error)
    except BaseException as error:
        record.result, record.reason = history.FAILED, f"ended by {type(error).__name__}: {error}".rstrip(": ")
        raise
    finally:
        _finish(record, started)


def _finish(record: NightRecord, started: float) -> None:
    record.seconds = round(time.monotonic() - started, 1)
    record.reason = without_secrets(record.reason)
    try:
        now = champion()
    except InputError:
        now = None
    record.version = now.number if now else None
    add_night(record)


def _work(edits: list[str], tools: Tools, record: NightRecord) -> None:
    # Before a new candidate takes the folder of one whose record has not arrived.
    tell_mlflow(tools.tell)
    content, params = run_params(edits)
    inputs, decided = look_at_inputs(params), last_decision()
    if decided and (decided.inputs.files, decided.inputs.settings) == (inputs.files, inputs.settings):
        record.result, record.reason = history.NOTHING_NEW, decided.told
        return
    if params.retrain.commit:
        check_git()
    check_inputs(params)
    night = _Night(_candidate(params, content, record), tools, record, inputs, decided)
    try:
        night.run()
        record.result = history.PROMOTED
    except _EndedEarlyError as early:
        record.result, record.reason = early.result, early.why
    if record.result in (history.PROMOTED, history.BY_MODEL):
        owe_run(record)
    if record.result == history.NOTHING_NEW and decided and decided.inputs.meaning == night.inputs.meaning:
        # Files were touched, no more.
        replace(decided, inputs=night.inputs).remember()
    else:
        Decision(night.inputs, record.night, record.result, record.reason).remember()
    tell_mlflow(tools.tell, record.night)


def _candidate(params: Params, content: dict[str, dict[str, object]], record: NightRecord) -> Project:
    """The copy for the candidate."""
    from bmix.pipeline.copies import refresh_copy

    now = champion()
    taken = Path(now.note["run"]).name if now else ""
    folder = RUNS / next(name for name in SLOTS if name != taken)
    refresh_copy(Path(), folder, content)
    RunNote(f"night {record.night[:10]}", params.flat()).write(folder)
    record.run = str(folder)
    return Project(folder, params, {"BMIX_HOME": str(HOME.resolve())})


class _Night:
    """The work on a candidate. inputs: filled in as they are read."""

    def __init__(
        self, project: Project, tools: Tools, record: NightRecord, inputs: Inputs, decided: Decision | None
    ) -> None:
        self.inputs = inputs
        self._project, self._tools, self._record, self._decided = project, tools, record, decided
        self._champion = champion()
        self._judges = Judges(project, self._champion)

    def run(self) -> None:
        """All stages and gates, and the promotion; _EndedEarlyError if it does not come to that."""
        limits, judges = self._project.params.retrain, self._judges
        first, *stages = stage_names()
        self._tools.tell(f"the candidate is made in {self._project.folder}")
        self._tools.stage(first, self._project)
        self._read_data()
        if limits.gate_data:
            self._gate("data gate", judges.data, history.BY_DATA)
        for stage in stages:
            if stage not in _JUDGED_FIRST:
                break
            self._tools.stage(stage, self._project)
        judges.read_noise()
        self._record.wrong = judges.facts.wrong
        if limits.gate_data:
            self._gate("noise gate", judges.noise, history.BY_DATA)
        for stage in stages:
            if stage not in _JUDGED_FIRST:
                self._tools.stage(stage, self._project)
        if judges.is_champion():
            raise _EndedEarlyError(history.NOTHING_NEW, "the model came out as the champion is")
        self._judge_model(limits.gate_model)
        self._promote()

    def _read_data(self) -> None:
        facts, record = self._judges.read_data(), self._record
        images = facts.images["train"]
        record.train_images, record.rates = images, facts.rates
        record.labels_per_image = sum(facts.positives.values()) / max(images, 1)
        self.inputs = replace(self.inputs, membership=facts.membership, labels=facts.labels)
        if self._decided and self._decided.inputs.meaning == self.inputs.meaning:
            raise _EndedEarlyError(history.NOTHING_NEW, self._decided.told)

    def _gate(self, name: str, judge: Callable[[], list[Finding]], result: str) -> None:
        findings = self._tools.gate(name, judge)
        self._record.findings = [*self._record.findings, *findings]
        if refused(findings):
            raise _EndedEarlyError(result, reason(findings))

    def _judge_model(self, gate: bool) -> None:
        """Compare the models in any case, so that the history knows by how much they differ."""
        try:
            self._gate("model gate", self._judges.model, history.BY_MODEL)
        except _EndedEarlyError:
            if gate:
                raise
        finally:
            for name, value in self._judges.measures().items():
                setattr(self._record, name, value)

    def _promote(self) -> None:
        self._record.reason = self._judges.told()
        version = keep_version(
            self._project.folder, self._record.reason, self._judges.facts.plain(), self._judges.keep_features
        )
        # Noted first: MLflow is told of a promotion after which the night was killed by the next one.
        owe_version(self._record.night, version, self._record.reason)
        promote(version, self._champion.number if self._champion else None)
        if self._project.params.retrain.commit:
            try:
                self._tools.tell(f"{version.name} is commit {commit_version(version)} of {BRANCH}")
            except RuntimeError as error:
                # Params and lock are kept in the version's folder too.
                self._tools.tell(f"warning: {version.name} is not committed to {BRANCH}: {error}")
