"""Nights with stages that take milliseconds: what is decided, what is left alone, what is told."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from bmix.models.calibration import weights_digest
from bmix.pipeline.repro import PipelineError
from bmix.retraining import history
from bmix.retraining.data_gate import DRIFT
from bmix.retraining.history import NIGHTS, NightRecord, read_nights
from bmix.retraining.inputs import OWN
from bmix.retraining.night import LOCK, BusyError, run_night
from bmix.retraining.versions import CHAMPION, all_versions, champion, previous, promote, roll_back
from bmix.support.files import read_json, write_json
from tests.helpers.nights import SET, StagesByHand, write_rows
from tests.support.test_locks import held_elsewhere


def served() -> dict[str, Any]:
    """Every file that is served and every version, with its bytes and its time of change."""
    return {
        str(path): (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ino)
        for path in sorted(Path("models").rglob("*"))
        if path.is_file()
    } | {str(CHAMPION): CHAMPION.readlink()}


def edit_own_params(**retrain: Any) -> None:
    content = yaml.safe_load(Path("params.yaml").read_text())
    content["retrain"] |= retrain
    Path("params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


def test_a_first_night_promotes_and_one_without_anything_new_reads_nothing(project: Path, stages: StagesByHand) -> None:
    first = run_night([], stages.tools)
    assert (first.result, first.reason, first.version) == (history.PROMOTED, "the first model", 1)
    assert stages.met == [
        "prepare", "data gate", "noise", "audit", "noise gate", "pretrain", "warmup", "pseudo", "train", "evaluate",
        "publish", "model gate",
    ]  # fmt: skip
    assert weights_digest(CHAMPION / "model.safetensors") == champion().note["weights"]  # type: ignore[union-attr]
    before, stages.met = served(), []
    second = run_night([], stages.tools)
    assert (second.result, second.version) == (history.NOTHING_NEW, 1)
    assert second.reason.endswith("which was promoted")
    assert stages.met == []
    assert served() == before


def test_touched_files_are_read_and_nothing_is_new(project: Path, stages: StagesByHand) -> None:
    run_night([], stages.tools)
    os.utime(SET, (1, 1))
    stages.met = []
    assert run_night([], stages.tools).result == history.NOTHING_NEW
    assert stages.met == ["prepare"]
    stages.met = []
    assert run_night([], stages.tools).result == history.NOTHING_NEW
    assert stages.met == []


def test_new_rows_give_a_candidate_that_is_compared_on_both_test_splits(project: Path, stages: StagesByHand) -> None:
    run_night([], stages.tools)
    write_rows(project, 450)
    second = run_night([], stages.tools)
    assert second.result == history.PROMOTED
    assert second.reason.count("mAP ") == 2
    assert second.candidate_map is not None
    assert second.champion_map is not None
    looked = [finding.what for finding in second.findings]
    assert {"mAP all, today's test split", "mAP all, the champion's test split", "classes"} <= set(looked)
    assert (champion().number, previous().number) == (2, 1)  # type: ignore[union-attr]
    # By turns: the run of the champion is left as it is.
    assert [Path(version.note["run"]).name for version in all_versions()] == ["night-a", "night-b"]


def test_the_model_on_a_test_split_is_measured_as_evaluate_measures_it(project: Path, stages: StagesByHand) -> None:
    run_night([], stages.tools)
    write_rows(project, 450)
    second = run_night([], stages.tools)
    assert second.candidate_map == pytest.approx(read_json(Path(second.run) / "metrics.json")["mAP"]["all"], abs=1e-9)


def test_shuffled_labels_are_refused_by_the_data_gate_before_anything_is_trained(
    project: Path, stages: StagesByHand
) -> None:
    run_night([], stages.tools)
    before, stages.met = served(), []
    write_rows(project, 300, shuffled=range(300))
    night = run_night([], stages.tools)
    assert night.result == history.BY_DATA
    assert night.reason.startswith("images with other labels: ")
    assert stages.met == ["prepare", "data gate"]
    assert served() == before
    again = run_night([], stages.tools)
    assert again.result == history.NOTHING_NEW
    assert "which was rejected by data gate: images with other labels" in again.reason


def test_with_the_data_gate_off_the_model_gate_refuses_them(project: Path, stages: StagesByHand) -> None:
    run_night([], stages.tools)
    before = served()
    write_rows(project, 300, shuffled=range(300))
    night = run_night(["retrain.gate_data=false"], stages.tools)
    assert night.result == history.BY_MODEL
    assert "mAP all, the champion's test split" in night.reason
    assert night.candidate_map is not None
    assert served() == before
    edit_own_params(gate_data=False, gate_model=False)
    assert run_night([], stages.tools).result == history.PROMOTED


def test_new_thresholds_judge_the_same_data_again(project: Path, stages: StagesByHand) -> None:
    run_night([], stages.tools)
    write_rows(project, 450)
    edit_own_params(shrink=0.0, relabelled=0.0)
    assert run_night([], stages.tools).result == history.PROMOTED
    write_rows(project, 440)
    assert run_night([], stages.tools).result == history.BY_DATA
    edit_own_params(shrink=0.5)
    assert run_night([], stages.tools).result == history.PROMOTED


def test_a_stage_that_fails_fails_the_night_and_is_tried_again_the_next(project: Path, stages: StagesByHand) -> None:
    def fail() -> None:
        raise PipelineError("stage train failed: out of memory")

    run_night([], stages.tools)
    before = served()
    write_rows(project, 450)
    stages.before["train"] = fail
    night = run_night([], stages.tools)
    assert (night.result, night.reason) == (history.FAILED, "stage train failed: out of memory")
    assert served() == before
    del stages.before["train"]
    assert run_night([], stages.tools).result == history.PROMOTED


def test_wrong_params_and_data_fail_the_night_with_their_message(project: Path, stages: StagesByHand) -> None:
    assert "noise.rate is 1.2" in run_night(["noise.rate=1.2"], stages.tools).reason
    SET.write_bytes(b"no archive")
    night = run_night([], stages.tools)
    assert night.result == history.FAILED
    assert "set.npz" in night.reason
    assert stages.met == []


def test_an_interrupted_night_is_recorded_and_ends(project: Path, stages: StagesByHand) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    stages.before["audit"] = interrupt
    with pytest.raises(KeyboardInterrupt):
        run_night([], stages.tools)
    (night,) = read_nights()
    assert (night.result, night.reason) == (history.FAILED, "ended by KeyboardInterrupt")


def test_a_night_that_was_killed_is_marked_by_the_next(project: Path, stages: StagesByHand) -> None:
    write_json(OWN / "working.json", {"night": "2026-01-02T03:04:05.000+00:00", "process": 4711, "run": "r"})
    dead: list[str] = []
    run_night([], replace(stages.tools, dead=dead.append))
    assert dead == ["r"]
    died, ran = read_nights()
    assert (died.night, died.result) == ("2026-01-02T03:04:05.000+00:00", history.DIED)
    assert "process 4711 was killed" in died.reason
    assert ran.result == history.PROMOTED
    assert "the night of 2026-01-02T03:04:05.000+00:00 died" in stages.told[0]
    assert not (OWN / "working.json").exists()


def test_one_at_a_time(project: Path, stages: StagesByHand) -> None:
    LOCK.parent.mkdir(parents=True)
    with held_elsewhere(LOCK.absolute()) as holder, pytest.raises(BusyError, match=f"process {holder.pid} is at work"):
        run_night([], stages.tools)
    (night,) = read_nights()
    assert night.result == history.CANCELLED
    assert stages.met == []


def test_a_champion_that_changed_meanwhile_is_not_replaced(project: Path, stages: StagesByHand) -> None:
    run_night([], stages.tools)
    write_rows(project, 450)
    run_night([], stages.tools)
    write_rows(project, 600)
    stages.before["publish"] = roll_back
    night = run_night([], stages.tools)
    assert night.result == history.FAILED
    assert "models/champion: is version 1 by now" in night.reason
    assert champion().number == 1  # type: ignore[union-attr]
    del stages.before["publish"]
    assert run_night([], stages.tools).result == history.PROMOTED


def test_after_a_rollback_the_data_of_the_new_champion_are_the_accepted_ones(
    project: Path, stages: StagesByHand
) -> None:
    run_night([], stages.tools)
    write_rows(project, 450)
    run_night([], stages.tools)
    roll_back()
    assert run_night([], stages.tools).result == history.NOTHING_NEW
    write_rows(project, 460)
    night = run_night([], stages.tools)
    gone = next(finding for finding in night.findings if finding.what == "images with other labels")
    assert gone.before == "300 images"
    assert night.run.endswith("night-b")


def test_a_class_that_only_one_model_knows_is_left_out_of_the_comparison(project: Path, stages: StagesByHand) -> None:
    import numpy as np

    run_night([], stages.tools)
    with np.load(SET) as found:
        content = dict(found)
    extra = np.resize([0, 1], len(content["Y"]))[:, None].astype(content["Y"].dtype)
    content["Y"], content["classes"] = np.hstack([content["Y"], extra]), np.append(content["classes"], "extra")
    np.savez(SET, **content)
    edit_own_params(relabelled=1.0)
    night = run_night([], stages.tools)
    assert night.result == history.PROMOTED, night.reason
    assert any('"extra" new' in finding.now for finding in night.findings)


def test_every_night_leaves_what_it_looked_at(project: Path, stages: StagesByHand) -> None:
    night = run_night([], stages.tools)
    kept = read_json(NIGHTS / f"{night.stamp}.json")
    assert kept["result"] == history.PROMOTED
    assert [finding["what"] for finding in kept["findings"]] == ["unusable images", "copies of other images"]
    (read,) = read_nights()
    assert isinstance(read, NightRecord)
    assert read.rates == night.rates
    assert read.candidate_map == pytest.approx(night.candidate_map, abs=1e-6)


def test_a_version_promoted_by_its_number_is_served(project: Path, stages: StagesByHand) -> None:
    run_night([], stages.tools)
    write_rows(project, 450)
    run_night([], stages.tools)
    promote(all_versions()[0])
    assert (champion().number, previous().number) == (1, 2)  # type: ignore[union-attr]


def test_a_model_that_starts_from_the_champion_is_nothing_new_after_a_promotion(
    project: Path, stages: StagesByHand
) -> None:
    run_night([], stages.tools)
    write_rows(project, 450)
    edits = [f"model.weights={CHAMPION}"]
    assert run_night(edits, stages.tools).result == history.PROMOTED
    stages.met = []
    assert run_night(edits, stages.tools).result == history.NOTHING_NEW
    assert stages.met == []


def finding(night: NightRecord, what: str) -> Any:
    return next(one for one in night.findings if one.what == what)


def test_new_images_are_compared_with_the_accepted_ones_by_their_features(project: Path, stages: StagesByHand) -> None:
    edit_own_params(gate_model=False)
    run_night([], stages.tools)
    write_rows(project, 450)
    same = finding(run_night([], stages.tools), DRIFT)
    assert (same.before, same.warns, same.passes) == ("300 accepted", False, True)
    assert same.now.startswith("150 new, distance 0.0")

    def shift(by: float) -> None:
        with np.load(SET) as found:
            content = dict(found)
        content["X"][450:] += by
        np.savez(SET, **content)

    write_rows(project, 600)
    shift(1.0)
    warned = run_night([], stages.tools)
    assert (finding(warned, DRIFT).warns, warned.result) == (True, history.PROMOTED)
    assert finding(warned, DRIFT).now.endswith("p 0.001")
    roll_back()
    edit_own_params(gate_drift=True)
    refused = run_night([], stages.tools)
    assert (refused.result, finding(refused, DRIFT).passes) == (history.BY_DATA, False)
    assert refused.reason.startswith(f"{DRIFT}: 150 new, distance")


def test_why_features_are_not_compared_is_told(project: Path, stages: StagesByHand) -> None:
    run_night([], stages.tools)
    write_rows(project, 310)
    assert finding(run_night([], stages.tools), DRIFT).now == "not compared: fewer than 20 images are new"
    (CHAMPION / "data/features.npz").write_bytes(b"damaged")
    write_rows(project, 450)
    assert "version 2 keeps none" in finding(run_night([], stages.tools), DRIFT).now
    write_rows(project, 500)
    off = finding(run_night(["audit.features=off"], stages.tools), DRIFT)
    assert (off.passes, off.now) == (
        True,
        "not compared: the audit has no features (audit.features, audit.weights)",
    )
    write_rows(project, 550)
    assert DRIFT not in [one.what for one in run_night(["retrain.drift=0"], stages.tools).findings]


def weaken(by: float) -> None:
    """Turn the first class's line of the candidate, the newest model, by noise."""
    path = max(Path(".bmix/runs").glob("night-*/models/final/model.safetensors"), key=lambda path: path.stat().st_mtime)
    weights = load_file(path)
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal(weights["head.linear.weight"].shape))
    weights["head.linear.weight"] = (weights["head.linear.weight"] + by * noise).float()
    save_file(weights, path)


def test_small_losses_do_not_add_up(project: Path, stages: StagesByHand) -> None:
    edit_own_params(worse=0.08, worse_group=1.0)
    run_night([], stages.tools)
    write_rows(project, 400)
    stages.before["publish"] = lambda: weaken(0.08)
    assert run_night([], stages.tools).result == history.PROMOTED
    write_rows(project, 500)
    stages.before["publish"] = lambda: weaken(0.14)
    night = run_night([], stages.tools)
    assert night.result == history.BY_MODEL
    # Against the champion alone it loses no more than it may.
    assert night.reason.startswith("mAP all, today's test split, version 1: ")
    assert ";" not in night.reason
    edit_own_params(memory=0)
    assert run_night([], stages.tools).result == history.PROMOTED
