"""Labels judged by the trained network: log-odds where p_clean is 0 or 1, and an order without ties."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from bmix.cli import labels as command
from bmix.labels.by_network import mixtures_of_table, network_scores, split_logits
from bmix.labels.run import LabelledRun
from bmix.labels.scored import NETWORK, read_scored
from bmix.labels.worst import worst_labels
from bmix.method.mixture import fit_loss_mixtures
from bmix.support.files import write_parquet
from bmix.training.epoch_tables import mixture_schema


def test_log_odds_go_on_where_probabilities_end() -> None:
    rng = np.random.default_rng(0)
    losses = torch.from_numpy(np.concatenate([rng.gamma(1, 0.1, (300, 2)), rng.gamma(9, 0.5, (60, 2))]))
    given = torch.from_numpy(rng.random((360, 2)) < 0.5)
    mixtures = fit_loss_mixtures(losses, given)
    odds = mixtures.clean_log_odds(losses, given)
    torch.testing.assert_close(odds.sigmoid().float(), mixtures.clean_probability(losses, given))
    far = torch.tensor([[30.0, 30.0], [60.0, 60.0]], dtype=torch.float64)
    present = torch.ones(2, 2, dtype=torch.bool)
    assert (mixtures.clean_probability(far, present) == 0).all()
    assert (mixtures.clean_log_odds(far, present).diff(dim=0) < 0).all()


@pytest.fixture
def trained(finished_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LabelledRun:
    """The tiny project's run; its audit judged nothing."""
    shutil.copytree(finished_project, tmp_path / "run", ignore=shutil.ignore_patterns(".dvc", "bmix"))
    monkeypatch.chdir(tmp_path / "run")
    return LabelledRun.open()


@pytest.mark.pipeline
def test_the_network_judges_as_the_verdicts_do_and_without_ties(trained: LabelledRun) -> None:
    scored = read_scored(trained)
    assert scored.judged_by == NETWORK
    positives = scored.frame[scored.frame["given"] == 1].set_index(["id", "class"])
    verdicts = pd.read_parquet("verdicts.parquet").set_index(["id", "class"])
    verdicts = verdicts[verdicts["given"] == 1].loc[positives.index]
    last = pd.read_parquet("mixtures.parquet").query("epoch == epoch.max() and given == 1").set_index("class")
    mean = last["mean_0"][positives.index.get_level_values("class")].to_numpy()
    above = positives["evidence"].to_numpy() >= mean
    assert above.sum() > 10
    np.testing.assert_allclose(1 - positives["p_wrong"][above], verdicts["p_clean"][above], atol=1e-3)
    found = worst_labels(trained, scored)
    doubted = found[found["p_wrong"] > 0.5]
    assert doubted["quality"].is_unique
    assert "the network sees" in found["why"].iloc[0]
    assert len(list(Path(".bmix/logits").glob("*.npy"))) == 1
    np.testing.assert_array_equal(split_logits(trained, "train"), split_logits(trained, "train"))
    assert len(read_scored(trained, "test").frame) == 20 * len(trained.classes)


@pytest.mark.pipeline
def test_without_mixtures_the_losses_order(trained: LabelledRun, capsys: pytest.CaptureFixture[str]) -> None:
    write_parquet(Path("mixtures.parquet"), pd.read_parquet("mixtures.parquet").iloc[:0], mixture_schema())
    given_NK = trained.given("train")
    losses_NK, p_wrong_NK, quality_NK, classes = network_scores(trained, "train", given_NK)
    assert np.isnan(p_wrong_NK).all()
    np.testing.assert_array_equal(quality_NK, -losses_NK)
    assert not classes
    command.worst(count=3)
    assert "NaN" in capsys.readouterr().out
    command.show()
    shown = capsys.readouterr().out
    assert "judged by the trained network" in shown
    assert "warning: The labels are judged by the network that was trained on them." in shown


def test_mixtures_come_back_from_their_table() -> None:
    rng = np.random.default_rng(1)
    losses = torch.from_numpy(rng.gamma(1, 0.5, (200, 2)))
    given = torch.from_numpy(rng.random((200, 2)) < 0.5)
    fitted = fit_loss_mixtures(losses, given)
    rows = [
        {"epoch": 1, "class": name, "given": value, "count": int(fitted.counts[value, k])}
        | {"degenerate": bool(fitted.degenerate[value, k])}
        | {
            f"{part}_{c}": float(getattr(fitted, f"{part}s")[value, k, c])
            for part in ("mean", "variance", "weight")
            for c in (0, 1)
        }
        for k, name in enumerate(["b", "a"])
        for value in (1, 0)
    ]
    back = mixtures_of_table(pd.DataFrame(rows), ["b", "a"])
    for name, values in fitted.state().items():
        torch.testing.assert_close(back.state()[name], values)
