"""Progress of a training run: a line per epoch, and how long the steps that are left will take."""

from __future__ import annotations

from types import TracebackType

from bmix.support.pace import Pace
from bmix.training.loop import Trainer

QUIET_SECONDS = 20.0
"""Between two lines within an epoch."""


class Progress:
    """Prints a line per epoch, and tells within an epoch how far it is; of several processes the first does."""

    def __init__(self, trainer: Trainer, until: int) -> None:
        self.trainer, self.until = trainer, until
        self._first = trainer.epoch
        self._pace: Pace | None = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        if self._pace:
            self._pace.__exit__(kind, error, trace)

    def on_step(self, epoch: int, step: int, steps: int) -> None:
        """Called after every step."""
        if not self.trainer.ranks.first:
            return
        if self._pace is None:
            total, start = self.until * steps, self._first * steps
            self._pace = Pace("trained", total, start, "steps", QUIET_SECONDS).__enter__()
        self._pace.tell((epoch - 1) * steps + step)

    def on_epoch(self) -> None:
        """Called after every epoch."""
        if not self.trainer.ranks.first:
            return
        row, seconds = self.trainer.tables.history[-1], self.trainer.tables.seconds[-1]
        parts = [
            f"epoch {row['epoch']}/{self.trainer.plan.epochs} {row['phase']}",
            f"loss {row['train_loss']:.4f}",
        ]
        parts += self.trainer.recipe.told()
        if row["given_loss"] is not None:
            parts.append(f"given {row['given_loss']:.4f}")
        if row["val_map"] is not None:
            parts.append(f"val mAP {100 * row['val_map']:.1f}")
        if row["clean"] is not None:
            parts.append(
                f"of the given positives {row['clean_positives']:.1%} clean, "
                f"{row['relabelled_positives']:.1%} re-labelled, {row['ambiguous_positives']:.1%} ambiguous"
            )
        parts.append(f"{seconds:.1f} s")
        if self._pace:
            done = self._pace.total // self.until * row["epoch"]
            parts.append(f"about {self._pace.at(done).left} left")
        print("  ".join(parts), flush=True)
