"""Tiny pictures to try the examples on: squares of three colours, one class of them rare, some labels wrong.

Put your own data set in the place of `Shapes`: one that gives the row of an image and two augmented views of it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.data import Dataset

from bmix.torchvision_import import transforms  # torchvision.transforms.v2

CLASSES = ["red", "green", "blue"]
SIZE = 16
_SHARES = (0.6, 0.4, 0.08)
_SIDE = 8


def draw_images(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Grey noise with a square in the colour of each class that is present: images (N, 3, 16, 16), labels (N, 3)."""
    generator = torch.Generator().manual_seed(seed)
    images = 0.5 * torch.rand(count, len(CLASSES), SIZE, SIZE, generator=generator)
    present = torch.rand(count, len(CLASSES), generator=generator) < torch.tensor(_SHARES)
    for image, colour in present.nonzero().tolist():
        top, left = torch.randint(SIZE - _SIDE, (2,), generator=generator).tolist()
        images[image, colour, top : top + _SIDE, left : left + _SIDE] += 0.5
    return images, present.float()


def with_wrong_labels(labels: Tensor, share: float, seed: int) -> Tensor:
    """The same labels, of which every one is turned round with probability `share`."""
    wrong = torch.rand(labels.shape, generator=torch.Generator().manual_seed(seed)) < share
    return torch.where(wrong, 1 - labels, labels)


class Shapes(Dataset[tuple[int, list[Tensor]]]):
    """(row, views) of each image: two that are augmented at random, or with `augment` off the image alone."""

    def __init__(self, images: Tensor, augment: bool) -> None:
        self._images = images
        self._augment = (
            transforms.Compose([transforms.RandomHorizontalFlip(), transforms.RandomAffine(5, (0.1, 0.1))])
            if augment
            else None
        )

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, row: int) -> tuple[int, list[Tensor]]:
        image = self._images[row]
        return row, [image] if self._augment is None else [self._augment(image), self._augment(image)]
