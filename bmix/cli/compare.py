"""Commands that set runs side by side."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from bmix.cli.options import Edits, choice, whole_number
from bmix.cli.show import Lines, record
from bmix.recipes import RECIPES

COMPARED = ("bce", "mixup", "balancemix")


Recipes = Annotated[
    list[str],
    choice(RECIPES, "RECIPE...", f"one or more of {', '.join(RECIPES)}"),
]
Seeds = Annotated[
    list[int],
    typer.Option(
        metavar="SEED...",
        parser=whole_number(0),
        show_default=False,
        help="seeds of training and noise, e.g. 0 1 2; without it those of params.yaml; data.seed stays",
    ),
]
Jobs = Annotated[int, typer.Option(metavar="N", parser=whole_number(1), help="runs at a time")]
Output = Annotated[
    Path | None, typer.Option(metavar="FILE", help="write the table as CSV too, shares in [0, 1]", show_default=False)
]


def compare(
    recipes: Recipes = list(COMPARED),  # noqa: B006
    seeds: Seeds = [],  # noqa: B006
    jobs: Jobs = 1,
    output: Output = None,
    edits: Edits = [],  # noqa: B006
) -> int:
    """Run several recipes on the same data and show them side by side.

    Each recipe and seed is a run of its own, in a copy of the project; it is not repeated while nothing changed. With
    several seeds the table shows mean ± standard error.

    Example: bmix compare --recipes bce balancemix --seeds 0 1 2 --jobs 2
    """
    from bmix.ablation.compare import columns, folders, plan_runs, run_all
    from bmix.pipeline.checks import check_output
    from bmix.pipeline.table import render, where_is_the_record, write_csv_table

    recipes, seeds = list(dict.fromkeys(recipes)), list(dict.fromkeys(seeds))
    if output:
        check_output(output)
    work = plan_runs(recipes, seeds, edits)
    with Lines() as lines:
        lines.tell(folders(work))
        faults = run_all(work, jobs, lines.tell)
    by_recipe = columns(work, faults)
    if any(by_recipe.values()):
        seeds_told = f", mean ± standard error over {len(seeds)} seeds" if len(seeds) > 1 else ""
        print(f"\n{work.cells[0].params.evaluate.split} split, last epoch{seeds_told}\n\n{render(by_recipe)}\n")
        print(where_is_the_record(record()))
    if output:
        write_csv_table(output, by_recipe)
    for title, fault in faults.items():
        print(f"error: {title}: {fault}", file=sys.stderr)
    return 1 if faults else 0
