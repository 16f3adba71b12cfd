"""What the record holds, read from the files and as it stands in MLflow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bmix.support.errors import InputError
from bmix.tracking import tables
from bmix.tracking.metric_names import key_part
from bmix.tracking.record import read_record
from bmix.tracking.tags import run_name
from bmix.workspace.pipeline_file import lasting_stages
from stages import publish
from tests.helpers.mlflow_runs import artifacts, children, histories, parents
from tests.helpers.tracked import EPOCHS, WARMUP_EPOCHS


@pytest.mark.pipeline
def test_record_is_whole_after_one_publish(recorded: Path) -> None:
    publish.main()
    (parent,) = parents()
    assert parent.info.run_name == "balancemix · digits · mislabel 0.4 · seed 0"
    assert parent.info.status == "FINISHED"
    assert parent.data.params["method.trust_positives"] == "false"
    assert parent.data.params["noise.rate"] == "0.4"
    assert parent.data.tags["data.membership.train"] == "0123456789abcdef"
    assert f"md5: {parent.data.tags['bmix.model_md5']}\n" in Path("dvc.lock").read_text()
    assert parent.data.metrics["mAP/all"] == 0.7
    assert parent.data.metrics["mAP test-balanced/all"] == 0.66
    assert parent.data.metrics["detection/recall_positives"] == 0.7
    assert "mAP/many" not in parent.data.metrics
    assert artifacts(parent) >= {
        "report.html",
        "metrics.json",
        "params.yaml",
        "dvc.lock",
        "labels/verdicts.parquet",
        "labels/verdict_shares.json",
        "labels/classes.json",
        "labels/transition.json",
        "plots/mixtures.png",
        "plots/transition.csv",
    }
    used = [
        (entry.dataset.name, entry.tags[0].value, json.loads(entry.dataset.profile))
        for entry in parent.inputs.dataset_inputs
    ]
    assert sorted((name, context) for name, context, _ in used) == [("digits", "evaluation"), ("digits", "training")]
    assert all(profile["images/train"] == 20 for _, _, profile in used)
    found = children()
    assert set(found) == set(lasting_stages())
    assert {run.data.tags["mlflow.parentRunId"] for run in found.values()} == {parent.info.run_id}
    assert {run.data.tags["bmix.dvc_state"] for run in found.values()} == {"cached"}
    by_class = {key: value for key, value in found["evaluate"].data.metrics.items() if key.startswith("ap")}
    balanced = {"ap_balanced/ant": 0.75, "ap_balanced/bee": 0.75, f"ap_balanced/{key_part('cat (wild)')}": 0.75}
    assert by_class == {"ap/ant": 0.5, "ap/bee": 0.25} | balanced
    assert found["noise"].data.metrics == {"rate": 0.4, "measured/overall": 0.39}
    assert found["prepare"].data.metrics["images/train"] == 20


@pytest.mark.pipeline
def test_epochs_are_divided_between_warmup_and_train(recorded: Path) -> None:
    publish.main()
    found = children()
    warm, managed = histories(found["warmup"]), histories(found["train"])
    assert [step for step, _ in warm["train_loss"]] == list(range(1, WARMUP_EPOCHS + 1))
    assert [step for step, _ in managed["sampler/median"]] == list(range(WARMUP_EPOCHS + 1, EPOCHS + 1))
    assert "labels/clean" not in warm
    assert len(managed["given positives/ambiguous"]) == EPOCHS - WARMUP_EPOCHS


def test_outputs_of_other_params_are_refused(project: Path) -> None:
    Path("params.yaml").write_text(Path("params.yaml").read_text().replace("epsilon: 0.975", "epsilon: 0.9"))
    with pytest.raises(
        InputError, match=r"params.yaml, method.epsilon: 0.9, but the outputs on disk were made with 0.975"
    ):
        publish.main()


def test_publish_before_the_stages_have_run_says_what_to_do(project: Path) -> None:
    Path("dvc.lock").unlink()
    with pytest.raises(InputError, match=r"dvc.lock: no such file\n(.|\n)*run `dvc repro`"):
        publish.main()
    Path("dvc.lock").write_text("schema: '2.0'\nstages:\n  prepare: {}\n")
    with pytest.raises(InputError, match="holds no stage noise, audit, pretrain, warmup, pseudo, train, evaluate"):
        publish.main()


def test_missing_output_is_named(project: Path) -> None:
    Path("sampler.csv").unlink()
    with pytest.raises(InputError, match=r"sampler.csv: no such file or folder\n(.|\n)*run `dvc checkout`"):
        publish.main()


def test_recipe_without_mixtures_and_shares_has_a_record(project: Path) -> None:
    pd.read_parquet("mixtures.parquet").iloc[:0].to_parquet("mixtures.parquet")
    keys = {point.key for stage in read_record().stages for point in stage.content.metrics}
    assert "train_loss" in keys
    assert not [key for key in keys if key.startswith("mixture")]


def test_mean_mixtures_leave_degenerate_ones_out() -> None:
    means = {"mean_0": [1.0, 3.0, 100.0], "degenerate": [False, False, True]}
    others = {f"{name}_{component}": 0.0 for name in ("mean", "variance", "weight") for component in (0, 1)}
    frame = pd.DataFrame({"epoch": 4, "class": ["a", "b", "c"], "given": 1, **others, **means})
    row = tables.mean_mixtures(frame).loc[4]
    assert row["mixture given 1/mean_0"] == 2.0
    assert row["mixture given 1/degenerate"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("edits", "name"),
    [
        ({}, "bce · table · flip 0.2 · seed 1"),
        ({"noise.seed": 2}, "bce · table · flip 0.2 · seed 1, noise seed 2"),
        ({"noise.kind": "none", "noise.seed": 2}, "bce · table · clean · seed 1"),
        ({"noise.kind": "single-positive"}, "bce · table · single-positive · seed 1"),
        (
            {"training.recipe": "balancemix", "method.relabel": False, "method.minority": False},
            "balancemix without minority, relabel · table · flip 0.2 · seed 1",
        ),
    ],
)
def test_run_names(edits: dict[str, Any], name: str) -> None:
    params = {"training.recipe": "bce", "data.source": "table", "noise.kind": "flip", "noise.rate": 0.2}
    switches = {f"method.{name}": True for name in ("minority", "clean", "relabel", "ambiguous")}
    assert run_name(params | switches | {"training.seed": 1, "noise.seed": 1} | edits) == name


def test_verdict_shares_are_shares_of_the_labels_of_a_class() -> None:
    counts = {"clean": 6, "relabelled": 1, "ambiguous": 1, "degenerate": False}
    empty = {"clean": 0, "relabelled": 0, "ambiguous": 0, "degenerate": True}
    shares = tables.verdict_shares({"classes": {"ant": {"positives": counts, "negatives": empty}}})
    assert shares.to_dict("records") == [
        {
            "class": "ant",
            "given": "positives",
            "labels": 8,
            "clean": 0.75,
            "relabelled": 0.125,
            "ambiguous": 0.125,
            "degenerate": False,
        },
        {
            "class": "ant",
            "given": "negatives",
            "labels": 0,
            "clean": 0.0,
            "relabelled": 0.0,
            "ambiguous": 0.0,
            "degenerate": True,
        },
    ]
