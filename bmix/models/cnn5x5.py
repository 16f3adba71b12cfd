"""The backbone `cnn5x5`: the small network for handwritten digits of Hayat et al. (ICCV 2019, arXiv 1901.07711)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from bmix.models.body import Body, Normalisation

MADE_FOR = 28
"""Pixels along a side of MNIST's images."""
CHANNELS = 128


class Cnn5x5(nn.Module):
    """Three 5×5 convolutions (32, 64, 128 filters), each halved by its maximum, then a dense layer of 128.

    (B, 3, H, W) float to (B, 128, 1, 1), H and W being the `image_size` that the dense layer is made for, at least 8.
    The batch norm of every layer is ours, so that few epochs are enough and the features have a scale to go by.
    """

    def __init__(self, image_size: int) -> None:
        super().__init__()
        self.features = nn.Sequential(*_convolution(3, 32), *_convolution(32, 64), *_convolution(64, CHANNELS))
        # As a convolution that covers all places.
        self.dense = nn.Conv2d(CHANNELS, CHANNELS, image_size // 8, bias=False)
        self.norm = nn.BatchNorm2d(CHANNELS)

    def forward(self, images_B: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) to features (B, 128, 1, 1)."""
        return self.norm(self.dense(self.features(images_B))).relu()


def _convolution(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(inputs, outputs, 5, padding=2, bias=False),
        # Before the norm, which then has a quarter of the values.
        nn.MaxPool2d(2),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def body(_backbone: str, image_size: int | None) -> Body:
    """The network, its weights drawn from torch's global generator."""
    return Body(Cnn5x5(image_size or MADE_FOR), CHANNELS)


def normalisation(_backbone: str) -> Normalisation:
    """White strokes on black."""
    return (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)


def published_weights(backbone: str) -> Mapping[str, Tensor]:
    """There are none."""
    raise ValueError(f"{backbone} was never trained on ImageNet")
