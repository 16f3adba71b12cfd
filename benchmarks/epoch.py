"""What label management costs: a BalanceMix epoch beside a Mixup epoch, and a checkpoint beside its epoch.

Also what an epoch of pre-training costs beside one of training, on the scenes of the preset `quick`, and the affinity
head beside a linear layer.

The default data and params, images in memory, without validation. `epoch-step` and `epoch-audit` are managed epochs
after four of warm-up; all trainers go on side by side, so that later rounds have better trained networks alike.
"""

from __future__ import annotations

import contextlib
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from bmix.data.manifest import Manifest, read_manifest
from bmix.data.noisy import read_labels
from bmix.params import apply_edits, load_params, parse_params, read_yaml
from bmix.pipeline.presets import expand_presets
from bmix.pretraining.run import build_pretraining
from bmix.training.checkpoint import Checkpoints
from bmix.training.identity import RunIdentity
from bmix.training.loop import Trainer
from bmix.training.run import build_trainer
from stages import noise, prepare

ROUNDS = 5
WARMUP = 4


def bench_step() -> dict[str, Any]:
    """`audit: step`, the paper's way, against Mixup with plain BCE."""
    return _beside_mixup("method.audit=step")


def bench_audit() -> dict[str, Any]:
    """`audit: epoch` against Mixup with plain BCE."""
    return _beside_mixup("method.audit=epoch")


def bench_audited() -> dict[str, Any]:
    """The recipe `audited`, without an audit, which costs once, against Mixup with plain BCE."""
    return _beside_mixup("training.recipe=audited")


def bench_rotation() -> dict[str, Any]:
    """An epoch of rotation pre-training, which shows every image four times, against one of plain BCE."""
    return _beside_bce("rotation")


def bench_simsiam() -> dict[str, Any]:
    """An epoch of SimSiam, which shows every image in two views, against one of plain BCE."""
    return _beside_bce("simsiam")


def bench_affinity() -> dict[str, Any]:
    """An epoch of the affinity head and its max-margin loss against one of a linear layer and BCE."""
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        ours = _trained("model.head=affinity", "training.recipe=max-margin")
        return _side_by_side(ours, _trained("model.head=linear", "training.recipe=bce"))


def bench_checkpoint() -> dict[str, Any]:
    """A checkpoint, forced to the disk, against the epoch that it keeps."""
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        trainer = _trained("training.recipe=balancemix")
        checkpoints = Checkpoints(Path("checkpoints"), "train", RunIdentity({}))
        writing, training = [], []
        for _ in range(ROUNDS):
            training.append(_seconds(trainer.train_epoch))
            writing.append(_seconds(lambda: checkpoints.save(trainer)))
    return _figures(statistics.median(writing), statistics.median(training))


def _beside_bce(method: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        _manifest("quick")
        peer = _trained("training.recipe=bce")
        params = parse_params(apply_edits(read_yaml(Path("params.yaml")), [f"pretrain.method={method}"]))
        return _side_by_side(build_pretraining(params, _manifest()), peer)


def _beside_mixup(edit: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        ours, peer = _trained("training.recipe=balancemix", edit), _trained("training.recipe=mixup")
        figures = _side_by_side(ours, peer)
        doubtful_N = ours.recipe.doubtful_rows()
    if doubtful_N is not None:
        figures["images_with_a_doubtful_label"] = round(float(doubtful_N.float().mean()), 3)
    return figures


def _side_by_side(ours: Trainer, peer: Trainer) -> dict[str, Any]:
    seconds: dict[str, list[float]] = {"ours": [], "peer": []}
    for _ in range(ROUNDS):
        seconds["peer"].append(_seconds(peer.train_epoch))
        seconds["ours"].append(_seconds(ours.train_epoch))
    for way, values in seconds.items():
        print(f"{way}  {statistics.median(values):.2f} s an epoch, {min(values):.2f} to {max(values):.2f}")
    return _figures(statistics.median(seconds["ours"]), statistics.median(seconds["peer"]))


def _figures(ours: float, peer: float) -> dict[str, Any]:
    return {
        "ours": round(ours, 4),
        "peer": round(peer, 4),
        "unit": "s",
        "ratio": round(ours / peer, 4),
        "rounds": ROUNDS,
    }


def _trained(*edits: str) -> Trainer:
    """A run of the default params after its warm-up, in the present folder."""
    manifest = _manifest()
    params = parse_params(apply_edits(read_yaml(Path("params.yaml")), list(edits)))
    _, given_NK, _ = read_labels(Path("data/noisy"), manifest)
    trainer = build_trainer(params, manifest, given_NK)
    trainer.validation = None
    while trainer.epoch < WARMUP:
        trainer.train_epoch()
    return trainer


def _manifest(*presets: str) -> Manifest:
    if not Path("data/prepared").exists():
        repository = Path(__file__).parents[1]
        edits = expand_presets([*presets, f"training.warmup_epochs={WARMUP}"], repository / "params")
        content = apply_edits(read_yaml(repository / "params.yaml"), edits)
        for section, key in (("data", "path"), ("data", "root"), ("noise", "matrix")):
            content[section][key] = str(repository / content[section][key])
        Path("params.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
        with contextlib.redirect_stdout(None):
            prepare.main()
            noise.main()
        load_params()
    return read_manifest(Path("data/prepared"))


def _seconds(work: Any) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
