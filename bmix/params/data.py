"""The sections of params.yaml that say which images and labels there are, and how labels are judged."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from bmix.models.registry import BACKBONES, is_backbone
from bmix.noise.kinds import KINDS
from bmix.params.section import Place, Section, Seed, one_of
from bmix.sources.registry import SOURCES


def _kinds(trait: str) -> list[str]:
    return [name for name, kind in KINDS.items() if getattr(kind, trait)]


class DataParams(Section):
    """Which images and labels are used, and how an image is shown to the model."""

    source: Annotated[str, one_of(SOURCES)] = Field(description="where the data comes from")
    path: Place = Field(description="the file or folder that names images and labels")
    root: Place = Field(description="the folder that holds the images; none outside it is read")
    splits: str = Field(
        min_length=1, description="auto, or which parts of the source make a split: train=train+val test=test"
    )
    classes: str = Field(
        min_length=1,
        description="auto; else the names of the classes in their order, joined by commas, or a file of them in "
        "data.root, with a name per line",
    )
    delimiter: str = Field(
        min_length=1,
        description="table, parquet, features, between the names in a cell: auto (; | or ,), none (a cell is one "
        "name), space, tab, newline, comma, semicolon, pipe, or the characters themselves",
    )
    no_label: str = Field(
        min_length=1,
        description="auto, or the word, class or column that means no label, e.g. No Finding",
    )
    minus_one: Literal["auto", "ignored", "absent"] = Field(
        description="table, parquet, features, -1 in a column per class; auto: absent if no cell is 0, else ignored"
    )
    blank_cell: Literal["ignored", "absent"] = Field(
        description="table, parquet, features: what an empty cell in a column of 0 and 1 says of its class"
    )
    difficult: Literal["ignore", "drop", "positive"] = Field(
        description="voc, a class of which every object is difficult: neither present nor absent; absent; present"
    )
    crowd: bool = Field(description="coco: an annotation of a crowd makes its class present")
    empty: Literal["keep", "drop"] = Field(description="images without a label, those of split unlabelled aside")
    unreadable: Literal["stop", "skip"] = Field(description="an image that is missing or does not decode")
    overlap: Literal["refuse", "warn"] = Field(description="the bytes of one image in two splits")
    image_size: int = Field(ge=16, le=2048, description="side of the square image given to the model, pixels")
    seed: Seed = Field(description="composes the digit scenes; splits a table that names no splits")
    augment: Literal["none", "gentle", "randaugment", "randaugment-flip", "photograph"] = Field(
        description="gentle: small shifts, turns, contrast; randaugment: torchvision's; -flip: and mirrored; "
        "photograph: cropped too"
    )
    jitter: float = Field(
        ge=0, description="features, one stored view: deviation of the noise on each view, in the feature's own"
    )


class NoiseParams(Section):
    """The label noise that is injected into the training split."""

    kind: Annotated[str, one_of(KINDS)] = Field(description="the kind of label noise")
    rate: float = Field(
        ge=0, lt=1, description=f"τ, share of the labels that are hit; used by {', '.join(_kinds('uses_rate'))}"
    )
    matrix: Place = Field(description=f"{', '.join(_kinds('uses_matrix'))}: the CSV of what each class turns into")
    seed: Seed = Field(description="draws the labels that are hit and their replacements")


class AuditParams(Section):
    """How given labels are judged out of fold, before anything is trained on them."""

    features: Literal["auto", "off", "backbone", "network"] = Field(
        description="auto: the source's own, else backbone if audit.weights is a file or imagenet, else off; "
        "network: of two networks, each trained on half of the images"
    )
    backbone: Annotated[str, one_of([*BACKBONES, "timm/NAME"], is_backbone)] = Field(
        description="the frozen backbone whose features judge the labels of images"
    )
    weights: Place = Field(
        description="of that backbone: none, imagenet (torchvision's, downloaded), or a weights file"
    )
    image_size: int = Field(ge=16, le=2048, description="side of the square image given to that backbone, pixels")
    epochs: int = Field(ge=1, le=100_000, description="of network: how long each of the two is trained")
    folds: int = Field(ge=2, le=100, description="parts of the data; each is judged by models of the others")
    seed: Seed = Field(description="draws the folds, and the weights of the two networks")
