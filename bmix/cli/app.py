"""All commands, by the panels of the help."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from bmix.cli.command import Command, Commands
from bmix.cli.compare import compare
from bmix.cli.data import check, embed
from bmix.cli.labels import labels_app
from bmix.cli.look import runs, table
from bmix.cli.models import models_app, nights
from bmix.cli.run import repro
from bmix.cli.use import export_model, predict, serve

PANELS: dict[str, list[Callable[..., int | None]]] = {
    "Run": [repro],
    "Compare": [compare],
    "Look": [table, runs, nights],
    "Use": [predict, export_model, serve],
    "Data": [check, embed],
}

app = typer.Typer(
    cls=Commands,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
    epilog="Run it in the folder that holds params.yaml. bmix COMMAND --help shows a command's options and an example.",
)
for panel, functions in PANELS.items():
    for function in functions:
        app.command(cls=Command, rich_help_panel=panel)(function)
app.add_typer(labels_app, name="labels", rich_help_panel="Labels")
app.add_typer(models_app, name="models", rich_help_panel="Models")


def _show_version(wanted: bool) -> None:
    if wanted:
        from bmix import __version__

        print(f"bmix {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def bmix(
    ctx: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="show the version")
    ] = False,
) -> None:
    """Train multi-label classifiers on imbalanced data with wrong labels, and learn which labels are wrong."""
    if ctx.invoked_subcommand is None:
        print(ctx.get_help())
        raise typer.Exit(2)
