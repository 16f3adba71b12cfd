"""Everything that bmix reads, each with files to damage and the call that reads them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import save_file

from bmix.audit.files import write_audit
from bmix.data.manifest import read_manifest
from bmix.data.noisy import read_labels
from bmix.data.pretrained import read_pretrained
from bmix.data.pretrained import write_nothing as write_no_pretraining
from bmix.data.pseudo import read_note
from bmix.data.pseudo import write_nothing as write_no_pseudo
from bmix.evaluation.calibration import content
from bmix.evaluation.origin import read_origin
from bmix.evaluation.results import Evaluation, class_table, metrics_of, summary
from bmix.figures import training as figures
from bmix.figures.card import render_card
from bmix.figures.opening import opening
from bmix.figures.panels import render
from bmix.figures.plots import Drawings
from bmix.figures.report import render_report
from bmix.models.backbones import build_classifier
from bmix.models.calibration import weights_digest
from bmix.models.spec import ClassifierSpec
from bmix.models.store import Classifier, load_classifier, save_classifier
from bmix.models.weights import load_weights, read_weights
from bmix.noise.matrix import read_matrix
from bmix.params import load_params
from bmix.pipeline.checks import edited_params
from bmix.pipeline.data_check import check_data
from bmix.sources.digits import read_scene_settings
from bmix.support.files import write_json
from bmix.training.checkpoint import Checkpoints
from bmix.training.identity import RunIdentity
from bmix.training.run import advance, build_trainer, write_outputs
from bmix.training.state import load_run, save_run
from bmix.workspace.pipeline_file import declared, output_names
from stages import evaluate, noise, prepare
from tests.helpers.coco import write_coco
from tests.helpers.deepfashion import write_benchmark, write_fine
from tests.helpers.features import arrays, table, write_npz
from tests.helpers.folder import write_folder
from tests.helpers.tiny import REPOSITORY, write_params, write_table, write_voc


@dataclass(frozen=True)
class Subject:
    """`build` makes the files in the current folder and gives those to damage; `read` reads them there.

    slow: reading draws or trains, which takes a second.
    """

    name: str
    build: Callable[[], list[Path]]
    read: Callable[[], object]
    slow: bool = False


TABLE_CLASSES = ("bird", "cat", "dog", "fish")
SUBJECTS: dict[str, Subject] = {}


def _subject(name: str, read: Callable[[], object], slow: bool = False) -> Callable[[Callable[[], list[Path]]], None]:
    def add(build: Callable[[], list[Path]]) -> None:
        SUBJECTS[name] = Subject(name, build, read, slow)

    return add


def _check() -> object:
    return check_data(load_params())


def _files(folder: str, *suffixes: str) -> list[Path]:
    return sorted(path for path in Path(folder).rglob("*") if path.suffix in suffixes)


# Sources.


def _source(source: str, path: str, root: str, *edits: str) -> None:
    write_params(Path(), f"data.source={source}", f"data.path={path}", f"data.root={root}", "noise.kind=none", *edits)
    matrix = Path("data/noise/confusions.csv")
    matrix.parent.mkdir(parents=True)
    matrix.write_bytes((REPOSITORY / matrix).read_bytes())


def _table(name: str, write: Callable[[pd.DataFrame, Path], None]) -> None:
    """A subject for one form of table, of 24 rows with path, labels (lists) and split."""
    path = Path(name.rpartition(" ")[2])

    @_subject(f"table {name}", _check)
    def build() -> list[Path]:
        frame = pd.read_parquet(write_table(Path(), images=24, name="whole.parquet"))
        write(frame, path)
        _source("table", str(path), "images")
        return [path]


def _joined(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(labels=frame["labels"].map(";".join))


def _brackets(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(labels=frame["labels"].map(lambda names: json.dumps(list(names))))


def _columns(frame: pd.DataFrame) -> pd.DataFrame:
    cells = {name: frame["labels"].map(lambda names, name=name: int(name in names)) for name in TABLE_CLASSES}
    return frame.drop(columns="labels").assign(**cells)


_table("of names joined.csv", lambda frame, path: _joined(frame).to_csv(path, index=False))
_table("of names joined.tsv", lambda frame, path: _joined(frame).to_csv(path, index=False, sep="\t"))
_table("of lists brackets.csv", lambda frame, path: _brackets(frame).to_csv(path, index=False))
_table("of cells columns.csv", lambda frame, path: _columns(frame).to_csv(path, index=False))
_table("of lists lists.jsonl", lambda frame, path: frame.to_json(path, orient="records", lines=True))
_table("of lists lists.parquet", lambda frame, path: frame.to_parquet(path, index=False))
_table("of cells columns.parquet", lambda frame, path: _columns(frame).to_parquet(path, index=False))


@_subject("table with pictures", _check)
def _build_table() -> list[Path]:
    write_table(Path(), images=24)
    _source("table", "labels.csv", "images")
    return [Path("labels.csv"), *_files("images", ".jpg", ".png")]


@_subject("features npz", _check)
def _build_npz() -> list[Path]:
    _source("features", "set.npz", ".", "model.backbone=identity", "model.head=mlp")
    return [write_npz(Path("set.npz"), arrays(rows=20))]


@_subject("features parquet", _check)
def _build_parquet() -> list[Path]:
    _source("features", "set.parquet", ".", "model.backbone=identity", "model.head=mlp")
    table(rows=20, views=1).to_parquet("set.parquet", index=False)
    return [Path("set.parquet")]


@_subject("coco", _check)
def _build_coco() -> list[Path]:
    write_coco(Path(), {"train2017": 16, "val2017": 8})
    _source("coco", "annotations", ".", "evaluate.split=val")
    return _files("annotations", ".json")


@_subject("voc", _check)
def _build_voc() -> list[Path]:
    write_voc(Path(), train=20, val=20)
    _source("voc", "VOCdevkit/VOC2007", "VOCdevkit/VOC2007", "evaluate.split=val")
    return [*_files("VOCdevkit", ".xml")[:8], *_files("VOCdevkit/VOC2007/ImageSets", ".txt")]


@_subject("folder", _check)
def _build_folder() -> list[Path]:
    write_folder(Path("pictures"), images=18)
    _source("folder", "pictures", "pictures")
    return _files("pictures", ".png")


@_subject("deepfashion benchmark", _check)
def _build_benchmark() -> list[Path]:
    write_benchmark(Path(), images=12)
    _source("deepfashion", ".", ".")
    return [*_files("Anno", ".txt"), *_files("Eval", ".txt")]


@_subject("deepfashion fine", _check)
def _build_fine() -> list[Path]:
    write_fine(Path(), images=12)
    _source("deepfashion", ".", ".")
    return _files("Anno_fine", ".txt")


@_subject("digits recipe", lambda: read_scene_settings(Path("scenes.yaml")))
def _build_recipe() -> list[Path]:
    Path("scenes.yaml").write_bytes((REPOSITORY / "data/digits/scenes.yaml").read_bytes())
    return [Path("scenes.yaml")]


# Params and the pipeline's own files.


@_subject("params", load_params)
def _build_params() -> list[Path]:
    return [write_params(Path())]


@_subject("preset", lambda: edited_params(["mine"]))
def _build_preset() -> list[Path]:
    write_params(Path())
    Path("params").mkdir()
    Path("params/mine.yaml").write_bytes((REPOSITORY / "params/paper-coco.yaml").read_bytes())
    return [Path("params/mine.yaml")]


@_subject("dvc.yaml", lambda: (output_names(), declared("train", {})))
def _build_pipeline_file() -> list[Path]:
    write_params(Path())
    return [Path("dvc.yaml")]


@_subject("noise matrix", lambda: read_matrix(Path("matrix.csv"), ["a", "b", "c"]))
def _build_matrix() -> list[Path]:
    Path("matrix.csv").write_text("class,a,b,c\na,0.8,0.2,0\nb,0,1,0\nc,0.1,0.1,0.8\n")
    return [Path("matrix.csv")]


# Models.


def _classifier() -> Classifier:
    names = ["a", "b", "c"]
    network = build_classifier("small", "linear", len(names), "none", seed=0)
    return Classifier(network, ClassifierSpec.of("small", "linear", 16, names))


def _weights(name: str) -> Callable[[], object]:
    return lambda: load_weights(_classifier().network, read_weights(Path(name)), name)


@_subject("weights pth", _weights("w.pth"))
def _build_pth() -> list[Path]:
    torch.save(_classifier().network.state_dict(), "w.pth")
    return [Path("w.pth")]


@_subject("weights safetensors", _weights("w.safetensors"))
def _build_safetensors() -> list[Path]:
    save_file(_classifier().network.state_dict(), "w.safetensors")
    return [Path("w.safetensors")]


@_subject("model", lambda: load_classifier(Path("model")))
def _build_model() -> list[Path]:
    Path("model").mkdir()
    save_classifier(_classifier(), Path("model"))
    weights = weights_digest(Path("model/model.safetensors"))
    write_json(Path("model/calibration.json"), content(None, ["a", "b", "c"], weights))
    # The description, which people edit, more often than the weights.
    return [*_files("model", ".json") * 6, *_files("model", ".safetensors")]


# A run of features, which is prepared, trained and measured within a second.


def _build_run(until: int = 3) -> None:
    _source(
        "features", "set.npz", ".", "model.backbone=identity", "data.jitter=0.5", "noise.kind=mislabel",
        "noise.rate=0.2", "training.epochs=3", "training.warmup_epochs=1", "training.batch_size=16",
        "training.threads=1", "evaluate.many=20", "evaluate.medium=10",
    )  # fmt: skip
    write_npz(Path("set.npz"), arrays(rows=60, views=1))
    prepare.main()
    noise.main()
    trainer = _trainer()
    advance(trainer, until)
    save_run(trainer, Path("checkpoint/epoch-00001"))
    write_outputs(trainer, trainer.close(), Path())


def _trainer():
    manifest = read_manifest(Path("data/prepared"))
    _, given_NK, _ = read_labels(Path("data/noisy"), manifest)
    return build_trainer(load_params(), manifest, given_NK)


def _evaluation() -> Evaluation:
    classifier = load_classifier(Path("models/final"), calibrated=False)
    return evaluate.measure(load_params(), read_manifest(Path("data/prepared")), classifier)


def _whole_evaluation() -> Evaluation:
    pretrained, pseudo = read_pretrained(Path("models/pretrained")), read_note(Path("data/pseudo"))
    return replace(_evaluation(), pretrained=pretrained, pseudo=pseudo)


def _measure() -> object:
    evaluation, spec = _whole_evaluation(), load_classifier(Path("models/final")).spec
    card = render_card(evaluation, spec, read_origin(Path("data"), "features", "balancemix"))
    measured = metrics_of(evaluation), summary(evaluation), class_table(evaluation)
    return *measured, _page(evaluation), card


def _page(evaluation: Evaluation) -> str:
    return render_report(evaluation, opening(evaluation, load_params().flat()), Drawings({}, [], []))


def _draw() -> object:
    evaluation = _evaluation()
    drawn = (figures.learning_curves, figures.verdict_shares_by_epoch, figures.mixtures, figures.sampler)
    return [plot and render(plot, Path("drawn.png")) for plot in (draw(evaluation) for draw in drawn)]


@_subject("evaluate", _measure)
def _build_evaluation() -> list[Path]:
    _build_run()
    write_audit(Path("data/audit"), "off", [], {})
    write_no_pretraining(Path("models/pretrained"))
    write_no_pseudo(Path("data/pseudo"), 3)
    names = ["history.csv", "mixtures.parquet", "sampler.csv", "verdicts.json", "verdicts.parquet"]
    prepared = ["manifest.parquet", "classes.json", "facts.json"]
    return [
        *map(Path, names),
        *(Path("data/prepared") / name for name in prepared),
        Path("data/audit/noise_estimate.json"),
        Path("models/pretrained/history.csv"),
        Path("models/pretrained/pretrain.json"),
        Path("data/pseudo/pseudo.json"),
        *_files("data/noisy", ".json", ".parquet"),
    ]


@_subject("evaluate, drawn", _draw, slow=True)
def _build_drawing() -> list[Path]:
    _build_run()
    return [Path(name) for name in ("history.csv", "mixtures.parquet", "sampler.csv")]


@_subject("training's inputs", lambda: advance(_trainer(), 1), slow=True)
def _build_inputs() -> list[Path]:
    _build_run()
    return [
        *_files("data/prepared", ".parquet", ".npy"),
        Path("data/prepared/classes.json"),
        *_files("data/noisy", ".parquet"),
    ]


def _resume() -> object:
    trainer = _trainer()
    load_run(trainer, Path("checkpoint/epoch-00001"))
    return trainer


@_subject("checkpoint", _resume)
def _build_checkpoint() -> list[Path]:
    _build_run(until=2)
    return [*_files("checkpoint", ".json") * 2, *_files("checkpoint", ".safetensors")]


def _other_run() -> object:
    return Checkpoints(Path("home"), "train", RunIdentity({"seed": 1})).other_run()


@_subject("another run's identity", _other_run)
def _build_identity() -> list[Path]:
    folder = Path("home/train-0/epoch-00001")
    folder.mkdir(parents=True)
    Path("home/train-0/run.json").write_text('{"seed": 0, "input a": "0123456789abcdef", "training.epochs": 3}')
    return [Path("home/train-0/run.json")]
