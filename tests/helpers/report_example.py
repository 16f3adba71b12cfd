"""The report of a made-up run, with all its files."""

from __future__ import annotations

from pathlib import Path

from bmix.evaluation.doubted import doubts_of_verdicts
from bmix.figures.opening import opening
from bmix.figures.plots import Drawings, write_plots
from bmix.figures.report import render_report
from bmix.params import load_params
from tests.helpers.evaluation_example import Example, write_images
from tests.helpers.tiny import REPOSITORY

SETTINGS = load_params(REPOSITORY / "params.yaml").flat()


def page_of(example: Example, drawings: Drawings | None = None, truth_known: bool = True) -> str:
    """The report with these drawings, or none."""
    evaluation = example.evaluation(truth_known)
    return render_report(evaluation, opening(evaluation, SETTINGS), drawings or Drawings({}, [], []))


def write_report(example: Example, folder: Path) -> Path:
    """report.html and plots/ in the folder; the path of the page."""
    (folder / "plots").mkdir(parents=True)
    files = [path.name for path in write_images(folder / "images", len(example.ids))]
    evaluation = example.evaluation()
    doubts = doubts_of_verdicts(evaluation.labels)
    drawings = write_plots(evaluation, doubts, folder / "plots", folder / "images", files)
    (folder / "report.html").write_text(page_of(example, drawings), encoding="utf-8")
    return folder / "report.html"
