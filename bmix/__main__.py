"""`python -m bmix`: check the input, run the pipeline, compare recipes, show the table."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from types import FrameType

from bmix.embedding.options import add_embed_arguments
from bmix.recipes import RECIPES
from bmix.support import console

EXIT_TERMINATED = 143
COMPARED = ("bce", "mixup", "balancemix")


def main() -> None:
    """Read the command line and run the command."""
    # A stage must not outlive the command: SystemExit passes through the clean-up that stops it.
    signal.signal(signal.SIGTERM, _terminate)
    console.run(_run)


def _run() -> int | None:
    arguments = parser().parse_args()
    status: int | None = arguments.command(arguments)
    return status


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="python -m bmix", description=__doc__, epilog="Run it beside params.yaml.")
    commands = top.add_subparsers(required=True, metavar="command")

    def add(name: str, command: object, text: str) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=text, description=text)
        one.set_defaults(command=command)
        return one

    def add_edits(one: argparse.ArgumentParser) -> None:
        text = (
            "edit params in a copy of the project below .bmix/runs/, e.g. --set training.epochs=40 noise.rate=0.2; "
            "a name without = applies the preset of that name in params/, e.g. --set paper-voc clean"
        )
        one.add_argument("--set", dest="edits", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help=text)

    add_edits(add("check", check, "check params.yaml and the data that it names; nothing is run"))
    add_edits(add("repro", repro, "bring every stage up to date and show the result"))
    add_embed_arguments(add("embed", embed, "turn the prepared images into features by a frozen backbone"))
    add("table", table, "show the result of the last run in this folder")
    one = add("compare", compare, "run several recipes on the same data and show them side by side")
    known = ", ".join(RECIPES)
    one.add_argument("--recipes", nargs="+", choices=list(RECIPES), default=COMPARED, metavar="RECIPE", help=known)
    text = "seeds of training and noise, e.g. 0 1 2; without it those of params.yaml; data.seed stays"
    one.add_argument("--seeds", nargs="+", type=_seed, metavar="SEED", help=text)
    one.add_argument("--jobs", type=_jobs, default=1, metavar="N", help="runs at a time (1)")
    one.add_argument("--output", type=Path, metavar="FILE", help="write the table as CSV, shares in [0, 1]")
    add_edits(one)
    return top


def check(arguments: argparse.Namespace) -> None:
    """`check`: InputError where params or data cannot be used; what was understood of them otherwise."""
    from bmix.pipeline.checks import check_inputs, edited_params

    print("\n".join(check_inputs(edited_params(arguments.edits)[1])))
    print("params and data are fit for use")


def repro(arguments: argparse.Namespace) -> int:
    """`repro`: checks, `dvc repro`, table; 1 where a stage failed."""
    from bmix.pipeline.projects import open_project
    from bmix.pipeline.repro import PipelineError, reproduce

    project = open_project(arguments.edits)
    if project.folder != Path():
        print(f"runs in {project.folder}", flush=True)
    try:
        reproduce(project.folder, tell=_tell, environment=project.environment)
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    _show(project.folder)
    return 0


def embed(arguments: argparse.Namespace) -> None:
    """`embed`: a file for the source `features`."""
    from bmix.embedding.embed import run

    run(arguments)


def table(_arguments: argparse.Namespace) -> None:
    """`table`: the result as it stands in metrics.json."""
    _show(Path())


def compare(arguments: argparse.Namespace) -> int:
    """`compare`: every recipe and seed in its copy; 1 where a run failed."""
    from bmix.pipeline.checks import check_output
    from bmix.pipeline.compare import columns, folders, plan_runs, run_all
    from bmix.pipeline.table import render, where_is_the_record, write_csv_table

    if arguments.output:
        check_output(arguments.output)
    recipes, seeds = list(dict.fromkeys(arguments.recipes)), list(dict.fromkeys(arguments.seeds or []))
    runs = plan_runs(recipes, seeds, arguments.edits)
    print(folders(runs), flush=True)
    measures, faults = run_all(runs, arguments.jobs, _tell)
    by_recipe = columns(runs, measures)
    if any(by_recipe.values()):
        seeds_told = f", mean ± standard error over {len(seeds)} seeds" if len(seeds) > 1 else ""
        print(f"\n{runs[0].project.params.evaluate.split} split, last epoch{seeds_told}\n\n{render(by_recipe)}\n")
        print(where_is_the_record(_record()))
    if arguments.output:
        write_csv_table(arguments.output, by_recipe)
    for fault in faults:
        print(f"error: {fault}", file=sys.stderr)
    return 1 if faults else 0


def _show(folder: Path) -> None:
    from bmix.pipeline.table import read_measures, render, where_to_look

    print(f"\n{render({'result': [read_measures(folder)]})}\n\n{where_to_look(folder, _record())}")


def _record() -> str:
    from bmix.tracking.destination import destination

    return destination().shown


def _tell(line: str) -> None:
    print(line, flush=True)


def _seed(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text} is no seed: a whole number from 0 on")
    return int(text)


def _jobs(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no number of runs: a whole number from 1 on")
    return int(text)


def _terminate(_number: int, _frame: FrameType | None) -> None:
    sys.exit(EXIT_TERMINATED)


if __name__ == "__main__":
    main()
