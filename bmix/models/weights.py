"""Weights from files, and into networks."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import torch
from safetensors.torch import load_file
from torch import Tensor

from bmix.models.efficientnet_names import from_efficientnet_pytorch
from bmix.models.ensemble import Ensemble
from bmix.models.networks import FeatureNetwork, ImageNetwork
from bmix.models.registry import SPEC, weights_file
from bmix.support.errors import InputError, listed
from bmix.support.readers import Made, read_json_file


def read_weights(path: Path) -> Mapping[str, Tensor]:
    """The tensors by name in a safetensors or torch file (there also under "state_dict"), on the CPU.

    Of a folder: those of the model in it.
    Nothing but tensors is unpickled, and nothing that takes more memory than the file has bytes. InputError if the
    file is missing, is neither, or holds something else; OSError if it cannot be read.
    """
    path = weights_file(path)
    if not path.is_file():
        raise InputError(
            str(path), "no such file", "a file of weights, safetensors or torch", "correct model.weights, or use none"
        )
    with path.open("rb"):
        # A file that may not be read ends here, by an error with its name; safetensors' own error lacks it.
        pass
    content: object
    try:
        if path.suffix == ".safetensors":
            content = load_file(path)
        else:
            _refuse_packed(path)
            content = torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
    except Exception as error:
        # Damaged files make torch raise errors of many kinds; their texts are not passed on, as
        # some advise to unpickle everything.
        raise InputError(
            str(path),
            "not readable as weights: neither safetensors nor a file of tensors",
            "weights as safetensors, or tensors by torch.save",
            "replace it by a whole one",
        ) from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if fault := _not_tensors_by_name(content):
        raise InputError(str(path), fault, "tensors with numbers, by name", "save the network's state_dict()")
    return cast("Mapping[str, Tensor]", content)


def of_other_classes(path: Path, classes: Sequence[str]) -> bool:
    """Whether a path is the folder of a model whose classes are not these, in this order."""
    if not path.is_dir():
        return False
    made = Made("the description of a model", "name a folder that bmix wrote a model to, or a file of weights")
    content = read_json_file(path / SPEC, made)
    if not isinstance(content, dict) or not isinstance(content.get("classes"), list):
        made.refuse(path / SPEC, "holds no classes")
    return content["classes"] != list(classes)


def _refuse_packed(path: Path) -> None:
    """InputError if a torch file is a zip whose entries unpack to more than it holds: torch.save packs nothing."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > path.stat().st_size or any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise InputError(
            str(path),
            f"a packed archive of {unpacked / 2**20:.0f} MiB",
            "a file as torch.save writes it, which packs nothing",
            "load it where it comes from, and save its state_dict() again",
        )


def _not_tensors_by_name(content: object) -> str:
    """What is wrong with the content of a weights file; empty if it is names and tensors that hold numbers."""
    if not isinstance(content, Mapping):
        return "holds no state dict"
    for name, value in content.items():
        if not isinstance(name, str):
            return f"holds {name!r:.40} as a name"
        if not isinstance(value, Tensor):
            return f"holds no tensor but a {type(value).__name__} as {name:.80}"
        kind = "meta" if value.is_meta else str(value.layout).removeprefix("torch.")
        if kind != "strided" or value.is_quantized or value.is_complex():
            return f"holds a tensor without plain numbers ({kind}, {value.dtype}) as {name:.80}"
    return ""


def load_weights(
    network: ImageNetwork | FeatureNetwork | Ensemble, state: Mapping[str, Tensor], where: str, whole: bool = False
) -> None:
    """Copy `state` into `network`, all of it if `whole`, as into an ensemble.

    Otherwise what depends on the number of classes may differ or be absent, and stays as it is; so does the whole head
    where the state has none of the same kind. A state with the names of a published backbone is taken too, its last
    layer into a linear head of the same shape. InputError names `where` the state came from and the tensors that are
    missing, unknown or of another shape.
    """
    own = network.state_dict()
    if not whole and not isinstance(network, Ensemble):
        if isinstance(network, ImageNetwork) and not any(name.startswith("backbone.") for name in state):
            state = _from_published(network, state)
        left = _head_left_out(network, own, state)
        own = {name: value for name, value in own.items() if name not in left}
        if left:
            state = {name: value for name, value in state.items() if name in own or not name.startswith("head.")}
    # Files of old torch versions lack batch norm's counters.
    missing = sorted(name for name in own.keys() - state.keys() if not name.endswith("num_batches_tracked"))
    unknown = sorted(state.keys() - own.keys())
    unfit = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(value.shape)}"
        for name, value in own.items()
        if name in state and state[name].shape != value.shape
    ]
    faults = {"lacks": missing, "holds the unknown": unknown, "holds": unfit}
    if any(faults.values()):
        raise InputError(
            where,
            "; ".join(f"{fault} {listed(names)}" for fault, names in faults.items() if names),
            f"the {len(own)} tensors of this network",
            "choose the backbone, the head and the classes that the weights belong to",
        )
    network.load_state_dict(state, strict=False)


def _from_published(network: ImageNetwork, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state by this network's names: `fc.weight` as `head.linear.weight`, the others below `backbone.`."""
    renamed = {}
    if "_conv_stem.weight" in state:
        state = from_efficientnet_pytorch(state)
    for name, value in state.items():
        layer, _, tensor = name.rpartition(".")
        renamed[f"head.linear.{tensor}" if layer in network.classifiers else f"backbone.{name}"] = value
    return renamed


def _head_left_out(
    network: ImageNetwork | FeatureNetwork, own: Mapping[str, Tensor], state: Mapping[str, Tensor]
) -> set[str]:
    """The head's tensors that `state` cannot give: none, those by class, or all."""

    def fits(names: set[str]) -> bool:
        return names <= given and all(state[name].shape == own[name].shape for name in names)

    given = {name for name in state if name.startswith("head.")}
    head = {name for name in own if name.startswith("head.")}
    by_class = {f"head.{name}" for name in network.head.class_tensors}
    if given <= head and fits(head):
        return set()
    return by_class if given <= head and fits(head - by_class) else head
