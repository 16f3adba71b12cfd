"""SimSiam (Chen and He, CVPR 2021, arXiv 2011.10566): two views of an image are to predict each other."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, normalize

from bmix.models.heads import PooledHead, RowNorm, pooled
from bmix.models.networks import ImageNetwork
from bmix.pretraining.base import LabelFree
from bmix.recipes.shared.base import Classify, Step, StepResult


class SimSiamNetwork(ImageNetwork):
    """Normalised images (B, 3, H, W) to (B, 2D): the projection z, then what the predictor makes of it, p.

    Takes over the backbone of a network with a pooled head. The projector has three layers of D, the predictor one of
    D/4 between; D is the backbone's channels, as the paper's 2048 are those of ResNet-50. The new layers are drawn from
    torch's global generator.
    """

    def __init__(self, network: ImageNetwork) -> None:
        if not isinstance(network.head, PooledHead):
            raise TypeError("the head is not a pooled one")
        super().__init__(network.backbone, network.head, network.classifiers, network.layout)
        width, narrow = network.head.linear.in_features, max(network.head.linear.in_features // 4, 1)
        hidden = [layer for _ in range(2) for layer in (*_linear(width, width), nn.ReLU())]
        self.projector = nn.Sequential(*hidden, *_linear(width, width))
        self.predictor = nn.Sequential(*_linear(width, narrow), nn.ReLU(), nn.Linear(narrow, width))
        self.maximum = network.head.maximum
        # It has no part in this task, and the optimiser is to find no weight that nothing trains.
        del self.head

    def forward(self, images_B: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) to z and p, side by side (B, 2D)."""
        projection_BD = self.projector(pooled(self.feature_map(images_B), self.maximum))
        return torch.cat([projection_BD, self.predictor(projection_BD)], dim=1)


def _linear(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Linear(inputs, outputs, bias=False), RowNorm(outputs)]


class SimSiam(LabelFree):
    """Negative cosine similarity of each view's prediction to the other view's projection, which gets no gradient.

    measure: the spread of the projections, 0 where all images have become one point.
    """

    measure = "spread"
    mixes = True
    pairs_with_itself = True

    def step(self, classify: Classify, step: Step) -> StepResult:
        """The mean over the images, in [-1, 1]."""
        if step.partner is None:
            raise ValueError("the step has one view of each image, not two")
        first, second = classify(step.random.views), classify(step.partner.views)
        (z_1, p_1), (z_2, p_2) = (both.chunk(2, dim=1) for both in (first, second))
        self.count(spread(z_1) * len(z_1), len(z_1))
        return StepResult((dissimilarity(p_1, z_2) + dissimilarity(p_2, z_1)) / 2)


def dissimilarity(prediction_BD: Tensor, projection_BD: Tensor) -> Tensor:
    """Mean of -cos(p, z) over the rows, a scalar; no gradient flows into the projection."""
    return -cosine_similarity(prediction_BD, projection_BD.detach(), dim=1).mean()


def spread(projection_BD: Tensor) -> Tensor:
    """√D times the mean over the columns of the standard deviation of the unit rows.

    About 1 where they lie all over the sphere, 0 where they are one point.
    """
    unit_BD = normalize(projection_BD.detach(), dim=1)
    return unit_BD.std(dim=0, unbiased=False).mean() * unit_BD.shape[1] ** 0.5
