"""Stage evaluate: how good the model and its verdicts are, in `metrics.json`, `plots/` and `report.html`."""

from __future__ import annotations

from pathlib import Path

import torch

from bmix import load_model
from bmix.data.groups import group_cuts
from bmix.data.manifest import holds_features, read_manifest
from bmix.data.noisy import read_labels
from bmix.evaluation.cautions import cautions
from bmix.evaluation.inputs import measured_splits, predict_splits, read_run
from bmix.evaluation.results import Evaluation, evaluate, metrics_of, summary
from bmix.evaluation.verdicts import place_verdicts
from bmix.figures.plots import write_plots
from bmix.figures.report import render_report
from bmix.params import Params, load_params
from bmix.support import console
from bmix.support.files import replaced, replaced_folder, write_json, write_text
from bmix.workspace.timings import stage_timing

PREPARED, NOISY, MODEL = Path("data/prepared"), Path("data/noisy"), Path("models/final")
METRICS, PLOTS, REPORT = Path("metrics.json"), Path("plots"), Path("report.html")


def main() -> None:
    """Measure the run in the current folder; either all three outputs are written or none."""
    with stage_timing("evaluate"):
        params = load_params()
        evaluation, image_paths = measure(params)
        # The digits of the default run are drawn, not anyone's photographs.
        own = params.data.source not in ("digits", "features")
        untrained = own and params.model.weights == "none" and not torch.cuda.is_available()
        warnings = cautions(evaluation, params.training.batch_size, untrained)
        with replaced(METRICS) as metrics, replaced(REPORT) as report, replaced_folder(PLOTS) as plots:
            write_json(metrics, metrics_of(evaluation))
            figures = write_plots(evaluation, plots, image_paths)
            write_text(report, render_report(evaluation, plots, figures, warnings))
        print("\n".join([summary(evaluation), *(f"warning: {sentence}" for sentence in warnings)]))


def measure(params: Params) -> tuple[Evaluation, list[Path]]:
    """The evaluation of the run in the current folder, and the paths of its training images, none for features."""
    torch.set_num_threads(params.training.threads)
    manifest = read_manifest(PREPARED)
    ids, given_NK, true_NK = read_labels(NOISY, manifest)
    record, verdicts = read_run(Path(), manifest.classes)
    classifier = load_model(MODEL).to("cuda" if torch.cuda.is_available() else "cpu")
    positives_K = manifest.labels("train").sum(axis=0, dtype=int)
    evaluation = evaluate(
        predict_splits(classifier, manifest, params.image_root, measured_splits(manifest, params.evaluate.split)),
        train_positives=positives_K,
        labels=place_verdicts(verdicts, ids, manifest.classes, given_NK, manifest.ignored_if_any("train")),
        true_NK=true_NK,
        record=record,
        thresholds=group_cuts(positives_K, params.evaluate.many, params.evaluate.medium),
        curve_points=params.evaluate.curve_points,
    )
    pictures = [] if holds_features(manifest) else [params.image_root / path for path in manifest.paths("train")]
    return evaluation, pictures


if __name__ == "__main__":
    console.run(main, "stages.evaluate", __doc__)
