"""The commands about single labels: `bmix labels ...`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bmix.cli.command import Command, Commands
from bmix.cli.label_tables import SHOWN, cut, print_estimate, print_measured
from bmix.cli.options import choice, whole_number

if TYPE_CHECKING:
    from bmix.labels.answers import Answer
    from bmix.labels.run import LabelledRun
    from bmix.labels.scored import Scored

FORMATS = ("csv", "parquet", "cleanlab", "coco", "fiftyone", "label-studio", "yolo")
ORDERS = ("score", "class", "spread")
VALUES = ("both", "present", "absent")


def _limit_of(value: Any) -> tuple[str, float]:
    """`0.98` or `cat=0.9` as class, "" for all, and probability."""
    if isinstance(value, tuple):
        return value
    name, _, number = str(value).rpartition("=")
    try:
        limit = float(number)
    except ValueError:
        limit = -1.0
    if not 0 <= limit <= 1:
        raise typer.BadParameter(f"{value} is not a probability from 0 to 1, or CLASS=PROBABILITY")
    return name, limit


Run = Annotated[
    str,
    typer.Option("--run", metavar="RUN", help="a run as bmix runs lists it, or its folder; without it, this folder"),
]
Split = Annotated[str, typer.Option(metavar="NAME", help="train, val, test, ...")]
ClassName = Annotated[str, typer.Option("--class", metavar="NAME", help="of this class alone")]
Value = Annotated[
    str,
    choice(VALUES, "VALUE", "present: perhaps wrong labels; absent: perhaps missing ones; both"),
]
AcceptAbove = Annotated[
    list[Any],
    typer.Option(
        metavar="P|CLASS=P...",
        parser=_limit_of,
        help="give labels the other value that are wrong with a probability above P; of one class, above its own P",
    ),
]
Answers = Annotated[
    Path | None,
    typer.Argument(metavar="ANSWERS", help="what bmix labels review wrote, or a CSV with id, class and answer"),
]
Plain = Annotated[bool, typer.Option("--plain", help="a plain table, not the form of the source's file")]


def show(run: Run = "", split: Split = "train") -> None:
    """Say what the order of doubted labels is worth: how many are wrong, and how many to look at to find them.

    Example: bmix labels show --run my-run
    """
    from bmix.evaluation.cautions import learnt_by_heart
    from bmix.labels.worth import estimated_worth, measured_worth, warnings
    from bmix.support.readers import Made

    opened, scored = _scored(run, split)
    judge = {"audit": "by the audit, out of fold", "network": "by the trained network"}[scored.judged_by]
    print(f"{len(scored.frame):,} labels of split {split}, judged {judge}\n")
    true_NK = opened.true(split)
    if true_NK is not None:
        print_measured(measured_worth(scored, true_NK, opened.classes))
    estimate = estimated_worth(scored)
    if len(estimate):
        print_estimate(estimate)
    history = ""
    if scored.judged_by == "network" and (opened.folder / "history.csv").is_file():
        from bmix.evaluation.inputs import HISTORY
        from bmix.support.readers import read_table

        table = read_table(opened.folder / "history.csv", HISTORY, Made.by_stage("", "train"))
        history = learnt_by_heart(table, opened.params.training.recipe)
    for sentence in warnings(scored, history):
        print(f"warning: {sentence}")


def worst(
    count: Annotated[
        int, typer.Option("-n", "--count", metavar="N", parser=whole_number(1), help="how many labels")
    ] = 24,
    split: Split = "train",
    class_name: ClassName = "",
    value: Value = "both",
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="write them as CSV too, as many as -n says")
    ] = None,
    run: Run = "",
) -> None:
    """List the labels that are likeliest to be wrong, the likeliest first, with what they should be and why.

    Example: bmix labels worst -n 50 --class cat --output to-review.csv
    """
    from bmix.labels.worst import NAMES, worst_labels
    from bmix.pipeline.checks import check_output
    from bmix.support.spreadsheet import write_named_csv

    if output:
        check_output(output)
    opened, scored = _scored(run, split)
    found = worst_labels(opened, scored, count, class_name, value)
    named: dict[str, Callable[..., str]] = dict.fromkeys(NAMES, cut) | {"why": lambda cell: cut(cell, 3 * SHOWN)}
    shown = found.drop(columns=["quality", *(["file"] if opened.image_root is None else [])])
    print(
        shown.to_string(
            index=False,
            formatters={"p_wrong": "{:.3f}".format, **{name: how for name, how in named.items() if name in shown}},
        )
    )
    if output:
        write_named_csv(output, found.assign(answer=""), NAMES)
        print(f"{len(found)} labels written to {output}")


def apply(
    output: Annotated[Path, typer.Option(metavar="FILE", help="the table to write; a note is written beside it")],
    answers: Answers = None,
    accept_above: AcceptAbove = [],  # noqa: B006
    split: Split = "train",
    plain: Plain = False,
    run: Run = "",
) -> None:
    """Make answers, or a rule, into a new table of labels; data.path names it then.

    Answered labels are marked as reviewed: they are trusted, whatever audit or recipe looks at them later. A rule
    touches the labels of one split that nobody answered.

    Example: bmix labels apply answers.jsonl --accept-above 0.98 cat=0.9 --output corrected.csv
    """
    from bmix.labels.apply import apply_changes
    from bmix.labels.changes import changes_of
    from bmix.labels.run import LabelledRun, find_run
    from bmix.pipeline.checks import check_output
    from bmix.sources.provenance import note_beside

    check_output(output)
    opened, rule = LabelledRun.open(find_run(run)), dict(accept_above)
    changes = changes_of(opened, _standing(opened, answers), rule, split)
    if not changes.looked_at:
        raise typer.BadParameter("nothing to apply: name a file of answers, or a rule by --accept-above")
    settings = apply_changes(opened, changes, output, answers, rule, split, plain)
    for by, counts in changes.counts().items():
        print(f"by {by}: " + ", ".join(f"{count} {what}" for what, count in counts.items()))
    print(f"written to {output}, and where each change came from to {note_beside(output)}")
    print(f"train on it: --set {' '.join(settings)}")


def export(
    format: Annotated[
        str,
        choice(FORMATS, "FORMAT", ", ".join(FORMATS)),
    ],
    output: Annotated[Path, typer.Option(metavar="FILE", help="the file to write; of fiftyone and yolo a folder")],
    answers: Answers = None,
    accept_above: AcceptAbove = [],  # noqa: B006
    split: Split = "train",
    plain: Plain = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="replace a folder that an earlier export to fiftyone or yolo wrote")
    ] = False,
    run: Run = "",
) -> None:
    """Write the labels for people and other tools: corrected by answers or a rule, or with suggestions beside them.

    Corrected, a table or COCO's JSON is a copy of the file that the labels came from: its columns, their order and all
    that nothing changes are equal byte for byte.

    Example: bmix labels export answers.jsonl --format csv --output corrected.csv
    """
    from bmix.labels.changes import changes_of
    from bmix.labels.export import FOLDERS, export_labels
    from bmix.labels.formats.folders import NOTE, refuse_folder
    from bmix.labels.run import LabelledRun, find_run
    from bmix.pipeline.checks import check_output

    if format in FOLDERS:
        refuse_folder(output, format, replace)
    check_output(output / NOTE if format in FOLDERS else output)
    opened = LabelledRun.open(find_run(run))
    changes = changes_of(opened, _standing(opened, answers), dict(accept_above), split)
    print(f"{output}: {export_labels(opened, changes, format, output, plain)}")


def explain(
    id: Annotated[str, typer.Argument(metavar="ID", help="of an image")],
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="write it as a page too, the picture in it")
    ] = None,
    run: Run = "",
) -> None:
    """Say of one image what each of its labels was judged by, and what was made of it.

    Example: bmix labels explain 000012 --output 000012.html
    """
    from bmix.labels.explain import explain as explained
    from bmix.labels.run import LabelledRun, find_run
    from bmix.pipeline.checks import check_output
    from bmix.support.files import write_text

    if output:
        check_output(output)
    found = explained(LabelledRun.open(find_run(run)), id)
    print(found.text())
    if output:
        write_text(output, found.page())
        print(f"written to {output}")


def review(
    output: Annotated[
        Path, typer.Option(metavar="FILE", help="where every answer is added; a review that was broken off goes on")
    ] = Path("answers.jsonl"),
    budget: Annotated[
        int, typer.Option(metavar="N", parser=whole_number(1), help="how many labels are asked about at most")
    ] = 500,
    order: Annotated[
        str,
        choice(
            ORDERS,
            "ORDER",
            "score: the likeliest to be wrong first; class: class after class; spread: of all classes in turn",
        ),
    ] = "score",
    split: Split = "train",
    class_name: ClassName = "",
    value: Value = "both",
    port: Annotated[
        int, typer.Option(metavar="PORT", parser=whole_number(0, 65535), help="of this machine; 0 takes a free one")
    ] = 8765,
    run: Run = "",
) -> None:
    """Answer doubted labels on a page of this machine, by keys: accept, right, other, skip, undo.

    Every answer is in the file before the next picture shows. Several people may use the page at once.

    Example: bmix labels review --budget 100 --output answers.jsonl
    """
    from bmix.labels.answers import read_answers
    from bmix.labels.changes import labels_by_id
    from bmix.labels.review.queue import build_queue
    from bmix.labels.review.server import build_app, serve
    from bmix.labels.review.session import Review
    from bmix.pipeline.checks import check_output

    if output.suffix.lower() != ".jsonl":
        raise typer.BadParameter(f"{output} does not end in .jsonl")
    check_output(output)
    opened, scored = _scored(run, split)
    questions = build_queue(opened, scored, budget, order, class_name, value)
    before = read_answers(output, opened.classes, labels_by_id(opened)) if output.is_file() else []
    root = opened.image_root
    files = None if root is None else [root / path for path in opened.manifest.paths(split)]
    app = build_app(Review(questions, output, opened.classes, before), files, opened.classes)
    serve(app, output, port, lambda address: print(f"{address} asks about {len(questions)} labels; Ctrl-C ends it"))


LABELS: list[Callable[..., int | None]] = [show, worst, explain, review, export, apply]
labels_app = typer.Typer(cls=Commands, rich_markup_mode=None, context_settings={"help_option_names": ["--help", "-h"]})
for function in LABELS:
    labels_app.command(cls=Command, rich_help_panel="Commands")(function)


@labels_app.callback(invoke_without_command=True)
def labels(ctx: typer.Context) -> None:
    """Look at single labels: which are likely wrong, why, what they should be; review, mend and export them."""
    if ctx.invoked_subcommand is None:
        print(ctx.get_help())
        raise typer.Exit(2)


def _scored(run: str, split: str) -> tuple[LabelledRun, Scored]:
    from bmix.labels.run import LabelledRun, find_run
    from bmix.labels.scored import read_scored

    opened = LabelledRun.open(find_run(run))
    return opened, read_scored(opened, split)


def _standing(run: LabelledRun, answers: Path | None) -> list[Answer]:
    """The answers in a file that hold; none without a file."""
    from bmix.labels.answers import read_answers, standing
    from bmix.labels.changes import labels_by_id

    return [] if answers is None else standing(read_answers(answers, run.classes, labels_by_id(run)))
