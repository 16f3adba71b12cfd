"""All that a table leaves in its folder: CSV files, pictures and a page."""

from __future__ import annotations

from pathlib import Path

from bmix.ablation.figure import draw_ranks, draw_table
from bmix.ablation.page import write_csvs, write_page
from bmix.ablation.ranking import rank_methods
from bmix.ablation.results import Results


def write_report(results: Results, folder: Path, command: str) -> Path:
    """Write everything into `folder`; the path of the page. command: what makes it again, shown on the page."""
    name = results.grid.name
    folder.mkdir(parents=True, exist_ok=True)
    write_csvs(results, folder)
    extra: list[str] = []
    if results.grid.analysis is None:
        draw_table(results, folder / f"{name}.png")
    else:
        # It imports torch, which tables do without.
        from bmix.ablation.analyses import analyse

        extra = analyse(results, folder)
    ranking = rank_methods(results)
    if ranking is not None:
        draw_ranks(ranking, folder / f"{name}-ranks.png")
    return write_page(results, folder, command, ranking, extra)
