from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from bmix.models.backbones import build_classifier
from bmix.models.heads import HeadSettings
from bmix.models.query_decoder import QueryDecoder
from bmix.support.errors import InputError
from tests.models.test_models import states_equal


def made(channels: int, class_count: int, query_count: int) -> QueryDecoder:
    torch.manual_seed(class_count)
    head = QueryDecoder(channels, class_count, query_count)
    with torch.no_grad():
        # New norms and biases of attention are 1 and 0: other values show that they are used, and where.
        for name, parameter in head.named_parameters():
            if "norm" in name or "bias" in name:
                parameter.add_(torch.randn_like(parameter) * 0.3)
    return head


def layer_norm(vector: Tensor, norm: torch.nn.Module) -> Tensor:
    centred = vector - vector.mean()
    return centred / torch.sqrt((centred**2).mean() + 1e-5) * norm.weight + norm.bias


def sizes_of_groups(class_count: int, query_count: int) -> list[int]:
    counts = [0] * query_count
    for k in range(class_count):
        counts[math.floor(k * query_count / class_count)] += 1
    return counts


def slow_logits(head: QueryDecoder, features_BCHW: Tensor) -> Tensor:
    """Query by query, place by place, attention head by attention head."""
    batch, _, height, width = features_BCHW.shape
    query_weight, key_weight, value_weight = head.attention.in_proj_weight.chunk(3)
    query_bias, key_bias, value_bias = head.attention.in_proj_bias.chunk(3)
    sizes = sizes_of_groups(len(head.bias), len(head.queries))
    logits = torch.zeros(batch, len(head.bias))
    for b in range(batch):
        places = [
            torch.relu(head.projection.weight @ features_BCHW[b, :, y, x] + head.projection.bias)
            for y in range(height)
            for x in range(width)
        ]
        k = 0
        for q, size in enumerate(sizes):
            query = layer_norm(head.queries[q], head.query_norm)
            projected = query_weight @ query + query_bias
            seen = []
            for part in torch.arange(768).chunk(8):
                scores = [
                    (projected[part] @ (key_weight @ place + key_bias)[part] / math.sqrt(768 / 8)).exp()
                    for place in places
                ]
                values = [(value_weight @ place + value_bias)[part] for place in places]
                seen.append(sum(s * v for s, v in zip(scores, values, strict=True)) / sum(scores))
            attended = head.attention.out_proj.weight @ torch.cat(seen) + head.attention.out_proj.bias
            query = layer_norm(query + attended, head.attention_norm)
            first, _, second = head.feedforward
            fed = second.weight @ torch.relu(first.weight @ query + first.bias) + second.bias
            query = layer_norm(query + fed, head.feedforward_norm)
            for position in range(size):
                logits[b, k] = query @ head.weight[q, :, position] + head.bias[k]
                k += 1
    return logits


@pytest.mark.parametrize(("class_count", "query_count"), [(3, 3), (5, 2), (4, 1)])
@torch.no_grad()
def test_logits_equal_the_formula_query_by_query(class_count, query_count):
    head = made(6, class_count, query_count)
    features_BCHW = torch.randn(2, 6, 2, 3) * 2
    torch.testing.assert_close(head(features_BCHW), slow_logits(head, features_BCHW), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("class_count", "query_count"), [(10, 4), (9, 6), (7, 7), (11, 10), (80, 27), (1, 1)])
def test_every_query_has_classes_of_its_own_and_groups_are_even(class_count, query_count):
    sizes = sizes_of_groups(class_count, query_count)
    largest = math.ceil(class_count / query_count)
    expected = [group * largest + position for group, size in enumerate(sizes) for position in range(size)]
    head = QueryDecoder(2, class_count, query_count)
    assert head.columns.tolist() == expected
    assert max(sizes) == largest
    assert min(sizes) >= max(1, largest - 1)
    assert head(torch.zeros(3, 2, 1, 1)).shape == (3, class_count)


@torch.no_grad()
def test_classes_in_another_order_give_the_same_logits_in_that_order():
    head, other = made(4, 6, 6), made(4, 6, 6)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    other.load_state_dict(head.state_dict())
    for name in ("queries", "weight", "bias"):
        getattr(other, name).copy_(getattr(head, name)[order])
    features_BCHW = torch.randn(3, 4, 2, 2)
    torch.testing.assert_close(other(features_BCHW), head(features_BCHW)[:, order])


@torch.no_grad()
def test_places_have_no_order_and_images_do_not_see_each_other():
    head = made(4, 5, 5)
    features_BCHW = torch.randn(3, 4, 2, 3)
    logits_BK = head(features_BCHW)
    torch.testing.assert_close(head(features_BCHW.flip(2, 3)), logits_BK)
    torch.testing.assert_close(head(features_BCHW[1:2]), logits_BK[1:2])


def test_gradients_reach_all_but_the_fixed_queries():
    network = build_classifier("small", "decoder", 5, "none", seed=3, head_settings=HeadSettings(queries=2))
    network(torch.randn(4, 3, 16, 16)).sigmoid().sum().backward()
    without = {
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().sum() > 0
    }
    assert without == set()
    assert not network.head.queries.requires_grad
    assert "head.queries" in network.state_dict()


def test_training_and_evaluation_mode_give_the_same_and_draw_nothing():
    head = made(4, 5, 5)
    features_BCHW = torch.randn(3, 4, 2, 3)
    before = torch.get_rng_state()
    trained = head.train()(features_BCHW)
    assert torch.equal(torch.get_rng_state(), before)
    torch.testing.assert_close(head.eval()(features_BCHW), trained)


def test_another_number_of_classes_keeps_the_decoder_and_draws_the_logits_anew(tmp_path):
    donor = build_classifier("small", "decoder", 6, "none", seed=1, head_settings=HeadSettings(queries=3))
    path = str(tmp_path / "w.pth")
    torch.save(donor.state_dict(), path)
    assert states_equal(
        build_classifier("small", "decoder", 6, path, seed=2, head_settings=HeadSettings(queries=3)), donor
    )
    network = build_classifier("small", "decoder", 9, path, seed=2, head_settings=HeadSettings(queries=3))
    drawn = build_classifier("small", "decoder", 9, "none", seed=2, head_settings=HeadSettings(queries=3))
    for name in ("projection.weight", "attention.in_proj_weight", "feedforward.2.bias", "queries"):
        assert torch.equal(network.head.state_dict()[name], donor.head.state_dict()[name])
    for name in ("weight", "bias"):
        assert torch.equal(network.head.state_dict()[name], drawn.head.state_dict()[name])


@pytest.mark.parametrize("queries", [-1, 3])
def test_more_queries_than_classes_are_refused(queries):
    with pytest.raises(InputError, match=rf"model\.queries: is {queries}\n.*at most the number of classes, 2"):
        build_classifier("small", "decoder", 2, "none", seed=0, head_settings=HeadSettings(queries=queries))


def test_features_without_places_have_no_decoder():
    with pytest.raises(InputError, match="looks at places in an image"):
        build_classifier("identity", "decoder", 2, "none", seed=0, feature_count=4)
