"""The backbone `small`, made for scenes of about 40 pixels and trained from scratch."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from bmix.models.body import Body, Normalisation


class SmallBackbone(nn.Module):
    """Five 3×3 convolutions with batch norm and ReLU: (B, 3, H, W) float to (B, 128, H/8, W/8), H and W at least 8.

    Made for scenes of about 40 pixels with several small objects, under a head with global max pooling: the maximum
    over all places fits labels that say that something is present, not how often or where.
    """

    channels = 128

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            # The first layer sees every pixel: at half the resolution, strokes as thin as these are learnt far slower.
            *_convolution(3, 16),
            nn.MaxPool2d(2),
            *_convolution(16, 32),
            nn.MaxPool2d(2),
            *_convolution(32, 64),
            nn.MaxPool2d(2),
            *_convolution(64, 128),
            *_convolution(128, self.channels),
        )

    def forward(self, images_B: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) to features (B, 128, H/8, W/8)."""
        return self.features(images_B)


def _convolution(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def body(_backbone: str, _image_size: int | None) -> Body:
    """The network, its weights drawn from torch's global generator."""
    return Body(SmallBackbone(), SmallBackbone.channels, maximum=True)


def normalisation(_backbone: str) -> Normalisation:
    """Grey pixels in the middle of their range."""
    return (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)


def published_weights(backbone: str) -> Mapping[str, Tensor]:
    """There are none."""
    raise ValueError(f"{backbone} was never trained on ImageNet")
