"""Commands that look at data and make some."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bmix.cli.options import Edits, choice, whole_number

AUGMENTS = ("randaugment-flip", "randaugment", "gentle", "photograph")


def check(edits: Edits = []) -> None:  # noqa: B006
    """Check params.yaml and the data that it names, and say what was understood; nothing is run.

    Example: bmix check --set data.source=table data.path=my/labels.csv data.root=my/images
    """
    from bmix.pipeline.checks import check_inputs
    from bmix.pipeline.start import other_epochs, run_params

    params = run_params(edits)[1]
    print("\n".join([*check_inputs(params), *other_epochs(params)]))
    print("params and data are fit for use")


def embed(
    output: Annotated[Path, typer.Option(metavar="FILE", help="the .npz to write")],
    views: Annotated[
        int, typer.Option(metavar="V", parser=whole_number(0), help="augmented views beside the plain one")
    ] = 4,
    backbone: Annotated[str, typer.Option(metavar="NAME", help="as model.backbone")] = "efficientnet_lite0",
    weights: Annotated[
        str, typer.Option(metavar="PATH", help="imagenet (downloaded), none, or a file of weights")
    ] = "imagenet",
    image_size: Annotated[
        int, typer.Option(metavar="S", parser=whole_number(16, 2048), help="side of the images, pixels")
    ] = 224,
    augment: Annotated[
        str,
        choice(AUGMENTS, "NAME", f"how the views are made: {', '.join(AUGMENTS)}"),
    ] = "randaugment-flip",
    seed: Annotated[int, typer.Option(metavar="SEED", parser=whole_number(0), help="draws the views")] = 0,
) -> None:
    """Turn the prepared images into features by a frozen backbone, a file for the source `features`.

    Training on features takes minutes where training on images takes hours. A run that was killed goes on.

    Example: bmix embed --output data/mine/set.npz --backbone resnet50
    """
    from bmix.embedding.embed import embed_prepared

    embed_prepared(output, views, backbone, weights, image_size, augment, seed)
