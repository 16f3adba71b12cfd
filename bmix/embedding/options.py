"""The options of `python -m bmix embed`, apart from its code, which imports torch."""

from __future__ import annotations

import argparse
from pathlib import Path

AUGMENTS = ("randaugment-flip", "randaugment", "gentle", "photograph")


def add_embed_arguments(command: argparse.ArgumentParser) -> None:
    """The options of `python -m bmix embed`."""
    command.add_argument("--output", type=Path, required=True, metavar="FILE", help="the .npz to write")
    command.add_argument(
        "--views", type=_count, default=4, metavar="V", help="augmented views beside the plain one (4)"
    )
    text = "as model.backbone (efficientnet_lite0)"
    command.add_argument("--backbone", default="efficientnet_lite0", metavar="NAME", help=text)
    text = "imagenet (downloaded), none, or a file of weights (imagenet)"
    command.add_argument("--weights", default="imagenet", metavar="PATH", help=text)
    command.add_argument("--image-size", type=_size, default=224, metavar="S", help="side of the images, pixels (224)")
    text = f"how the views are made: {', '.join(AUGMENTS)} ({AUGMENTS[0]})"
    command.add_argument("--augment", choices=AUGMENTS, default=AUGMENTS[0], metavar="NAME", help=text)
    command.add_argument("--seed", type=_count, default=0, metavar="SEED", help="draws the views (0)")


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text} is no whole number from 0 on")
    return int(text)


def _size(text: str) -> int:
    if not 16 <= _count(text) <= 2048:
        raise argparse.ArgumentTypeError(f"{text} is no side from 16 to 2048 pixels")
    return int(text)
