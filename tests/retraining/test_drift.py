"""The two-sample test on features: its level, its power, its seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bmix.params import load_params
from bmix.retraining.data_gate import judge_drift
from bmix.retraining.drift import SAMPLE, Drift, Features, audit_features, drawn_rows, two_sample_test
from tests.helpers.tiny import REPOSITORY, write_params, write_table

LIMITS = load_params(REPOSITORY / "params.yaml").retrain


def drawn(rows: int, seed: int, shift: float = 0.0, scale: float = 1.0) -> np.ndarray:
    """Correlated features, one of them constant, of images of two kinds."""
    rng = np.random.default_rng(seed)
    mixing_DD = np.random.default_rng(99).normal(size=(12, 12))
    kind_N1 = rng.integers(0, 2, size=(rows, 1)) * 3.0
    values_ND = (rng.normal(size=(rows, 12)) * scale + kind_N1 + shift) @ mixing_DD
    values_ND[:, 0] = 7.0
    return values_ND.astype(np.float32)


def found(first_ND: np.ndarray, second_MD: np.ndarray, seed: int = 0) -> Drift:
    return two_sample_test(first_ND, second_MD, np.random.default_rng(seed))


def test_p_is_uniform_for_images_of_one_distribution() -> None:
    p_R = np.array([found(drawn(40, 2 * seed), drawn(60, 2 * seed + 1), seed).p for seed in range(200)])
    assert 0.4 < p_R.mean() < 0.6
    # Of 200, 20 are expected below 0.1 and 2 below 0.01; more than these have a probability below 1e-3.
    assert (p_R <= 0.1).sum() <= 36
    assert (p_R <= 0.01).sum() <= 8


@pytest.mark.parametrize("change", [{"shift": 1.0}, {"scale": 1.4}])
def test_images_that_shifted_are_found(change: dict[str, float]) -> None:
    first_ND = drawn(SAMPLE, 0)
    assert all(found(first_ND, drawn(150, seed, **change), seed).p <= 0.01 for seed in range(1, 6))


def test_the_distance_is_the_discrepancy_of_the_kernel() -> None:
    first_ND, second_MD = drawn(30, 0), drawn(20, 1, shift=0.3)
    both_ND = np.concatenate([first_ND, second_MD]).astype(float)[:, 1:]
    both_ND /= both_ND.std(axis=0)
    pairs = {(i, j): ((both_ND[i] - both_ND[j]) ** 2).sum() for i in range(50) for j in range(50)}
    width = np.median([pairs[i, j] for i in range(50) for j in range(i + 1, 50)])

    def mean(rows: range, columns: range) -> float:
        return float(np.mean([np.exp(-pairs[i, j] / width) for i in rows for j in columns]))

    first, second = range(30), range(30, 50)
    expected = mean(first, first) + mean(second, second) - 2 * mean(first, second)
    assert found(first_ND, second_MD).distance == pytest.approx(expected, abs=1e-9)


def test_the_same_seed_gives_the_same_p_and_equal_images_are_no_drift() -> None:
    first_ND, second_MD = drawn(50, 0), drawn(50, 1, shift=0.1)
    assert found(first_ND, second_MD, 3) == found(first_ND, second_MD, 3)
    same = np.ones((30, 4), np.float32)
    assert found(same, same) == Drift(0.0, 1.0)


def test_a_sample_is_bounded_and_keyed_by_seed_and_purpose() -> None:
    rows_N = np.arange(5000)
    sample = drawn_rows(rows_N, 0, "new")
    assert len(np.unique(sample)) == SAMPLE
    assert (drawn_rows(rows_N, 0, "new") == sample).all()
    assert (drawn_rows(rows_N, 1, "new") != sample).any()
    assert (drawn_rows(rows_N, 0, "accepted") != sample).any()
    assert drawn_rows(rows_N[:7], 0, "new").tolist() == list(range(7))


def test_features_are_kept_and_a_damaged_file_is_none(tmp_path: Path) -> None:
    path = tmp_path / "features.npz"
    assert Features.read(path) is None
    Features(drawn(5, 0), "source, 12 values").write(path)
    read = Features.read(path)
    assert read is not None
    assert read.origin == "source, 12 values"
    np.testing.assert_allclose(read.values_ND, drawn(5, 0), rtol=1e-3, atol=1e-3)
    path.write_bytes(path.read_bytes()[:100])
    assert Features.read(path) is None


def test_what_warns_and_what_is_refused() -> None:
    def judged(drift: Drift | str, gate: bool = False) -> tuple[bool, bool]:
        finding = judge_drift(drift, 500, 40, LIMITS.model_copy(update={"gate_drift": gate}))
        return finding.passes, finding.warns

    assert judged(Drift(0.1, 0.001)) == (True, True)
    assert judged(Drift(0.1, 0.001), gate=True) == (False, True)
    assert judged(Drift(0.1, 0.02), gate=True) == (True, False)
    assert judged("no features", gate=True) == (True, False)


def test_a_network_trained_anew_has_no_features_to_compare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pandas as pd

    from bmix.data.manifest import Manifest

    params = load_params(REPOSITORY / "params.yaml")
    network = params.model_copy(update={"audit": params.audit.model_copy(update={"features": "network"})})
    manifest = Manifest(pd.DataFrame({"id": ["a"], "path": ["a.png"], "split": ["train"]}), ["cat"])
    told = audit_features(tmp_path, network, manifest, np.arange(1))
    assert isinstance(told, str)
    assert "trained anew" in told


def test_other_weights_at_the_same_path_are_of_another_origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from safetensors.torch import save_file

    from bmix.data.manifest import read_manifest
    from bmix.models.backbones import build_classifier
    from stages import prepare

    monkeypatch.chdir(tmp_path)
    write_table(Path("mine"), images=24)
    write_params(
        tmp_path, "data.source=table", "data.path=mine/labels.csv", "data.root=mine/images", "data.overlap=warn",
        "audit.features=backbone", "audit.backbone=small", "audit.weights=small.safetensors", "audit.image_size=16",
    )  # fmt: skip
    prepare.main()
    network, manifest = build_classifier("small", "linear", 1, "none", seed=0), read_manifest(Path("data/prepared"))

    def origin() -> str:
        save_file(network.state_dict(), "small.safetensors")
        found = audit_features(tmp_path, load_params(), manifest, np.arange(3))
        assert isinstance(found, Features)
        return found.origin

    first = origin()
    assert first == origin()
    with torch.no_grad():
        next(network.parameters()).mul_(1.1)
    assert first != origin()
