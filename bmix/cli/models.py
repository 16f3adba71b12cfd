"""The commands about accepted models: `bmix models ...`, and `bmix nights`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from bmix.cli.command import Command, Commands
from bmix.cli.look import Format
from bmix.support.errors import InputError, listed

Named = Annotated[str, typer.Argument(metavar="VERSION", help="a number as bmix models list shows it, or previous")]


def list_models(format: Format = "table") -> None:
    """List the accepted models: when they were made, their mAP, why they were accepted, which one is served.

    Example: bmix models list --format json
    """
    from bmix.retraining.listing import plain_versions, render_versions

    print(json.dumps(plain_versions(), indent=2) if format == "json" else render_versions())


def promote(
    model: Annotated[
        str,
        typer.Argument(
            metavar="VERSION|RUN", help="a number as bmix models list shows it, or a run as bmix runs lists it"
        ),
    ],
) -> None:
    """Serve another model: a version, or the model of a run, which becomes a version; no gate is asked.

    Example: bmix models promote 12
    """
    from bmix.retraining.by_hand import promote_by_hand

    print(promote_by_hand(model))


def rollback() -> None:
    """Serve the model that was served before; a second time takes it back.

    Example: bmix models rollback
    """
    from bmix.retraining.by_hand import roll_back_by_hand

    print(roll_back_by_hand())


def restore(version: Named) -> None:
    """Bring back all that a version was made of, in a copy of the project: data, labels, model, verdicts, report.

    What is served, params.yaml and the outputs in this folder stay as they are.

    Example: bmix models restore 12
    """
    from bmix.retraining.versions import find_version
    from bmix.retraining.way_back import restore as restored

    found = find_version(version)
    print(f"{found.name} is in {restored(found)}")


def sync() -> int:
    """Send MLflow what it missed while it was away; the next night does so too.

    Example: bmix models sync
    """
    from bmix.retraining.owed import all_owed
    from bmix.retraining.registry import tell_mlflow
    from bmix.tracking.destination import tracking_on

    if not tracking_on():
        raise InputError("BMIX_TRACKING", "is off", "a destination for what is sent", "unset it")
    tell_mlflow(print)
    left = all_owed()
    for place in sorted({note.to for note in left}):
        print(f"still to be told to {place}: {listed(note.told for note in left if note.to == place)}")
    if not left:
        print("MLflow knows of every version and night")
    return 1 if left else 0


def nights(
    output: Annotated[Path, typer.Option(metavar="FILE", help="the page to write")] = Path("history/nights.html"),
) -> None:
    """Write a page of all nights: their results, mAP, class rates and estimated noise.

    Example: bmix nights --output nights.html
    """
    from bmix.pipeline.checks import check_output
    from bmix.retraining.page import write_page

    check_output(output)
    print(f"{write_page(output)} nights in {output}")


MODELS: dict[str, Callable[..., int | None]] = {
    "list": list_models,
    "promote": promote,
    "rollback": rollback,
    "restore": restore,
    "sync": sync,
}
models_app = typer.Typer(cls=Commands, rich_markup_mode=None, context_settings={"help_option_names": ["--help", "-h"]})
for name, function in MODELS.items():
    models_app.command(name, cls=Command, rich_help_panel="Commands")(function)


@models_app.callback(invoke_without_command=True)
def models(ctx: typer.Context) -> None:
    """List the models that nights accepted, choose the one that is served, go back to an earlier one."""
    if ctx.invoked_subcommand is None:
        print(ctx.get_help())
        raise typer.Exit(2)
