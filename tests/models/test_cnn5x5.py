from __future__ import annotations

import pytest
import torch

from bmix.models.backbones import build_classifier
from bmix.models.heads import HeadSettings


@pytest.mark.parametrize("size", [16, 28])
def test_the_dense_layer_covers_the_whole_image(size: int) -> None:
    settings = HeadSettings(prototypes=2)
    network = build_classifier("cnn5x5", "affinity", 10, "none", 0, head_settings=settings, image_size=size)
    images = torch.randn(3, 3, size, size)
    assert network.feature_map(images).shape == (3, 128, 1, 1)
    assert network(images).shape == (3, 10)
    shapes = [tuple(weight.shape) for weight in network.backbone.parameters() if weight.ndim == 4]
    assert shapes == [(32, 3, 5, 5), (64, 32, 5, 5), (128, 64, 5, 5), (128, 128, size // 8, size // 8)]
    # Every pixel has a say in the features.
    images.requires_grad_()
    network.eval()(images).sum().backward()
    assert images.grad is not None
    assert (images.grad.abs().amax(dim=(0, 1)) > 0).float().mean() > 0.9
