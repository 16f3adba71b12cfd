"""Commands about single labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bmix.cli.options import one_of, whole_number

VALUES = ("both", "present", "absent")
_SHOWN = 40
"""Characters of a cell that the table for people shows."""


def suspects(
    count: Annotated[
        int, typer.Option("-n", "--count", metavar="N", parser=whole_number(1), help="how many labels")
    ] = 24,
    split: Annotated[str, typer.Option(metavar="NAME", help="train, val, test, ...")] = "train",
    class_name: Annotated[str, typer.Option("--class", metavar="NAME", help="of this class alone")] = "",
    value: Annotated[
        str,
        typer.Option(
            metavar="VALUE",
            parser=one_of(VALUES),
            autocompletion=lambda: list(VALUES),
            help="present: perhaps wrong labels; absent: perhaps missing ones; both",
        ),
    ] = "both",
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="write them as CSV too, as many as -n says")
    ] = None,
) -> None:
    """List the labels that are likeliest to be wrong, as the stage audit judged them, the likeliest first.

    Example: bmix suspects -n 50 --class cat --output to-review.csv
    """
    from bmix.audit.suspects import suspects as find
    from bmix.data.manifest import read_manifest
    from bmix.pipeline.checks import check_output
    from bmix.support.spreadsheet import write_named_csv

    if output:
        check_output(output)
    found = find(Path("data/audit"), read_manifest(Path("data/prepared")), count, split, class_name, value)
    shown = found.drop(columns="quality")
    print(
        shown.to_string(
            index=False,
            formatters={"p_wrong": "{:.3f}".format, **dict.fromkeys(("id", "file", "class", "labels"), _cut)},
        )
    )
    if output:
        write_named_csv(output, found, ("id", "file", "class", "labels"))
        print(f"{len(found)} labels written to {output}")


def _cut(cell: Any) -> str:
    text = " ".join(str(cell).split())
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
