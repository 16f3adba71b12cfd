"""How the trained network judges labels: its losses, and eq. 8 as log-odds, which do not saturate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch

from bmix.data.stores import open_store
from bmix.evaluation.inputs import read_mixtures
from bmix.evaluation.predict import predict_logits
from bmix.labels.run import LabelledRun
from bmix.method.mixture import LossMixtures
from bmix.models.store import load_classifier
from bmix.support.errors import InputError
from bmix.support.files import replaced
from bmix.workspace.locked import digest, file_digest
from bmix.workspace.project import project_root

MODEL = "models/final"
_TIE = 1e-9
Judged = tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, dict[str, Any]]]


def network_scores(run: LabelledRun, split: str, given_NK: np.ndarray) -> Judged:
    """Losses, P(wrong) and log-odds of being right of every label, float64 (N, K) each, and `mean_0` per class.

    given_NK: 1, 0 and -1. verdicts.parquet holds p_clean in float32, which is 0 for thousands of labels; so the losses
    are made anew by a pass of the final network, and judged by the last mixtures. Of a loss below the clean
    component's mean the mean is judged: eq. 8 doubts such labels, although the network is surer of them than of most.
    Of a recipe that fits no mixtures P(wrong) is NaN, and the order is that of the losses.
    """
    present_NK = torch.from_numpy(given_NK == 1)
    logits_NK = torch.from_numpy(split_logits(run, split)).double()
    losses_NK = torch.nn.functional.softplus(torch.where(present_NK, -logits_NK, logits_NK))
    mixtures = read_mixtures(run.folder / "mixtures.parquet", run.classes)
    if mixtures.empty:
        return losses_NK.numpy(), np.full(given_NK.shape, np.nan), -losses_NK.numpy(), {}
    last = mixtures[mixtures["epoch"] == mixtures["epoch"].max()]
    fitted = mixtures_of_table(last, run.classes)
    clean_mean_NK = torch.where(present_NK, fitted.means[1, :, 0], fitted.means[0, :, 0])
    quality_NK = fitted.clean_log_odds(torch.maximum(losses_NK, clean_mean_NK), present_NK)
    # Those judged by the mean are ordered by their losses.
    quality_NK -= _TIE * losses_NK
    # No mixture was fitted there: nothing is doubted, and the losses order what comes last.
    certain_NK = torch.isinf(quality_NK)
    largest = quality_NK[~certain_NK].max() if bool((~certain_NK).any()) else torch.tensor(0.0, dtype=torch.float64)
    quality_NK = torch.where(certain_NK, largest + 1 / (1 + losses_NK), quality_NK)
    p_wrong_NK = torch.where(certain_NK, 0.0, torch.sigmoid(-quality_NK))
    classes = {name: {"mean_0": float(fitted.means[1, k, 0])} for k, name in enumerate(run.classes)}
    return losses_NK.numpy(), p_wrong_NK.numpy(), quality_NK.numpy(), classes


def mixtures_of_table(last: pd.DataFrame, classes: list[str]) -> LossMixtures:
    """The mixtures of one epoch, from its rows of mixtures.parquet."""
    ordered = last.set_index(["given", "class"]).loc[[(given, name) for given in (0, 1) for name in classes]]
    count = len(classes)

    def pairs(name: str) -> torch.Tensor:
        values = ordered[[f"{name}_0", f"{name}_1"]].to_numpy(np.float64)
        return torch.from_numpy(np.ascontiguousarray(values)).reshape(2, count, 2)

    degenerate = torch.from_numpy(ordered["degenerate"].to_numpy(bool, copy=True)).reshape(2, count)
    counts = torch.from_numpy(ordered["count"].to_numpy(np.int64, copy=True)).reshape(2, count)
    return LossMixtures(pairs("mean"), pairs("variance"), pairs("weight"), degenerate, counts)


def split_logits(run: LabelledRun, split: str) -> np.ndarray:
    """The final network's logits of one split's images as stored, float32 (N, K); kept in `.bmix/logits`.

    InputError if no network was trained, or one for other classes.
    """
    model = run.folder / MODEL
    if not (model / "model.safetensors").is_file():
        found, expected = "no trained network, and no audit", "one of the two to judge labels by"
        raise InputError(str(model), found, expected, "run the pipeline: bmix repro")
    known = digest([file_digest(*sorted(model.iterdir())), run.manifest.rows(split)["digest"].tolist(), split])
    kept = project_root() / ".bmix" / "logits" / f"{known}.npy"
    shape = (len(run.manifest.ids(split)), len(run.classes))
    try:
        found_NK = np.load(kept, allow_pickle=False)
        if found_NK.shape == shape and found_NK.dtype == np.float32:
            return np.asarray(found_NK)
    except (OSError, ValueError, EOFError):
        pass
    classifier = load_classifier(model)
    if list(classifier.classes) != run.classes:
        raise InputError(str(model), "a model of other classes", "the classes of the data", "train on this data")
    images = open_store(run.manifest, split, run.folder / run.params.image_root, classifier.spec.image_size)
    logits_NK = predict_logits(classifier, images).cpu().numpy()
    with replaced(kept) as temporary, temporary.open("wb") as file:
        np.save(file, logits_NK)
    return logits_NK
