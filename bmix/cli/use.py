"""Commands that use a trained model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from bmix.cli.options import one_of, whole_number

MODEL = Path("models/final")
TABLES = ("csv", "json", "parquet")

Model = Annotated[Path, typer.Option("--model", metavar="FOLDER", help="of a trained model")]
Top = Annotated[
    int, typer.Option(metavar="N", parser=whole_number(0), help="show the N likeliest classes alone; 0: all")
]


def predict(
    inputs: Annotated[
        list[str], typer.Argument(metavar="FOLDER|FILES|TABLE", help="images, or a table with a column path")
    ],
    model: Model = MODEL,
    format: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT",
            parser=one_of(TABLES),
            autocompletion=lambda: list(TABLES),
            show_default=False,
            help=f"{', '.join(TABLES)}; without it that of the suffix of --output, else csv",
        ),
    ] = None,
    top: Top = 0,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="write there; without it to standard output", show_default=False)
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="that the paths in a table start from; its own", show_default=False),
    ] = None,
) -> int:
    """Predict the classes in images, with their probabilities.

    A class is among the labels if it reaches its threshold, which was chosen on the validation split. Files that cannot
    be read are listed at the end; the status is then 1.

    Example: bmix predict photos --model models/final --output predictions.csv
    """
    from bmix.pipeline.checks import check_output
    from bmix.support.errors import InputError

    form = format or next((name for name in TABLES if output and output.suffix.lower() == f".{name}"), "csv")
    if output:
        check_output(output)
    elif form == "parquet":
        raise InputError("--format", "parquet without --output", "a file to write it to", "name one by --output")
    # Only what can be wrong without torch is looked at before: it takes seconds.
    from bmix.serving.pictures import find_pictures

    pictures = find_pictures(inputs, root)

    from bmix.serving.device import load_on_device
    from bmix.serving.predict import predict_pictures
    from bmix.serving.tables import text, write_predictions

    predictions = predict_pictures(load_on_device(model), pictures)
    if output:
        write_predictions(output, predictions, form, top)
        print(f"{len(predictions.names)} predictions written to {output}")
    else:
        print(text(predictions, form, top), end="")
    if predictions.unreadable:
        told = [f"  {name}: {fault}" for name, fault in predictions.unreadable.items()]
        print("\n".join([f"not read: {len(told)} of {len(pictures)} files", *told]), file=sys.stderr)
    return 1 if predictions.unreadable else 0
