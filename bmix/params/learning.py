"""The sections of params.yaml that say what is trained, and how."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bmix.method.settings import LARGEST_ALPHA, LARGEST_SHARPNESS
from bmix.models.registry import BACKBONES, HEADS, TASKS, is_backbone
from bmix.params.section import Place, Section, Seed, Share, one_of
from bmix.recipes import RECIPES


class PretrainParams(Section):
    """How the backbone learns from images alone, before warm-up."""

    method: Literal["off", "rotation", "simsiam"] = Field(
        description="rotation: which of four ways up an image is; simsiam: two views of an image predict each other"
    )
    unlabelled: bool = Field(description="the images of split unlabelled too")
    epochs: int = Field(ge=1, le=100_000, description="of pre-training")
    batch_size: int = Field(ge=2, description="images per step; rotation shows each in four ways, simsiam in two views")
    optimizer: Literal["sgd", "adamw"] = Field(description="sgd with a momentum of 0.9")
    learning_rate: float = Field(gt=0, description="the highest; one cosine down over all epochs")
    weight_decay: float = Field(ge=0, description="of both optimisers")
    seed: Seed = Field(description="first weights, order of the images, augmentation")


class PseudoParams(Section):
    """How the images of split unlabelled get labels from the warmed-up model, and what these count for."""

    use: bool = Field(description="label them, and train on them after warm-up")
    present: Share = Field(
        description="probability from which on a class counts as present; of single-label data, from which on the "
        "likeliest class counts"
    )
    absent: Share = Field(
        description="probability up to which a class counts as absent, in between it has no loss; unused by "
        "single-label data"
    )
    weight: float = Field(ge=0, description="ω, what a pseudo-label's loss counts for beside a given label's")

    @model_validator(mode="after")
    def _thresholds_in_order(self) -> PseudoParams:
        if self.absent >= self.present:
            raise ValueError(f"absent {self.absent} is not below present {self.present}")
        return self


class ModelParams(Section):
    """The network, and what it is asked."""

    task: Annotated[str, one_of(TASKS)] = Field(
        description="multi-label: any number of classes an image, each by a sigmoid; single-label: exactly one, by a "
        "softmax over all"
    )
    backbone: Annotated[str, one_of([*BACKBONES, "timm/NAME"], is_backbone)] = Field(
        description="small learns 40-pixel scenes from scratch, cnn5x5 single digits; identity: features as they are; "
        "timm/NAME: any of timm",
    )
    head: Annotated[str, one_of(HEADS)] = Field(description="what turns features into one logit per class")
    queries: int = Field(ge=0, le=10_000, description="of the decoder; 0: one per class; fewer: one per group of them")
    hidden: int = Field(ge=0, le=65_536, description="of mlp: width of the hidden layer; 0: of its input, 64 to 1024")
    norm: Literal["batch", "none"] = Field(description="of mlp: the norm of the hidden layer")
    dropout: float = Field(ge=0, lt=1, description="of mlp: share of the hidden layer dropped in training")
    prototypes: int = Field(ge=1, le=1000, description="of affinity: prototypes of a class")
    sigma: float = Field(gt=0, description="of affinity: squared distance at which it has fallen to 1/e")
    diversity: float = Field(ge=0, description="of affinity: weight of the regulariser that spaces prototypes evenly")
    weights: Place = Field(
        description="none, imagenet (torchvision's, downloaded), a weights file, or the folder of a model"
    )


class TrainingParams(Section):
    """One run of `epochs` epochs; the stages warmup and train cut it after `warmup_epochs`."""

    recipe: Annotated[str, one_of(RECIPES)] = Field(description="what happens in a step and after an epoch")
    epochs: int = Field(ge=1, le=100_000, description="all epochs, warm-up included")
    warmup_epochs: int = Field(ge=1, description="epochs before label management starts")
    batch_size: int = Field(ge=2, description="pairs per step")
    optimizer: Literal["sgd", "adamw"] = Field(description="sgd: Nesterov off, with momentum; adamw: betas 0.9, 0.999")
    learning_rate: float = Field(gt=0, description="the highest of the run")
    schedule: Literal["cosine", "constant", "one-cycle"] = Field(
        description="of the learning rate: one cosine down over all epochs; the same throughout, so that a run can be "
        "made longer; up for three tenths of the epochs, then down"
    )
    backbone_rate: float = Field(ge=0, le=1, description="learning rate of the backbone, as a share of learning_rate")
    momentum: float = Field(ge=0, lt=1, description="of sgd; unused by adamw")
    weight_decay: float = Field(ge=0, description="of both optimisers")
    average: float = Field(
        ge=0, lt=1, description="decay of the moving average of the weights that is measured and saved; 0: off"
    )
    seed: Seed = Field(description="first weights, order of the images, partners, mixing, augmentation")
    precision: Literal["float32", "bf16", "fp16"] = Field(
        description="of convolutions and products; losses and probabilities are float32 always"
    )
    processes: int = Field(
        ge=1, le=1024, description="processes that share each step, one per GPU; above 1 torchrun is started"
    )
    threads: int = Field(
        ge=1, le=1024, description="CPU threads of each process; the last bits of a result depend on it"
    )

    @model_validator(mode="after")
    def _warmup_within_epochs(self) -> TrainingParams:
        if self.warmup_epochs > self.epochs:
            raise ValueError(f"warmup_epochs {self.warmup_epochs} is more than epochs {self.epochs}")
        return self

    @model_validator(mode="after")
    def _two_instances_for_each_process(self) -> TrainingParams:
        if self.batch_size < 2 * self.processes:
            raise ValueError(f"batch_size {self.batch_size} is less than two instances for each of {self.processes}")
        return self


class MethodParams(Section):
    """BalanceMix; other recipes use alpha alone."""

    alpha: float = Field(gt=0, le=LARGEST_ALPHA, description="α of Beta(α, α), eq. 5")
    epsilon: float = Field(ge=0.5, le=1, description="ε, the re-labelling threshold of eq. 9")
    sharpness: float = Field(
        ge=0, le=LARGEST_SHARPNESS, description="p is proportional to Score^-sharpness; 1 is eq. 4"
    )
    trust_positives: bool = Field(description="count every given positive as clean")
    minority: bool = Field(description="mix with the minority sampler's images; off: with uniformly drawn ones")
    clean: bool = Field(description="manage labels at all (eq. 6-10)")
    relabel: bool = Field(description="apply eq. 9")
    ambiguous: bool = Field(description="weight ambiguous labels by p_G; off: by 0")
    audit: Literal["step", "epoch"] = Field(
        description="eq. 9 by the current model at every step, as in the paper; or by one pass after each epoch"
    )
