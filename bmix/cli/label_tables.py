"""What `bmix labels` prints."""

from __future__ import annotations

from typing import Any

SHOWN = 40
"""Characters of a cell that the table for people shows; of the sentence that says why, three times as many."""


def print_measured(worth: dict[str, Any]) -> None:
    """What looking is worth, measured by the truth: of `bmix.labels.worth.measured_worth`."""
    wrong = worth["wrong"]
    print(f"The truth is known: {wrong:,} of them are wrong.")
    for count, precision in worth["precision"].items():
        if precision is not None:
            print(f"  of the first {count:>4} looked at {100 * precision:5.1f} % are wrong")
    curve = worth["curve"]
    if wrong:
        print(f"  for nine tenths of the wrong ones: the first {curve.looks_for(0.9):,}\n")


def print_estimate(estimate: Any) -> None:
    """How many labels are probably wrong, class by class: of `bmix.labels.worth.estimated_worth`."""
    from bmix.pipeline.table import aligned

    def interval(row: Any, name: str, known: bool = True) -> str:
        if not known or row[name] != row[name]:
            return "unknown"
        return f"{row[name]:.0f} ({row[f'{name}_low']:.0f} to {row[f'{name}_high']:.0f})"

    print("Estimated: how many labels are wrong, and how many to look at, from the top, to find nine tenths of them")
    for given, title in ((1, "given, perhaps wrong"), (0, "not given, perhaps missing")):
        rows = estimate[estimate["given"] == given]
        body = [
            [cut(row["class"]), f"{row['labels']:,}", interval(row, "wrong", row["judged"]), interval(row, "looks")]
            for row in rows.to_dict("records")
        ]
        total = rows[rows["judged"]]
        sums = [f"{total[f'wrong{end}'].sum():.0f}" for end in ("", "_low", "_high")]
        body.append(["all", f"{rows['labels'].sum():,}", f"{sums[0]} ({sums[1]} to {sums[2]})", ""])
        head = [title, "labels", "wrong (95 %)" if given else "missing (95 %)", "to look at"]
        print(f"\n{aligned([head, *body], lambda column: column > 0)}\n")


def cut(cell: Any, longest: int = SHOWN) -> str:
    """A cell on one line, at most `longest` characters."""
    text = " ".join(str(cell).split())
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
