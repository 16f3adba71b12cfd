from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bmix.data.images import image_tensor
from bmix.models.backbones import build_classifier, normalisation
from bmix.models.efficientnet_names import from_efficientnet_pytorch
from bmix.models.heads import HeadSettings
from bmix.models.spec import ClassifierSpec
from bmix.models.store import Classifier, load_classifier, save_classifier
from bmix.models.timm_models import PlacesFirst
from bmix.support.errors import InputError
from tests.models.test_models import states_equal

timm = pytest.importorskip("timm", reason="needs timm, an optional extra")

ZEROS_AND_ONES = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
HALVES = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def original_names() -> list[str]:
    """EfficientNet-Lite0's tensors by EfficientNet-PyTorch's names, in the order in which that code makes them."""
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    names = ["_conv_stem.weight", *(f"_bn0.{tensor}" for tensor in norm)]
    for block in range(16):
        layers = ("_expand_conv", "_bn0", "_depthwise_conv", "_bn1", "_project_conv", "_bn2")
        for layer in layers[2:] if block == 0 else layers:
            tensors = norm if "bn" in layer else ("weight",)
            names += [f"_blocks.{block}.{layer}.{tensor}" for tensor in tensors]
    return [*names, "_conv_head.weight", *(f"_bn1.{tensor}" for tensor in norm), "_fc.weight", "_fc.bias"]


def test_efficientnet_lite0_takes_tensors_by_either_name(tmp_path):
    donor = timm.create_model("tf_efficientnet_lite0")
    state = donor.state_dict()
    renamed = dict(zip(original_names(), state.values(), strict=True))
    assert list(from_efficientnet_pytorch(renamed)) == list(state)
    torch.save(renamed, tmp_path / "original.pth")
    torch.save(state, tmp_path / "timm.pth")
    images_B = torch.randn(2, 3, 64, 64)
    for name in ("original.pth", "timm.pth"):
        network = build_classifier("efficientnet_lite0", "linear", 1000, str(tmp_path / name), seed=1).eval()
        torch.testing.assert_close(network(images_B), donor.eval()(images_B))
    fewer = build_classifier("efficientnet_lite0", "linear", 3, str(tmp_path / "original.pth"), seed=1)
    assert torch.equal(fewer.backbone.conv_stem.weight, donor.conv_stem.weight)
    assert fewer.head.linear.weight.shape == (3, 1280)


def test_names_of_neither_kind_are_told(tmp_path):
    path = tmp_path / "w.pth"
    torch.save({"_conv_stem.weight": torch.zeros(32, 3, 3, 3), "_blocks.16._bn1.bias": torch.zeros(1)}, path)
    with pytest.raises(InputError, match=r"holds the unknown backbone\._blocks\.16\._bn1\.bias"):
        build_classifier("efficientnet_lite0", "linear", 2, str(path), seed=1)


@pytest.mark.parametrize(
    ("name", "size", "options"),
    [
        ("resnet18.a1_in1k", 64, {}),
        ("mobilenetv3_small_050", 64, {}),
        ("vit_tiny_patch16_224", 224, {"global_pool": "avg", "fc_norm": False}),
        ("swin_tiny_patch4_window7_224", 224, {}),
        ("regnetx_002", 64, {}),
    ],
)
def test_logits_equal_those_of_timms_own_model(tmp_path, name, size, options):
    donor = timm.create_model(name, **options).eval()
    torch.save(donor.state_dict(), tmp_path / "w.pth")
    network = build_classifier(f"timm/{name}", "linear", 1000, str(tmp_path / "w.pth"), seed=1, image_size=size).eval()
    images_B = torch.randn(2, 3, size, size)
    with torch.no_grad():
        features_BCHW = network.layout(network.backbone(images_B))
        assert features_BCHW.ndim == 4
        assert features_BCHW.shape[1] == network.head.linear.in_features
        torch.testing.assert_close(network(images_B), donor(images_B), rtol=1e-3, atol=1e-4)


def test_channels_that_come_last_and_tokens_become_a_map():
    output_BHWC = torch.arange(24.0).reshape(1, 2, 3, 4)
    assert torch.equal(PlacesFirst(None)(output_BHWC)[0, :, 1, 2], output_BHWC[0, 1, 2])
    tokens_BTC = torch.arange(20.0).reshape(1, 5, 4)
    features_BCHW = PlacesFirst(2)(tokens_BTC)
    assert features_BCHW.shape == (1, 4, 3, 1)
    assert torch.equal(features_BCHW[0, :, 0, 0], tokens_BTC[0, 2])


def test_tresnet_l_carries_a_decoder():
    network = build_classifier(
        "tresnet_l", "decoder", 5, "none", seed=0, head_settings=HeadSettings(queries=2), image_size=64
    )
    assert network.head.projection.in_features == 2432
    assert network.classifiers == ("head.fc",)
    with torch.no_grad():
        assert network.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 5)


def test_images_are_normalised_as_timm_says():
    assert normalisation("tresnet_l") == ZEROS_AND_ONES
    assert normalisation("efficientnet_lite0") == HALVES
    assert normalisation("timm/resnet18.a1_in1k") == normalisation("resnet18")


def test_neither_building_nor_training_draws_from_the_global_generator():
    # As timm builds it, this one has dropout.
    assert timm.create_model("ghostnet_050").drop_rate > 0
    before = torch.get_rng_state()
    first, second = (build_classifier("timm/ghostnet_050", "linear", 2, "none", seed=4) for _ in range(2))
    first.train()(torch.zeros(2, 3, 64, 64)).sum().backward()
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one, other) for one, other in zip(first.parameters(), second.parameters(), strict=True))
    assert second.training
    assert second.backbone.training


def test_models_with_timms_backbones_are_saved_and_loaded(tmp_path):
    network = build_classifier("timm/resnet10t", "decoder", 4, "none", seed=1, head_settings=HeadSettings(queries=3))
    spec = ClassifierSpec.of(
        "timm/resnet10t", "decoder", 64, ["a", "b", "c", "d"], head_settings=HeadSettings(queries=3)
    )
    save_classifier(Classifier(network, spec), tmp_path)
    loaded = load_classifier(tmp_path)
    assert loaded.spec == spec
    assert states_equal(loaded.network, network)


@pytest.mark.parametrize("backbone", ["tresnet_l", "efficientnet_lite0", "timm/resnet18"])
def test_without_timm_the_remedy_is_told(monkeypatch, backbone):
    monkeypatch.setitem(sys.modules, "timm", None)
    for attempt in (normalisation, lambda name: build_classifier(name, "linear", 2, "none", seed=0)):
        with pytest.raises(InputError, match=f"is {backbone}, which needs timm") as caught:
            attempt(backbone)
        assert caught.value.remedy == 'run pip install "bmix[timm]", or choose another backbone'


@pytest.mark.parametrize(
    ("name", "near"),
    [("vit_tiny_patch16_22", "vit_tiny_patch16_224"), ("resnet18.a1_in1", "resnet18.a1_in1k"), ("resnet_18", "resnet")],
)
def test_unknown_names_are_refused_with_the_nearest(name, near):
    with pytest.raises(InputError, match=f"timm/{name}', which timm .* does not know") as caught:
        build_classifier(f"timm/{name}", "linear", 2, "none", seed=0)
    assert f'Did you mean "timm/{near}' in caught.value.remedy


def test_another_image_size_than_a_transformer_takes_is_refused():
    with pytest.raises(InputError, match="does not take images of 128 pixels") as caught:
        build_classifier("timm/vit_tiny_patch16_224", "linear", 2, "none", seed=0, image_size=128)
    assert caught.value.remedy.startswith("set data.image_size to 224")


@pytest.mark.parametrize("name", ["deit_tiny_distilled_patch16_224", "efficientvit_b0"])
def test_models_without_a_map_are_refused(name):
    with pytest.raises(InputError, match="cannot be had without its last layer and pooling"):
        build_classifier(f"timm/{name}", "linear", 2, "none", seed=0)


def test_weights_that_cannot_be_downloaded_say_what_to_do(tmp_path):
    code = (
        "from bmix.support.errors import InputError\nfrom bmix.models.backbones import build_classifier\n"
        "try:\n    build_classifier('timm/resnet10t', 'linear', 2, 'imagenet', seed=0)\n"
        "except InputError as error:\n    print(error.where, error.found, error.remedy, sep='|')"
    )
    environment = os.environ | {"HF_HOME": str(tmp_path), "TORCH_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    where, found, remedy = done.stdout.split("|")
    assert where == "model.weights"
    assert "timm's weights of resnet10t cannot be had" in found
    assert remedy.strip() == "set model.weights to none, or to the path of a weights file fetched elsewhere"


@pytest.fixture(scope="module")
def real_data() -> Path:
    if "BMIX_TEST_DATA" not in os.environ:
        pytest.skip("BMIX_TEST_DATA names no folder of real data")
    return Path(os.environ["BMIX_TEST_DATA"])


@pytest.mark.real_data
def test_published_efficientnet_lite0_knows_the_objects_of_voc(real_data):
    network = build_classifier(
        "efficientnet_lite0", "linear", 1000, str(real_data / "efficientnet-lite0-57934424.pth"), seed=0
    ).eval()
    # ImageNet's classes for objects that VOC names.
    ranges = {"dog": range(151, 269), "cat": range(281, 288), "train": (466, 547, 565, 705, 820, 829)}
    mean, std = (torch.tensor(values)[:, None, None] for values in normalisation("efficientnet_lite0"))
    table = np.load(real_data / "voc2007-labels.npz")
    positive_NK = table["labels"] == 1
    hits = {}
    with zipfile.ZipFile(real_data / "voc2007-256.zip") as archive, torch.no_grad():
        for name, expected in ranges.items():
            of_class = positive_NK[:, list(table["class_names"]).index(name)] & (positive_NK.sum(axis=1) == 1)
            images = []
            for image_id in table["image_ids"][of_class & table["image_available"]][:12]:
                with archive.open(f"VOCdevkit/VOC2007/JPEGImages/{image_id}.jpg") as file:
                    images.append(image_tensor(Image.open(file), 224).float() / 255)
            logits_BK = network((torch.stack(images) - mean) / std)
            hits[name] = sum(int(best) in expected for best in logits_BK.argmax(dim=1)) / len(images)
    assert hits["dog"] > 0.8
    assert hits["train"] > 0.6
    assert hits["cat"] > 0.4
