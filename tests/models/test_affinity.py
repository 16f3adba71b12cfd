"""The affinity head against loops over its formulas."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bmix.models.affinity import Affinity, diversity
from bmix.models.backbones import build_classifier
from bmix.models.heads import AffinityHead, HeadSettings
from bmix.models.spec import ClassifierSpec
from bmix.models.store import Classifier, load_classifier, save_classifier


def slow_affinity(features_BC: Tensor, prototypes_KMC: Tensor, sigma: float) -> list[list[float]]:
    """d(f, j) = max_t exp(-‖f - w_jt‖² / σ)."""
    return [
        [
            max(
                math.exp(-sum((float(f) - float(w)) ** 2 for f, w in zip(feature, prototype, strict=True)) / sigma)
                for prototype in own
            )
            for own in prototypes_KMC
        ]
        for feature in features_BC
    ]


def slow_diversity(prototypes_KMC: Tensor) -> float:
    """Mean over a < b of (δ_ab - μ)², μ the mean of δ_ab over a < b."""
    rows = prototypes_KMC.flatten(0, 1).tolist()
    distances = [
        sum((one - other) ** 2 for one, other in zip(rows[a], rows[b], strict=True))
        for b in range(len(rows))
        for a in range(b)
    ]
    mean = sum(distances) / len(distances)
    return sum((distance - mean) ** 2 for distance in distances) / len(distances)


@settings(deadline=None)
@given(seed=st.integers(0, 999), count=st.integers(1, 4), sigma=st.floats(0.5, 50))
def test_the_sigmoid_of_the_log_odds_is_the_affinity(seed: int, count: int, sigma: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    layer = Affinity(3, 4, count, sigma)
    layer.prototypes.data = torch.randn(layer.prototypes.shape, generator=generator)
    features = torch.randn(5, 3, generator=generator)
    expected = torch.tensor(slow_affinity(features, layer.prototypes.data, sigma))
    # Squared distances in float32 are good to about 1e-6, which sigma divides.
    torch.testing.assert_close(layer(features).sigmoid(), expected, atol=2e-6 + 4e-6 / sigma, rtol=1e-4)


def test_the_regulariser_is_the_papers_variance_of_squared_distances() -> None:
    prototypes = torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(1))
    assert float(diversity(prototypes)) == pytest.approx(slow_diversity(prototypes), rel=1e-4)
    assert float(diversity(prototypes[:1, :1])) == 0


def test_log_odds_and_gradients_are_finite_at_a_prototype_and_far_away() -> None:
    layer = Affinity(2, 2, 1, sigma=10.0)
    features = torch.stack([layer.prototypes.data[0, 0], torch.full((2,), 1e4)]).requires_grad_()
    logits = layer(features)
    logits.sum().backward()
    assert float(logits.detach()[0, 0].sigmoid()) == pytest.approx(1 - 1e-6, abs=2e-7)
    assert torch.isfinite(logits).all()
    assert torch.isfinite(features.grad).all()  # type: ignore[arg-type]
    # Far away the affinity is 0 in float32, and the way back is still known.
    assert float(logits.detach()[1, 1].sigmoid()) == 0
    assert (features.grad[1] < 0).all()  # type: ignore[index]


def test_gradients_are_those_of_differences() -> None:
    generator = torch.Generator().manual_seed(2)
    layer = Affinity(3, 2, 2, sigma=4.0)
    layer.prototypes.data = torch.randn(2, 2, 3, generator=generator)
    features = torch.randn(3, 3, generator=generator)
    (layer(features).sigmoid().square().sum() + diversity(layer.prototypes)).backward()
    found = layer.prototypes.grad.clone()  # type: ignore[union-attr]
    with torch.no_grad():
        for index in [(0, 0, 1), (1, 1, 2), (0, 1, 0)]:
            both = []
            for step in (1e-3, -1e-3):
                layer.prototypes[index] += step
                both.append(float(layer(features).sigmoid().square().sum() + diversity(layer.prototypes)))
                layer.prototypes[index] -= step
            assert float(found[index]) == pytest.approx((both[0] - both[1]) / 2e-3, rel=2e-2, abs=5e-3)


def test_prototypes_become_equally_far_apart() -> None:
    prototypes = torch.randn(3, 1, 2, generator=torch.Generator().manual_seed(3)).requires_grad_()
    optimizer = torch.optim.Adam([prototypes], lr=0.05)
    for _ in range(400):
        optimizer.zero_grad()
        diversity(prototypes).backward()
        optimizer.step()
    distances = torch.pdist(prototypes.detach().flatten(0, 1))
    assert float(distances.max() / distances.min()) == pytest.approx(1, abs=0.01)
    assert float(distances.min()) > 0.1


def test_a_model_is_saved_and_loaded_with_its_settings(tmp_path) -> None:  # type: ignore[no-untyped-def]
    own = HeadSettings(hidden=16, norm="none", prototypes=2, sigma=3.0, diversity=0.5)
    network = build_classifier("identity", "affinity", 3, "none", 0, feature_count=4, head_settings=own)
    spec = ClassifierSpec.of("identity", "affinity", 8, ["a", "b", "c"], own, features=4)
    save_classifier(Classifier(network, spec), tmp_path)
    loaded = load_classifier(tmp_path)
    assert loaded.spec == spec
    assert isinstance(loaded.network.head, AffinityHead)
    features = torch.randn(5, 4, generator=torch.Generator().manual_seed(4))
    network.eval()
    assert torch.equal(loaded.predict(features), network(features).sigmoid())


def test_new_prototypes_are_sigma_apart_on_average() -> None:
    # Nearer, all affinities are alike; farther, all are 0: in either case nothing is learnt for long.
    torch.manual_seed(0)
    for sigma in (2.0, 90.0):
        prototypes = Affinity(128, 10, 5, sigma).prototypes.detach().flatten(0, 1)
        distances = torch.pdist(prototypes).square()
        assert float(distances.mean()) == pytest.approx(sigma, rel=0.05)
