"""What is refused before DVC touches anything: DVC removes a stage's outputs before the stage could refuse."""

from __future__ import annotations

import importlib.util
import os
import shlex
from pathlib import Path
from typing import Any

import bmix
from bmix.audit.choice import check_audit
from bmix.models.registry import WEIGHTS, backbone_traits, check_fit, check_weights, weights_file
from bmix.params import PLACES, Params, apply_edits, parse_params, read_yaml
from bmix.pipeline.data_check import check_data, remember, remembered
from bmix.pipeline.presets import expand_presets
from bmix.pipeline.recipe_check import check_recipe
from bmix.pipeline.repro import shown_command
from bmix.pretraining.check import check_pretraining
from bmix.sources.registry import SOURCES
from bmix.support.errors import InputError
from bmix.workspace.pipeline_file import output_names

CHECKED, CHECKED_MODEL = Path(".bmix/checked.json"), Path(".bmix/checked-model.json")
CHECKED_RECIPE = Path(".bmix/checked-recipe.json")
DIGESTS = Path(".bmix/image-digests.npz")
OWN_FOLDERS = (".bmix", ".dvc")
OWN_FILES = ("params.yaml", "dvc.yaml", "dvc.lock", "mlflow.db")


def edited_params(edits: list[str]) -> tuple[dict[str, Any], Params]:
    """The content of params.yaml with edits applied, plain and typed; InputError names the fault.

    edits: `key=value`, or the name of a preset (`bmix/pipeline/presets.py`).
    """
    content = read_yaml(Path("params.yaml"))
    base = parse_params(content)
    if not edits:
        return content, base
    edited = apply_edits(content, expand_presets(edits))
    return edited, parse_params(edited, " ".join(["params.yaml", *(f"--set {edit}" for edit in edits)]))


def check_inputs(params: Params) -> list[str]:
    """Refuse data, weights and settings that the stages would refuse, before any runs; run it beside params.yaml.

    What was found good is noted below `.bmix`, so that unchanged data and weights are not read again. Returns what was
    understood of the data, line by line. InputError names the file, the row or key, and the remedy.
    """
    _check_places(params)
    _check_pulled(params)
    _check_network(params)
    check_weights("model.weights", params.model.weights)
    _check_model(params)
    check_audit(params, SOURCES[params.data.source].holds_features)
    check_pretraining(params, SOURCES[params.data.source].holds_features)
    needs_truth = check_recipe(params, CHECKED_RECIPE)
    return check_data(params, memo=CHECKED, digests=DIGESTS, needs_truth=needs_truth)


def check_output(path: Path) -> None:
    """InputError where a command could not write its --output at `path`, or where the pipeline would remove it."""
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if path.is_dir():
        found = f"{path} is a folder"
    elif not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        found = f"{path} cannot be written: {folder} is not a folder that may be written to"
    elif output := output_around(path):
        found = f"{path} {'is' if path == Path(output) else 'lies in'} {output}, which the pipeline writes and removes"
    elif path.resolve() in [Path(name).resolve() for name in OWN_FILES]:
        found = f"{path} is a file of the project"
    else:
        return
    raise InputError("--output", found, "a file in a folder of yours", "name another")


def output_around(path: str | Path) -> str | None:
    """The output of the pipeline that is, holds or lies in `path`, by its name or by way of symbolic links."""
    here = Path.cwd().resolve()
    targets = {Path(os.path.normpath(here / path)), (here / path).resolve()}
    for output in (*output_names(), *OWN_FOLDERS):
        places = {here / output, (here / output).resolve()}
        if any(_overlap(target, place) for target in targets for place in places):
            return output
    return None


def _overlap(first: Path, second: Path) -> bool:
    return first.is_relative_to(second) or second.is_relative_to(first)


def _check_places(params: Params) -> None:
    """Refuse inputs that the pipeline would remove, being among its outputs, or that hold those."""
    values = params.flat()
    for key in map(".".join, PLACES):
        value = str(values[key])
        if output := output_around(value):
            raise InputError(
                f"params.yaml, {key}",
                f"{value} is, holds or lies in {output}, which the pipeline writes, and removes before it does",
                "an input in a place of its own",
                _moved(key, Path(value)),
            )


def _moved(key: str, place: Path) -> str:
    """The commands that bring an input out of the pipeline's outputs."""
    if place.is_file():
        folder = Path("data") / ("pretrained" if key == "model.weights" else "mine")
        copy = shlex.join(["cp", str(place), f"{folder}/"])
        return f"mkdir -p {folder} && {copy}, and set {key} to {folder / place.name}"
    if key == "model.weights" and (place / WEIGHTS).is_file():
        copied = shlex.join(["cp", "-r", str(place), "data/pretrained/"])
        edit = shlex.quote(f"model.weights={place}")
        return (
            f"bmix repro --set {edit} goes on from a copy of it; or make one: mkdir -p data/pretrained && {copied}, "
            f"and set model.weights to data/pretrained/{place.name}"
        )
    return f"move the data to a folder of its own, e.g. data/mine, and set {key} to that"


def _check_pulled(params: Params) -> None:
    """Of input that is not there but tracked by DVC, say that a pull brings it."""
    values = params.flat()
    for key in map(".".join, PLACES):
        value = values[key]
        if Path(value).exists():
            continue
        for place in (Path(value), *Path(value).parents[:-1]):
            pointer = Path(f"{place}.dvc")
            if pointer.is_file():
                raise InputError(
                    f"params.yaml, {key}",
                    f"{value} is not here, but {pointer} tracks it",
                    "input that is in the working copy",
                    shown_command("dvc", f"pull {shlex.quote(str(pointer))}"),
                )


def _check_network(params: Params) -> None:
    model, source = params.model, SOURCES[params.data.source]
    check_fit(model.backbone, model.head, model.weights, holds_features=source.holds_features)
    if backbone_traits(model.backbone).timm and importlib.util.find_spec("timm") is None:
        raise InputError(
            "params.yaml, model.backbone",
            f"{model.backbone} comes from timm, which is not installed",
            "timm beside bmix",
            'install it: pip install "bmix[timm]", or choose small or a resnet',
        )


def _check_model(params: Params) -> None:
    """Have timm say whether it knows the backbone, and read the weights file, once for each state of the two."""
    backbone, weights = params.model.backbone, params.model.weights
    file = None if weights in ("none", "imagenet") else weights_file(Path(weights))
    if file is None and not backbone_traits(backbone).timm:
        return
    state: list[Any] = [bmix.__version__, backbone, weights]
    if file is not None:
        status = file.stat()
        state += [status.st_size, status.st_mtime_ns]
    if remembered(CHECKED_MODEL) == state:
        return
    # Both import torch, which takes seconds.
    if backbone_traits(backbone).timm:
        from bmix.models.timm_models import pretrained_config

        pretrained_config(backbone)
    if file is not None:
        from bmix.models.weights import read_weights

        read_weights(file)
    remember(CHECKED_MODEL, state)
