"""A table's page: Markdown for people, CSV for programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bmix.ablation.measures import MEASURES
from bmix.ablation.published import DATA_NAMES, data_shown, published, said
from bmix.ablation.ranking import METHOD_VIEWS, Ranking
from bmix.ablation.results import Results
from bmix.ablation.setup import differences_to_paper, shared_settings
from bmix.ablation.statistics import CONFIDENCE, Difference, Mean
from bmix.support.files import write_text
from bmix.support.spreadsheet import write_named_csv

NONE = "–"
_BEYOND = {True: " ▲", False: " ▼"}


def write_csvs(results: Results, folder: Path) -> None:
    """`NAME.csv`, a row per row, setting and group of the table, and `NAME-cells.csv`, a row per cell; in percent."""
    import pandas as pd

    name, data = results.grid.name, _paper_data(results)
    rows = []
    for row, column, group in _places(results):
        mean, difference = results.mean(row, column, group), results.difference(row, column, group)
        rows.append(
            {
                "row": row,
                "setting": column,
                "group": group,
                "runs": mean.count if mean else 0,
                "mean": mean and mean.mean,
                "standard_error": mean and mean.error,
                "difference": difference and difference.mean,
                "low": difference and difference.low,
                "high": difference and difference.high,
                "beyond_noise": difference.beyond_noise if difference else False,
                "paper": published(results.grid, data, row, column, group) if data else None,
            }
        )
    frame = pd.DataFrame(rows)
    numbers = ["mean", "standard_error", "difference", "low", "high", "paper"]
    frame[numbers] = frame[numbers].astype(float).round(4)
    write_named_csv(folder / f"{name}.csv", frame, ("row", "setting"))
    write_named_csv(folder / f"{name}-cells.csv", _cell_frame(results), ("row", "setting", "hole"))


def write_page(
    results: Results, folder: Path, command: str, ranking: Ranking | None, extra: Sequence[str] = ()
) -> Path:
    """Write `NAME.md` beside the figure `NAME.png`; its path. extra: further Markdown, after the tables."""
    path = folder / f"{results.grid.name}.md"
    write_text(path, page(results, command, ranking, extra))
    return path


def page(results: Results, command: str, ranking: Ranking | None = None, extra: Sequence[str] = ()) -> str:
    """The page as Markdown."""
    grid, data = results.grid, _paper_data(results)
    lines = [f"# {grid.title}", "", *([grid.about, ""] if grid.about else []), "```sh", command, "```", ""]
    lines += [_explained(results, data), ""]
    for group in grid.groups:
        lines += [
            *([f"## {_titled(MEASURES[group].words)}", ""] if len(grid.groups) > 1 else []),
            *_mean_table(results, group, data),
            "",
        ]
    lines += [f"![{grid.title}]({grid.name}.png)", ""]
    lines += _difference_section(results)
    if ranking is not None:
        lines += _ranking_section(ranking, grid.name)
    lines += [*extra, *([""] if extra else [])]
    lines += _hole_section(results)
    lines += _setup_section(results, data)
    return "\n".join(lines).rstrip() + "\n"


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """Lines of a Markdown table; bars in cells are escaped."""
    body = [[str(cell).replace("|", "\\|") for cell in row] for row in [head, *rows]]
    return [
        "| " + " | ".join(body[0]) + " |",
        "|" + " --- |" * len(head),
        *("| " + " | ".join(row) + " |" for row in body[1:]),
    ]


def mean_told(mean: Mean | None, decimals: int = 1) -> str:
    """`78.9 ± 1.8`; without ± for a single run."""
    if mean is None:
        return NONE
    told = f"{mean.mean:.{decimals}f}"
    return told if mean.error is None else f"{told} ± {mean.error:.{decimals}f}"


def difference_told(difference: Difference | None, decimals: int = 1) -> str:
    """`+6.2 [−1.1, +13.5]`, and an arrow where 0 lies outside the interval."""
    if difference is None:
        return NONE
    told = signed(difference.mean, decimals)
    if difference.low is None or difference.high is None:
        return told
    arrow = _BEYOND[difference.mean > 0] if difference.beyond_noise else ""
    return f"{told} [{signed(difference.low, decimals)}, {signed(difference.high, decimals)}]{arrow}"


def signed(value: float, decimals: int = 1) -> str:
    """A number with its sign; what rounds to nothing is 0.0."""
    told = f"{value:+.{decimals}f}".replace("-", "−")
    return told[1:] if float(told[1:]) == 0 else told


def _titled(words: str) -> str:
    return words if words.startswith("mAP") else words[:1].upper() + words[1:]


def _places(results: Results) -> list[tuple[str, str, str]]:
    return [
        (row.name, column, group)
        for row in results.grid.rows
        for column in results.columns
        if column in row.settings or column not in results.grid.settings
        for group in results.grid.groups
    ]


def _paper_data(results: Results) -> str | None:
    return data_shown(results.grid, results.cells[0].params.data.source)


def _explained(results: Results, data: str | None) -> str:
    seeds = [seed for seed in results.seeds if seed is not None]
    split = results.cells[0].params.evaluate.split
    shown = " and ".join(dict.fromkeys(MEASURES[group].axis for group in results.grid.groups))
    told = f"{_titled(shown)} in percent on the split `{split}`, last epoch; "
    if len(seeds) > 1:
        told += f"mean ± standard error over the seeds {', '.join(map(str, seeds))} of training and noise."
    else:
        told += (
            f"one seed of training and noise{f' ({seeds[0]})' if seeds else ''}: no difference can be told from noise."
        )
    if data:
        told += f" In brackets {said(data)}."
    return told


def _mean_table(results: Results, group: str, data: str | None) -> list[str]:
    rows, decimals = [], MEASURES[group].decimals
    for row in results.grid.rows:
        cells = [row.name]
        for column in results.columns:
            told = mean_told(results.mean(row.name, column, group), decimals)
            paper = published(results.grid, data, row.name, column, group) if data else None
            cells.append(told if paper is None else f"{told} ({paper:.{decimals}f})")
        rows.append(cells)
    return markdown_table(["", *results.columns], rows)


def _difference_section(results: Results) -> list[str]:
    group = results.grid.groups[0]
    if len(results.grid.rows) < 2:
        return []
    rows = []
    for row in results.grid.rows:
        found = [results.difference(row.name, column, group) for column in results.columns]
        if any(found):
            rows.append([row.name, *(difference_told(one, MEASURES[group].decimals) for one in found)])
    if not rows:
        return []
    firsts = {column: results.first_row(column) for column in results.columns}
    same = len(set(firsts.values())) == 1
    than = f"`{next(iter(firsts.values()))}`" if same else "the first row of each column"
    about = f"Points of {MEASURES[group].words}, of the same seeds"
    if len(results.seeds) > 1:
        about += f"; in brackets the {100 * CONFIDENCE:.0f} % interval of Student's t for paired values"
        about += ", ▲ or ▼ where 0 lies outside it: beyond noise"
    return [f"## Difference to {than}", "", f"{about}.", "", *markdown_table(["", *results.columns], rows), ""]


def _ranking_section(ranking: Ranking, name: str) -> list[str]:
    head = ["", *ranking.views, "area, share of the worst"]
    rows = [
        [method, *(f"{ranking.ranks[view][method]:g}" for view in ranking.views), f"{ranking.area(method):.2f}"]
        for method in ranking.methods
    ]
    told = "; ".join(f"{view}: {METHOD_VIEWS[view]}" for view in ranking.views)
    return [
        "## Ranks",
        "",
        f"As in the paper's Figure 4, 1 is the best; a small area tells of versatility. {told}.",
        "",
        *markdown_table(head, rows),
        "",
        f"![Ranks]({name}-ranks.png)",
        "",
    ]


def _hole_section(results: Results) -> list[str]:
    missing = results.missing()
    if not missing:
        return []
    rows = [
        [cell.row, cell.setting, NONE if cell.seed is None else cell.seed, " ".join(why.split())]
        for cell, why in missing
    ]
    return ["## Cells without a result", "", *markdown_table(["row", "setting", "seed", "why"], rows), ""]


def _setup_section(results: Results, data: str | None) -> list[str]:
    ours = ", ".join(f"{words} {_word(value)}" for words, value in shared_settings(results.cells).items())
    lines = ["## Set-up", "", f"{ours[:1].upper()}{ours[1:]}.", ""]
    others = differences_to_paper(results.cells, data) if data else []
    if data and others:
        lines += [
            f"The paper's figures, on {DATA_NAMES.get(data, data)}, come from another set-up: differences within a "
            "table can be compared with them, its values cannot.",
            "",
            *markdown_table(["", "here", "paper"], [[words, _word(mine), _word(its)] for words, mine, its in others]),
            "",
        ]
    return lines


def _word(value: Any) -> str:
    return f"`{value}`" if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)


def _cell_frame(results: Results) -> Any:
    import pandas as pd

    holes = {cell.title: why for cell, why in results.missing()}
    rows = []
    for cell in results.cells:
        measures = results.measures.get(cell.title, {})
        shares = {name: None if value is None else round(100 * value, 6) for name, value in measures.items()}
        rows.append(
            {
                "row": cell.row,
                "setting": cell.setting,
                "seed": cell.seed,
                "run": cell.folder.name,
                "hole": " ".join(holes.get(cell.title, "").split()),
                **shares,
            }
        )
    return pd.DataFrame(rows).astype({"seed": "Int64"})
