"""What papers publish, by the names of our tables, in percent.

`published.csv` holds the mAP of the BalanceMix paper (Song et al., AAAI 2024, arXiv 2312.07087): its Tables 1-5, 7, 8
and 10-13, at the last epoch. The last row of Table 5 stands in Table 13 too, where the paper refers to it. Of Pascal
VOC no class is many-shot. Of Gaussian affinity (Hayat et al., ICCV 2019, arXiv 1901.07711), whose paper prints curves,
it holds the macro-F1 of a public re-implementation; of rotation pre-training and pseudo-labels (Yang and Xu, NeurIPS
2020, arXiv 2006.07529) the top-1 errors of ResNet-32 after 200 epochs on the whole of long-tailed CIFAR-10.
"""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

from bmix.ablation.grid import Grid
from bmix.ablation.measures import MEASURES

FILE = Path(__file__).parent / "published.csv"
DATA_NAMES = {
    "coco": "MS-COCO 2014",
    "voc": "Pascal VOC",
    "deepfashion": "DeepFashion",
    "mnist": "MNIST",
    "cifar": "CIFAR-10",
}
_PAPER = "what the paper publishes, on {}, mean of three seeds"
_SAID = {
    "mnist": "what a public re-implementation publishes, on all of {}",
    "cifar": "what the paper publishes, on up to 5,000 pictures a class of {}, by a ResNet-32 after 200 epochs",
}


def published(grid: Grid, data: str, row: str, column: str, group: str) -> float | None:
    """The paper's figure for a cell of a table on its data set `data`; None where it has none."""
    for table in (grid.paper or "").split():
        value = _numbers().get((table, data, row, column), {}).get(group)
        if value is not None:
            return value
    return None


def data_shown(grid: Grid, source: str) -> str | None:
    """The paper's data set whose figures stand beside ours: the same if it has that one, else the table's first."""
    if not grid.paper or not grid.data:
        return None
    return source if source in grid.data else grid.data[0]


def said(data: str) -> str:
    """What the published figures of a data set are, for a sentence."""
    return _SAID.get(data, _PAPER).format(DATA_NAMES.get(data, data))


@cache
def _numbers() -> dict[tuple[str, str, str, str], dict[str, float]]:
    with FILE.open(encoding="utf-8", newline="") as file:
        return {
            (line["table"], line["data"], line["row"], line["setting"]): {
                group: float(line[group]) for group in MEASURES if line.get(group)
            }
            for line in csv.DictReader(file)
        }
