from __future__ import annotations

import pytest
import torch

from bmix.models.backbones import build_classifier
from bmix.models.heads import PooledHead
from bmix.support.errors import InputError
from tests.models.test_models import states_equal


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("maximum", [False, True])
def test_places_are_pooled_before_the_head(hidden, maximum):
    torch.manual_seed(0)
    head = PooledHead(6, 4, hidden=hidden, maximum=maximum).eval()
    features_BCHW = torch.randn(3, 6, 2, 5)
    pooled_BC = torch.empty(3, 6)
    for b in range(3):
        for c in range(6):
            values = features_BCHW[b, c].flatten().tolist()
            pooled_BC[b, c] = max(values) if maximum else sum(values) / len(values)
    torch.testing.assert_close(head(features_BCHW), head(pooled_BC))
    assert head(pooled_BC).shape == (3, 4)


@pytest.mark.parametrize(("channels", "width"), [(3, 64), (64, 64), (500, 500), (2048, 1024)])
def test_hidden_layer_is_as_wide_as_its_input_within_bounds(channels, width):
    assert PooledHead(channels, 2, hidden=True).linear.in_features == width


def test_a_batch_of_one_is_normalised_by_the_running_statistics():
    torch.manual_seed(0)
    head = PooledHead(5, 3, hidden=True).train()
    rows_BC = torch.randn(40, 5)
    head(rows_BC)
    running_mean = head.hidden[1].running_mean.clone()
    trained = head(rows_BC[:1])
    trained.sum().backward()
    assert head.hidden[0].weight.grad.abs().sum() > 0
    assert torch.equal(head.hidden[1].running_mean, running_mean)
    torch.testing.assert_close(trained, head.eval()(rows_BC[:1]))


def test_training_draws_nothing():
    network = build_classifier("small", "mlp", 3, "none", seed=0)
    before = torch.get_rng_state()
    network.train()(torch.zeros(2, 3, 16, 16)).sum().backward()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("head", ["linear", "mlp", "decoder"])
def test_weights_of_other_classes_give_all_but_what_depends_on_the_classes(tmp_path, head):
    donor, drawn = (build_classifier("small", head, count, "none", seed=count) for count in (3, 7))
    path = str(tmp_path / "w.pth")
    torch.save(donor.state_dict(), path)
    state = build_classifier("small", head, 7, path, seed=7).state_dict()
    by_class = {name for name, value in donor.state_dict().items() if value.shape != state[name].shape}
    assert by_class
    assert by_class == {f"head.{name}" for name in donor.head.class_tensors}
    for name, value in state.items():
        source = drawn if name in by_class else donor
        assert torch.equal(value, source.state_dict()[name]), name


@pytest.mark.parametrize(("given", "wanted"), [("linear", "mlp"), ("mlp", "linear"), ("mlp", "decoder")])
def test_weights_under_another_head_give_the_backbone(tmp_path, given, wanted):
    donor = build_classifier("small", given, 3, "none", seed=1)
    path = str(tmp_path / "w.pth")
    torch.save(donor.state_dict(), path)
    network = build_classifier("small", wanted, 3, path, seed=2)
    assert states_equal(network.backbone, donor.backbone)
    assert states_equal(network.head, build_classifier("small", wanted, 3, "none", seed=2).head)


def test_features_of_another_number_are_refused(tmp_path):
    path = str(tmp_path / "w.pth")
    torch.save(build_classifier("identity", "linear", 3, "none", seed=1, feature_count=5).state_dict(), path)
    with pytest.raises(InputError, match=r"standardise\.mean \(5,\) instead of \(6,\)"):
        build_classifier("identity", "linear", 3, path, seed=1, feature_count=6)
