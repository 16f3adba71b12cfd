"""The verdict on every label, epoch by epoch: gathered step by step, kept compressed, handed on as a table."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from bmix.method.refine import AMBIGUOUS, CLEAN, RELABELLED
from bmix.support.files import replaced
from bmix.training.ranks import Ranks

if TYPE_CHECKING:
    import pyarrow

VERDICT_HISTORY = "verdict_history.parquet"
WORDS = ("clean", "relabelled to 0", "relabelled to 1", "ambiguous")
"""What the table says of a label in an epoch; a code is the position in it, and so 0 is clean."""
COLUMN = "epoch_{}"
_CODE_OF = {CLEAN: 0, RELABELLED: 1, AMBIGUOUS: 3}
_STATE = "verdicts."
_ROWS_TOGETHER = 2**17
"""Rows of the table that are looked through together for an image."""


class EpochVerdicts:
    """The verdicts of one epoch's steps, which see every image once, kept on the device until the epoch ends.

    images: of the training set. Nothing is kept of an epoch that manages no labels.
    """

    def __init__(self, images: int) -> None:
        self._images = images
        self._codes_NK: Tensor | None = None

    def add(self, rows_B: Tensor, given_BK: Tensor, refined_BK: Tensor | None, verdict_BK: Tensor | None) -> None:
        """Note one step's random images; refined_BK: None where every label keeps its given value."""
        if verdict_BK is None:
            return
        if self._codes_NK is None:
            size = (self._images, verdict_BK.shape[1])
            self._codes_NK = torch.zeros(size, dtype=torch.uint8, device=verdict_BK.device)
        value_BK = given_BK if refined_BK is None else refined_BK
        relabelled_BK = _CODE_OF[RELABELLED] + value_BK.to(torch.uint8)
        kept_BK = (verdict_BK == AMBIGUOUS).to(torch.uint8) * _CODE_OF[AMBIGUOUS]
        self._codes_NK[rows_B] = torch.where(verdict_BK == RELABELLED, relabelled_BK, kept_BK)

    def sum_up(self, ranks: Ranks) -> np.ndarray | None:
        """The codes of all images, uint8 (N, K), over the processes; None if no label was managed."""
        if self._codes_NK is None:
            return None
        # Every image is one process's, and 0 in the others.
        ranks.sum_(self._codes_NK)
        return self._codes_NK.cpu().numpy()


@dataclass
class VerdictHistory:
    """The codes of every managed epoch so far, compressed."""

    epochs: dict[int, bytes] = field(default_factory=dict)

    def add(self, epoch: int, codes_NK: np.ndarray | None) -> None:
        """Keep one epoch's codes; None: it managed no labels."""
        if codes_NK is not None:
            self.epochs[epoch] = zlib.compress(codes_NK.tobytes(), 1)

    def codes(self, epoch: int, shape: tuple[int, ...]) -> np.ndarray:
        """uint8 (N, K); ValueError if what is kept is not of this shape or damaged."""
        try:
            return np.frombuffer(zlib.decompress(self.epochs[epoch]), np.uint8).reshape(shape)
        except zlib.error as error:
            raise ValueError(f"the verdicts of epoch {epoch} are damaged") from error

    def state(self) -> dict[str, Tensor]:
        """What goes into a checkpoint."""
        return {
            f"{_STATE}{epoch}": torch.frombuffer(bytearray(content), dtype=torch.uint8)
            for epoch, content in self.epochs.items()
        }

    @classmethod
    def of_state(cls, state: dict[str, Tensor], shape: tuple[int, ...]) -> VerdictHistory:
        """What `state` gave among other tensors, of N images and K classes; ValueError where that is damaged."""
        kept = {name.removeprefix(_STATE): value for name, value in state.items() if name.startswith(_STATE)}
        epochs = sorted((int(number), value.numpy().tobytes()) for number, value in kept.items())
        found = cls(dict(epochs))
        for epoch in found.epochs:
            found.codes(epoch, shape)
        return found

    def write(self, path: Path, image_ids: Sequence[str], class_names: Sequence[str], given_NK: np.ndarray) -> None:
        """Write the table: a row per label that was not clean in every managed epoch, in image order, then class order.

        Columns: `id`, `class`, `given` (0 or 1), and for each managed epoch one of WORDS. Equal runs give equal bytes.
        """
        from pyarrow import parquet

        with replaced(path) as temporary:
            table = self._table(image_ids, class_names, given_NK)
            parquet.write_table(table, temporary, compression="zstd", row_group_size=_ROWS_TOGETHER)

    def _table(self, image_ids: Sequence[str], class_names: Sequence[str], given_NK: np.ndarray) -> pyarrow.Table:
        import pyarrow

        listed_NK = np.zeros(given_NK.shape, bool)
        for epoch in self.epochs:
            listed_NK |= self.codes(epoch, given_NK.shape) != 0
        image_M, class_M = (places.astype(np.int32) for places in np.nonzero(listed_NK))
        columns = {
            "id": pyarrow.DictionaryArray.from_arrays(image_M, pyarrow.array(image_ids, pyarrow.string())),
            "class": pyarrow.DictionaryArray.from_arrays(class_M, pyarrow.array(class_names, pyarrow.string())),
            "given": pyarrow.array(given_NK[listed_NK].astype(np.int8)),
        }
        for epoch in self.epochs:
            code_M = self.codes(epoch, given_NK.shape)[listed_NK].astype(np.int8)
            columns[COLUMN.format(epoch)] = pyarrow.DictionaryArray.from_arrays(code_M, pyarrow.array(WORDS))
        return pyarrow.table(columns)


def read_image_history(path: Path, image_id: str) -> tuple[list[int], dict[str, list[str]]]:
    """The managed epochs, and of one image the WORDS of each by class; a class without an entry was clean throughout.

    Raises ValueError or OSError for a file that the stage train did not write.
    """
    import pandas as pd
    from pyarrow import parquet

    prefix = COLUMN.format("")
    names = [name for name in parquet.read_schema(path).names if name.startswith(prefix)]
    table = pd.read_parquet(path, columns=["class", *names], filters=[("id", "==", image_id)])
    words = {str(row[0]): [str(word) for word in row[1:]] for row in table.itertuples(index=False, name=None)}
    return [int(name.removeprefix(prefix)) for name in names], words
