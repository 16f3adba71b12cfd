"""`python -m tests.chaos.nights`: a week of nights on tiny data, with all that may happen to them.

New rows, nothing new, a bad batch, bad labels behind a gate that is off, a night beside another one, a kill, a
rollback: nights by `flows.retrain --once` at a Prefect server of their own. What is served is compared byte for byte
around every night that must not change it. Prints the table of docs/retraining.md.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import yaml

from bmix.retraining.history import BY_DATA, BY_MODEL, CANCELLED, DIED, NOTHING_NEW, PROMOTED, NightRecord, read_nights
from bmix.support.files import read_json
from tests.helpers.daemons import prefect_server
from tests.helpers.nights import make_growing_project, write_rows
from tests.helpers.projects import HANG_SECONDS


@dataclass
class Week:
    """The project, how its nights are started, and what came of them."""

    folder: Path
    environment: dict[str, str]
    rows: list[tuple[str, NightRecord]] = field(default_factory=list)

    def night(self, before: str, expected: str, *edits: str, meanwhile: Callable[[], None] | None = None) -> None:
        """One night, and the lines that the history has after it; SystemExit unless one of them is the expected result.

        meanwhile: called while a candidate is being trained.
        """
        served = self._served_files()
        known = len(read_nights())
        process = self.start(*edits)
        if meanwhile:
            self._wait("a stage that trains", self._trains)
            meanwhile()
        process.wait(HANG_SECONDS)
        for number, record in enumerate(read_nights()[known:]):
            self.note(before if not number else "", record)
        found = [record.result for record in read_nights()[known:]]
        if [result for result in found if result not in (CANCELLED, DIED)] != [expected]:
            raise SystemExit(f"error: {before}: {', '.join(found) or 'no result'}, not {expected}; see nights.log")
        if expected != PROMOTED and served != self._served_files():
            raise SystemExit(f"error: {before}: a night that was {expected} changed what is served")

    def note(self, before: str, record: NightRecord) -> None:
        """Add a line to the table."""
        self.rows.append((before, record))
        print(
            f"{record.night[11:19]}  {record.result:24}  v{record.version}  {record.seconds:6.1f} s  {before}",
            flush=True,
        )

    def start(self, *edits: str) -> subprocess.Popen[bytes]:
        """A night by hand."""
        command = [sys.executable, "-m", "flows.retrain", "--once", *(["--set", *edits] if edits else [])]
        with Path("nights.log").open("ab") as log:
            return subprocess.Popen(command, env=self.environment, stdout=log, stderr=subprocess.STDOUT)

    def beside(self) -> None:
        """Start another night by hand, which has to end by itself."""
        if self.start().wait(HANG_SECONDS) == 0:
            raise SystemExit("error: a night beside another one was not cancelled")

    def kill(self) -> None:
        """Kill the process of the night, as a power cut would, but for DVC and its stage, which live on."""
        os.kill(int(read_json(Path(".bmix/retraining/working.json"))["process"]), signal.SIGKILL)

    def _trains(self) -> bool:
        """Whether a stage that trains is at work in a candidate's copy."""
        for process in psutil.process_iter():
            try:
                if "stages.warmup" in process.cmdline() and Path(process.cwd()).parent == self.folder / ".bmix/runs":
                    return True
            except psutil.Error:
                continue
        return False

    def _served_files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(Path("models/champion").glob("*")) if path.is_file()}

    def _wait(self, what: str, there: Callable[[], bool]) -> None:
        end = time.monotonic() + HANG_SECONDS
        while not there():
            if time.monotonic() > end:
                raise SystemExit(f"error: {what} has not come in {HANG_SECONDS} s; see {self.folder}/nights.log")
            time.sleep(0.1)


def main(folder: Path, first: int = 1) -> None:
    """A week of nights in a new project in `folder`.

    first: the step to go on with in the project of an earlier week, counted from 1.
    """
    if first == 1:
        make_growing_project(folder, 300)
    environment = {**os.environ, "PREFECT_HOME": str(folder / ".prefect"), "PREFECT_LOGGING_LEVEL": "INFO"}
    os.chdir(folder)
    with prefect_server(folder) as url:
        week = Week(folder.resolve(), environment | {"PREFECT_API_URL": url})
        for step in STEPS[first - 1 :]:
            step(week)
        print(f"\n{table(week.rows)}\n")
        subprocess.run([sys.executable, "-m", "bmix", "models", "list"], check=True)
        _show_registry()


def _first(week: Week) -> None:
    week.night("300 rows", PROMOTED)


def _nothing(week: Week) -> None:
    week.night("nothing", NOTHING_NEW)


def _new_rows(week: Week) -> None:
    write_rows(week.folder, 450)
    week.night("150 new rows; another night by hand beside it", PROMOTED, meanwhile=week.beside)


def _bad_batch(week: Week) -> None:
    write_rows(week.folder, 560, shuffled=range(450, 560))
    week.night("110 new rows with shuffled labels", BY_DATA)


def _bad_labels(week: Week) -> None:
    write_rows(week.folder, 450, shuffled=range(450))
    _edit(gate_data=False)
    week.night("all labels shuffled, data gate off", BY_MODEL)
    _edit(gate_data=True)


def _kill(week: Week) -> None:
    write_rows(week.folder, 600)
    week.night("150 new rows; kill -9 while it trains, then another night", PROMOTED, meanwhile=_killed(week))


def _rollback(week: Week) -> None:
    known = len(read_nights())
    subprocess.run([sys.executable, "-m", "bmix", "models", "rollback"], check=True, env=week.environment)
    week.note("bmix models rollback", read_nights()[known])


STEPS = (_first, _nothing, _new_rows, _bad_batch, _bad_labels, _kill, _rollback, _nothing)


def _killed(week: Week) -> Callable[[], None]:
    def kill() -> None:
        week.kill()
        week.start().wait(HANG_SECONDS)

    return kill


def _edit(**retrain: bool) -> None:
    content = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    content["retrain"] |= retrain
    Path("params.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def table(rows: list[tuple[str, NightRecord]]) -> str:
    """The nights as a table of Markdown."""
    lines = ["| what came before | result | served | mAP of candidate, champion | seconds | why |", "|" + " --- |" * 6]
    for before, one in rows:
        scores = [f"{100 * value:.1f}" if value is not None else "–" for value in (one.candidate_map, one.champion_map)]
        version = "–" if one.version is None else f"version {one.version}"
        reason = one.reason.partition("\n")[0]
        lines.append(f"| {before} | {one.result} | {version} | {', '.join(scores)} | {one.seconds:.0f} | {reason} |")
    return "\n".join(lines)


def _show_registry() -> None:
    """The aliases in MLflow's registry."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri="sqlite:///mlflow.db", registry_uri="sqlite:///mlflow.db")
    for alias in ("champion", "previous"):
        version = client.get_model_version_by_alias("bmix", alias)
        print(f"MLflow: {alias} is version {version.tags.get('bmix.version')}: {version.tags.get('bmix.reason')}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--folder", type=Path, metavar="FOLDER", help="a new folder to keep the project in")
    parser.add_argument(
        "--first", type=int, default=1, metavar="STEP", help=f"go on with this step of {len(STEPS)} in --folder"
    )
    given = parser.parse_args()
    if given.folder:
        main(given.folder.absolute(), given.first)
    else:
        with tempfile.TemporaryDirectory(prefix="bmix-nights-") as temporary:
            main(Path(temporary) / "project")
