"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any

import typer

from bmix.support.errors import nearest


def whole_number(least: int, most: int | None = None) -> Callable[[str | int], int]:
    """What reads an option's value, or takes its default, as a whole number from `least` on, or up to `most`."""

    def read(value: str | int) -> int:
        text = str(value)
        if text.isascii() and text.isdigit() and least <= int(text) <= (int(text) if most is None else most):
            return int(text)
        raise typer.BadParameter(f"{text} is not a whole number from {least} {'on' if most is None else f'to {most}'}")

    return read


def one_of(names: Iterable[str]) -> Callable[[str], str]:
    """What reads an option's value, one of `names`."""
    known = list(names)

    def read(value: str) -> str:
        if value not in known:
            raise typer.BadParameter(f"{value} is none of them{nearest(value, known)}")
        return value

    return read


def choice(names: Iterable[str], metavar: str, help: str, show_default: bool = True) -> Any:
    """An option whose value is one of `names`, which shells complete."""
    known = list(names)
    return typer.Option(
        metavar=metavar, parser=one_of(known), autocompletion=lambda: known, help=help, show_default=show_default
    )


def complete_edit(incomplete: str) -> list[str]:
    """Keys of params.yaml and presets that an edit may begin with."""
    from bmix.params import known_keys
    from bmix.pipeline.presets import preset_names

    return [*(f"{key}=" for key in known_keys()), *preset_names()]


Edits = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="KEY=VALUE...",
        autocompletion=complete_edit,
        help="edit params in a copy of the project below .bmix/runs/; params.yaml stays. A name without = applies the "
        "preset of that name in params/",
    ),
]
"""`--set training.epochs=40 noise.rate=0.2`, `--set paper-voc clean`: of every command that opens the project."""

Name = Annotated[
    str,
    typer.Option(
        "--name",
        metavar="NAME",
        show_default=False,
        help="name the run: it is made in the copy .bmix/runs/NAME and bears the name in MLflow",
    ),
]
"""`--name NAME`: of every command that makes one run."""
