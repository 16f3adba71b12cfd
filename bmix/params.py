"""params.yaml, typed: one section is one class; a wrong key or value is refused with its name and the remedy."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from bmix.method.settings import LARGEST_ALPHA, LARGEST_SHARPNESS
from bmix.models.registry import BACKBONES, HEADS, SINGLE_LABEL, TASKS, is_backbone
from bmix.noise.kinds import KINDS
from bmix.recipes import RECIPES
from bmix.sources.registry import SOURCES
from bmix.support.errors import InputError, nearest
from bmix.support.yaml_text import parse_yaml

Seed = Annotated[int, Field(ge=0, lt=2**63)]
Share = Annotated[float, Field(ge=0, le=1)]
Place = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]+$")]
PLACES = (("data", "path"), ("data", "root"), ("noise", "matrix"), ("model", "weights"), ("audit", "weights"))
"""Section and name of the keys whose value is the place of an input."""


def one_of(names: Iterable[str], fits: Callable[[str], bool] | None = None) -> AfterValidator:
    """A text that is one of `names`, or for which `fits` holds."""
    known = list(names)

    def check(value: str) -> str:
        if not (fits(value) if fits else value in known):
            # pydantic fills braces in.
            raise PydanticCustomError("choice", "one of {names}", {"names": ", ".join(known)})
        return value

    return AfterValidator(check)


def _cut(value: Any) -> Any:
    if value != "auto" and (type(value) is not int or value < 1):
        raise PydanticCustomError("cut", "auto, or a whole number from 1")
    return value


Cut = Annotated[Any, AfterValidator(_cut)]


def _is_held_out(split: str) -> bool:
    return re.fullmatch(r"val|test(-[a-z0-9-]+)?", split) is not None


def _kinds(trait: str) -> list[str]:
    return [name for name, kind in KINDS.items() if getattr(kind, trait)]


class Section(BaseModel):
    """A section of params.yaml: immutable, no key beyond the declared ones, no silent conversion."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


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


class Params(Section):
    """All of params.yaml."""

    data: DataParams
    noise: NoiseParams
    audit: AuditParams
    pretrain: PretrainParams
    pseudo: PseudoParams
    model: ModelParams
    training: TrainingParams
    method: MethodParams
    recipes: dict[Annotated[str, one_of(RECIPES)], dict[str, bool | int | float | str]] = Field(
        description="the settings of each recipe's own, read by that recipe alone"
    )
    evaluate: EvaluateParams
    retrain: RetrainParams

    @property
    def single_label(self) -> bool:
        """Whether every image has exactly one class."""
        return self.model.task == SINGLE_LABEL

    @property
    def image_root(self) -> Path:
        """The folder that the manifest's paths start from."""
        source = SOURCES[self.data.source]
        made = source.makes_images or source.holds_features
        return Path("data/prepared/images") if made else Path(self.data.root)

    def flat(self) -> dict[str, Any]:
        """Every value that decides a run under its dotted key, in the file's order: `retrain` decides none."""
        return flat(self.model_dump(exclude={"retrain"}))


def flat(sections: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested sections as values under their dotted keys, in their order."""
    values: dict[str, Any] = {}
    for key, value in sections.items():
        values |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return values


def known_keys() -> list[str]:
    """Every dotted key that params.yaml must hold; those of `recipes` are the recipes' own."""
    return [
        f"{name}.{key}"
        for name, field in Params.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
        for key in field.annotation.model_fields
    ]


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read and check params.yaml; InputError names the file, the key, its value and the remedy."""
    return parse_params(read_yaml(path), str(path))


def read_yaml(path: Path) -> Any:
    """The content of a YAML file; InputError where it is missing, cannot be read or is no YAML."""
    try:
        return parse_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(
            str(path), "no such file", "a YAML file", "run the command in the folder that holds it"
        ) from error
    except OSError as error:
        found, remedy = f"cannot be read: {error.strerror}", "put the file there, with the right to read it"
        raise InputError(str(path), found, "a YAML file", remedy) from error
    except (yaml.YAMLError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(str(path), f"not readable as YAML: {reason}", "valid YAML in UTF-8", "correct it") from error


def parse_params(content: Any, where: str = "params.yaml") -> Params:
    """Check the content of a params file; every fault is reported at once."""
    if not isinstance(content, dict):
        found = "is empty" if content is None else "holds no sections"
        remedy = "correct it, or have the last good one back: git checkout params.yaml"
        raise InputError(where, found, f"the sections {', '.join(Params.model_fields)}", remedy)
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        faults = [_explain(fault) for fault in error.errors()]
        if len(faults) == 1:
            raise InputError(where, *faults[0]) from None
        found = "; ".join(fault for fault, _, _ in faults)
        expected = "; ".join(expected for _, expected, _ in faults)
        remedies = list(dict.fromkeys(remedy.removesuffix(".") for _, _, remedy in faults))
        raise InputError(where, found, expected, "; ".join(remedies)) from None


def _explain(fault: Any) -> tuple[str, str, str]:
    key = ".".join(str(part) for part in fault["loc"])
    section = key.rpartition(".")[0]
    siblings = _keys_of(section) or known_keys()
    if fault["type"] in ("extra_forbidden", "invalid_key"):
        known = siblings if section else list(Params.model_fields)
        return f"unknown key {key}", f"one of {', '.join(known)}", f"rename or remove it.{nearest(key, known)}"
    if fault["type"] == "missing":
        return f"key {key} is missing", "every key present", f"add {key}{_meaning(key)}"
    if fault["type"] == "value_error":
        reason = str(fault["ctx"]["error"])
        return f"{key}: {reason}", "values that fit together", f"change one of the two in {key}"
    value = fault["input"]
    if fault["type"] == "model_type":
        found = "is empty" if value is None else f"is {value!r}"
        return f"section {key} {found}", "keys with their values", "write " + ", ".join(_keys_of(key)) + " below it"
    choices = {"literal_error": "expected", "choice": "names"}.get(fault["type"])
    names = fault["ctx"][choices].replace("'", "").replace(" or ", ", ").split(", ") if choices else []
    hint = nearest(str(value), names)
    return f"{key} is {value!r}", fault["msg"].removeprefix("Input should be "), f"correct {key}{_meaning(key)}.{hint}"


def _keys_of(section: str) -> list[str]:
    return [key for key in known_keys() if key.startswith(f"{section}.")]


def _meaning(key: str) -> str:
    section, _, name = key.partition(".")
    field = Params.model_fields.get(section)
    annotation = field.annotation if field else None
    if not (isinstance(annotation, type) and issubclass(annotation, Section) and name in annotation.model_fields):
        return ""
    return f" ({annotation.model_fields[name].description})"


def apply_edits(content: dict[str, Any], edits: list[str]) -> dict[str, Any]:
    """The params content with `key=value` edits applied to a copy; values are read as YAML."""
    edited = copy.deepcopy(content)
    for edit in edits:
        key, equals, value = edit.partition("=")
        known = settable_keys(content)
        if not equals or key not in known:
            raise InputError(
                f"--set {edit}",
                f"unknown key {key}" if equals else "no '=' in it",
                "key=value with a dotted key of params.yaml, e.g. training.recipe=bce",
                f"correct it.{nearest(key, known)}",
            )
        *sections, name = key.split(".")
        place = edited
        for section in sections:
            place = place.setdefault(section, {})
        try:
            place[name] = parse_yaml(value)
        except (yaml.YAMLError, ValueError) as error:
            raise InputError(
                f"--set {edit}", f"{value} is not readable as YAML", "a number, true, false or text", "put it in quotes"
            ) from error
    return edited


def settable_keys(content: Any) -> list[str]:
    """Every dotted key that an edit may name: the known ones, and the settings of recipes that the content holds."""
    recipes = content.get("recipes") if isinstance(content, dict) else None
    sections = recipes if isinstance(recipes, dict) else {}
    own = [f"recipes.{name}.{key}" for name, keys in sections.items() if isinstance(keys, dict) for key in keys]
    return [*known_keys(), *own]
