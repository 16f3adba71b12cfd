"""Commands that use a trained model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from bmix.cli.options import choice, whole_number

MODEL = Path("models/final")
TABLES = ("csv", "json", "parquet")
EXPORTS = ("onnx", "torchscript", "safetensors")

ACCEPTED = ("champion", "previous")


def _model_folder(value: str | Path) -> Path:
    """A folder; `champion` stands for models/champion where there is no folder of that name."""
    folder = Path(value)
    return Path("models") / folder if str(value) in ACCEPTED and not folder.exists() else folder


Model = Annotated[
    Path,
    typer.Option(
        "--model",
        metavar="FOLDER",
        parser=_model_folder,
        help="of a trained model; champion: the one that nights of retraining accepted last",
    ),
]
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
        choice(
            TABLES,
            "FORMAT",
            f"{', '.join(TABLES)}; without it that of the suffix of --output, else csv",
            show_default=False,
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


def export_model(
    output: Annotated[Path, typer.Option(metavar="FILE", help="the file to write")],
    format: Annotated[
        str,
        choice(EXPORTS, "FORMAT", ", ".join(EXPORTS)),
    ] = EXPORTS[0],
    model: Model = MODEL,
) -> None:
    """Write the model in a format that other programs run.

    Normalisation and temperature are part of it; class names and thresholds are in its metadata, and in a JSON file
    beside it. What was written is run and compared with the model.

    Example: bmix export-model --format onnx --output model.onnx
    """
    from bmix.models.store import load_classifier
    from bmix.pipeline.checks import check_output
    from bmix.serving.export import TOLERANCE, export

    check_output(output)
    difference = export(load_classifier(model), output, format)
    checked = (
        "" if format == "safetensors" else f"; its probabilities differ by {difference:.1e} (at most {TOLERANCE:g})"
    )
    print(f"{output} and {output}.json written{checked}")


def serve(
    model: Model = MODEL,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="another one can be reached by others")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", parser=whole_number(0, 65535), help="0: any that is free")] = 8000,
    most_bytes: Annotated[
        int, typer.Option(metavar="N", parser=whole_number(1), help="of a request; larger ones are refused")
    ] = 16 * 2**20,
    most_pixels: Annotated[
        int, typer.Option(metavar="N", parser=whole_number(1), help="of an image; larger ones are refused")
    ] = 50_000_000,
    waiting: Annotated[
        int, typer.Option(metavar="N", parser=whole_number(1), help="requests at once; more are told to come again")
    ] = 64,
) -> None:
    """Answer requests for predictions by HTTP, on this machine alone unless another address is given.

    POST /predict takes an image as the body, or several as files of a form; GET /health and GET /model tell the state.
    A new model in the folder is taken without a request being lost.

    Example: bmix serve --model models/final --port 8000
    """
    from bmix.serving.limits import Limits
    from bmix.serving.serve import serve as run

    run(model, host, port, Limits(bytes=most_bytes, pixels=most_pixels, waiting=waiting))
