"""Features of two dimensions under a softmax and under class prototypes, as a picture.

`python -m benchmarks.affinity_picture MNIST.npz PICTURE.png` trains the network `cnn5x5`, narrowed to two features, on
digits of which 0 to 4 are rare, once under each head, and draws the features of test images, each digit in a colour of
its own, and the prototypes. MNIST.npz: as benchmarks/mnist.py reads it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, one_hot

from benchmarks.mnist import DIGITS, RARE, draw
from bmix.figures.style import figure
from bmix.models.affinity import Affinity, diversity
from bmix.models.cnn5x5 import CHANNELS, Cnn5x5
from bmix.randomness import numpy_generator, torch_generator
from bmix.recipes.max_margin import max_margin_loss
from bmix.recipes.shared.losses import cross_entropy
from bmix.sources.features.npz import open_npz
from bmix.support import console

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE, BATCH, RATE = 16, 32, 0.006
TEST = 1000
"""Test images drawn."""
SIGMA, MARGIN, EVENNESS = 10.0, 0.3, 1e-4


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.affinity_picture", description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--train", type=int, default=3000, help="training images before any are left out")
    parser.add_argument("--share", type=float, default=0.1, help="kept of the training images of the digits 0 to 4")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    train, test = read(arguments.archive, arguments.train, arguments.share, arguments.seed)
    torch.manual_seed(arguments.seed)
    panels = []
    for name, head in (("softmax", nn.Linear(2, DIGITS)), ("affinity, m = 1", Affinity(2, DIGITS, 1, SIGMA))):
        body = nn.Sequential(Cnn5x5(SIZE), nn.Flatten(), nn.Linear(CHANNELS, 2))
        train_network(body, head, *train, arguments.epochs, arguments.seed)
        features_N2, error = measure(body, head, *test)
        print(f"{name}: test error {100 * error:.1f} %", flush=True)
        panels.append((f"{name}, test error {100 * error:.1f} %", features_N2, head))
    with figure(arguments.picture, 9, 4.6, [str(digit) for digit in range(DIGITS)]) as drawn:
        for axes, (title, features_N2, head) in zip(drawn.subplots(1, 2), panels, strict=True):
            draw_features(axes, title, features_N2, test[1].numpy(), head)


def read(archive: Path, count: int, share: float, seed: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Images float32 (N, 3, SIZE, SIZE) and digits (N,) of training, rare ones cut, and of TEST test images."""
    with open_npz(archive) as stored:
        arrays = {name: stored.read(name) for name in ("x_train", "y_train", "x_test", "y_test")}
    rows = draw(arrays["y_train"], {"train": count}, numpy_generator(seed, "mnist"))["train"]
    digit_N = arrays["y_train"][rows]
    kept = [rows[digit_N == digit] for digit in range(DIGITS)]
    kept = [own[: max(1, round(share * len(own)))] if digit < RARE else own for digit, own in enumerate(kept)]
    test = draw(arrays["y_test"], {"test": TEST}, numpy_generator(seed, "mnist test"))["test"]
    train = np.concatenate(kept)
    return _tensors(arrays, "train", train), _tensors(arrays, "test", test)


def _tensors(arrays: dict[str, np.ndarray], part: str, rows_N: np.ndarray) -> tuple[Tensor, Tensor]:
    pixels = torch.from_numpy(arrays[f"x_{part}"][rows_N]).float()[:, None] / 255
    small = interpolate(pixels, size=(SIZE, SIZE), mode="bilinear", antialias=True)
    return ((small - 0.5) / 0.5).expand(-1, 3, -1, -1), torch.from_numpy(arrays[f"y_{part}"][rows_N]).long()


def train_network(body: nn.Module, head: nn.Module, images_N: Tensor, digit_N: Tensor, epochs: int, seed: int) -> None:
    """Train in place by cross-entropy, or under prototypes by the max-margin loss and the regulariser."""
    optimizer = torch.optim.AdamW([*body.parameters(), *head.parameters()], lr=RATE, weight_decay=1e-4)
    steps = epochs * -(-len(digit_N) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    targets_NK = one_hot(digit_N, DIGITS).float()
    for epoch in range(epochs):
        order = torch.randperm(len(digit_N), generator=torch_generator(seed, "picture", epoch))
        for rows in order.split(BATCH):
            logits = head(body(images_N[rows]))
            if isinstance(head, Affinity):
                loss = max_margin_loss(logits.sigmoid(), targets_NK[rows], MARGIN)
                loss = loss + EVENNESS * diversity(head.prototypes)
            else:
                loss = cross_entropy(logits, targets_NK[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


@torch.no_grad()
def measure(body: nn.Module, head: nn.Module, images_N: Tensor, digit_N: Tensor) -> tuple[np.ndarray, float]:
    """The features (N, 2) of images, and the share of them whose likeliest digit is wrong."""
    features_N2 = body.eval()(images_N)
    wrong = head(features_N2).argmax(dim=1) != digit_N
    return features_N2.numpy(), float(wrong.float().mean())


def draw_features(axes: Axes, title: str, features_N2: np.ndarray, digit_N: np.ndarray, head: nn.Module) -> None:
    """A point for each image in its digit's colour, a number at each digit's middle, and crosses for prototypes."""
    import matplotlib as mpl

    colours = mpl.colormaps["tab10"].colors  # type: ignore[attr-defined]
    for digit in range(DIGITS):
        own = features_N2[digit_N == digit]
        axes.scatter(own[:, 0], own[:, 1], s=5, color=colours[digit], linewidths=0, alpha=0.6)
    if isinstance(head, Affinity):
        prototypes = head.prototypes.detach().flatten(0, 1).numpy()
        axes.scatter(prototypes[:, 0], prototypes[:, 1], marker="x", color="black", s=40)
    for digit in range(DIGITS):
        middle = np.median(features_N2[digit_N == digit], axis=0)
        name = f"{digit} (rare)" if digit < RARE else f"{digit}"
        box = {"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 1}
        axes.annotate(name, middle, fontsize=9, ha="center", color=colours[digit], fontweight="bold", bbox=box)
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("first feature")
    axes.set_ylabel("second feature")


if __name__ == "__main__":
    console.run(main)
