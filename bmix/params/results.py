"""The sections of params.yaml that say how models are measured, and which are accepted."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, model_validator

from bmix.params.section import Cut, Section, Share, one_of


def _is_held_out(split: str) -> bool:
    return re.fullmatch(r"val|test(-[a-z0-9-]+)?", split) is not None


class EvaluateParams(Section):
    """How the trained model and its verdicts are measured and shown."""

    split: Annotated[str, one_of(["val", "test", "test-NAME"], _is_held_out)] = Field(
        description="the split whose mAP is the result; NAME: small letters, digits and dashes"
    )
    many: Cut = Field(
        description="many-shot: at least this many training positives; auto: a third of the classes in each group"
    )
    medium: Cut = Field(description="medium-shot: at least this many, fewer than many; auto, as many is")
    curve_points: int = Field(ge=10, le=10_000, description="points kept of each precision-recall curve")
    precision: float = Field(
        ge=0, le=1, description="of the thresholds per class, chosen on val; 0: those with the best F1"
    )

    @model_validator(mode="after")
    def _groups_in_order(self) -> EvaluateParams:
        if isinstance(self.many, str) or isinstance(self.medium, str):
            if self.many != self.medium:
                raise ValueError(
                    f"many is {self.many} and medium is {self.medium}; give both as numbers, or both as auto"
                )
        elif self.medium >= self.many:
            raise ValueError(f"medium {self.medium} is not below many {self.many}")
        return self


class RetrainParams(Section):
    """What a night of `python -m flows.retrain` accepts; no stage depends on it."""

    gate_data: bool = Field(description="hold a night's data against the last accepted data")
    gate_model: bool = Field(description="hold a night's model against the champion")
    vanished: int = Field(ge=0, description="classes of the accepted data that may be gone")
    rate_jump: float = Field(
        gt=1, description="factor by which the share of the training images that show a class may rise or fall"
    )
    shrink: Share = Field(description="share of the accepted images that may be gone")
    unreadable: Share = Field(description="share of the images that may be left out as unusable")
    duplicates: Share = Field(description="share of the images that may be copies of others, byte for byte")
    relabelled: Share = Field(description="share of the images seen before whose labels may have changed")
    noise_rise: Share = Field(
        description="rise of the share of given positives that the audit estimates to be wrong, of all labels and of "
        "the new ones against those seen before"
    )
    drift: Share = Field(
        description="probability of features as far from the accepted ones as those of the new images, if both were "
        "alike, below which the night is warned of; 0: they are not compared"
    )
    gate_drift: bool = Field(description="refuse such a night")
    worse: Share = Field(description="mAP of all classes that a candidate may lose against the champion")
    worse_group: Share = Field(description="the same of the many-, medium- and few-shot classes, each by itself")
    memory: int = Field(
        ge=0,
        description="versions before the champion, the best of which a candidate must not be worse than either: small "
        "losses do not add up; 0: the champion alone",
    )
    risk: float = Field(
        gt=0, lt=1, description="probability, by bootstrap, of a greater loss than that from which on it is refused"
    )
    silence: int = Field(ge=1, le=10_080, description="minutes without a line from a stage after which it is ended")
    commit: bool = Field(description="commit params.yaml and dvc.lock of accepted nights to the branch bmix-nights")
