from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from bmix import load_model
from bmix.models.backbones import build_classifier, normalisation
from bmix.models.spec import ClassifierSpec
from bmix.models.store import Classifier, load_classifier, save_classifier
from bmix.support.errors import InputError
from bmix.torchvision_import import models, transforms


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    network = build_classifier("small", "linear", 3, "none", seed=5)
    # Batch statistics that differ from a new network's, so that training and evaluation mode give different numbers.
    network(torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 + 1)
    return Classifier(network, ClassifierSpec.of("small", "linear", 32, ["cat", "dog", "ünicorn"]))


@pytest.fixture(scope="module")
def pixels() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(1).integers(0, 256, (5, 3, 40, 48), dtype=np.uint8))


def pictures_of(pixels: torch.Tensor) -> list[Image.Image]:
    return [Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()) for image in pixels]


def states_equal(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_torchvision_transforms_and_models_work():
    view = transforms.RandAugment()(Image.new("RGB", (20, 20), "red"))
    assert view.size == (20, 20)
    assert models.resnet18(weights=None, num_classes=2).fc.out_features == 2


@pytest.mark.parametrize("first", ["import torchvision", "from torchvision import ops"])
def test_torchvision_imports_after_a_failed_import(first):
    code = (
        f"try:\n    {first}\nexcept RuntimeError:\n    pass\n"
        "from bmix.torchvision_import import torchvision, transforms\n"
        "import torchvision.datasets\n"
        "print(torchvision.__version__, transforms.RandAugment.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[1] == "RandAugment"


def test_models_import_without_pydantic():
    code = (
        "import sys\nsys.modules['pydantic'] = None\n"
        "import bmix.models.store, bmix.models.backbones, bmix.torchvision_import"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("size", [8, 17, 48])
def test_small_gives_a_logit_per_class_at_any_size(size):
    network = build_classifier("small", "linear", 7, "none", seed=0)
    logits_BK = network(torch.zeros(2, 3, size, size))
    assert logits_BK.shape == (2, 7)
    assert logits_BK.isfinite().all()


def test_small_has_five_convolutions_with_batch_norm_and_takes_the_maximum_over_places():
    network = build_classifier("small", "linear", 4, "none", seed=0).eval()
    kinds = [type(module) for module in network.modules()]
    assert kinds.count(torch.nn.Conv2d) == kinds.count(torch.nn.BatchNorm2d) == kinds.count(torch.nn.ReLU) == 5
    images_B = torch.randn(3, 3, 48, 48, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        pooled_BC = network.backbone(images_B).flatten(2).max(dim=2).values
        expected_BK = pooled_BC @ network.head.linear.weight.T + network.head.linear.bias
        torch.testing.assert_close(network(images_B), expected_BK)


def test_resnet_has_its_head_replaced():
    network = build_classifier("resnet18", "linear", 4, "none", seed=0).eval()
    assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 4)
    assert normalisation("resnet18") == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert normalisation("small") == ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


@pytest.mark.parametrize("backbone", ["small", "resnet18"])
def test_seed_alone_determines_the_first_weights(backbone):
    torch.manual_seed(1)
    first = build_classifier(backbone, "linear", 3, "none", seed=11)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    second = build_classifier(backbone, "linear", 3, "none", seed=11)
    assert torch.equal(torch.get_rng_state(), before)
    assert states_equal(first, second)
    assert not torch.equal(
        build_classifier(backbone, "linear", 3, "none", seed=12).head.linear.weight, first.head.linear.weight
    )


@pytest.mark.parametrize("form", ["safetensors", "torch", "checkpoint"])
def test_weights_file_is_read_and_another_head_drawn_anew(tmp_path, form):
    donor = build_classifier("small", "linear", 9, "none", seed=1)
    path = tmp_path / ("w.safetensors" if form == "safetensors" else "w.pth")
    if form == "safetensors":
        save_file(donor.state_dict(), path)
    else:
        torch.save(donor.state_dict() if form == "torch" else {"state_dict": donor.state_dict(), "epoch": 3}, path)
    assert states_equal(build_classifier("small", "linear", 9, str(path), seed=2), donor)
    other = build_classifier("small", "linear", 4, str(path), seed=2)
    assert states_equal(other.backbone, donor.backbone)
    assert states_equal(other.head, build_classifier("small", "linear", 4, "none", seed=2).head)


def test_weights_without_a_head_or_counters_are_enough(tmp_path):
    donor = build_classifier("resnet18", "linear", 2, "none", seed=1)
    kept = {n: v for n, v in donor.state_dict().items() if not n.startswith("head.") and "num_batches" not in n}
    torch.save(kept, tmp_path / "w.pth")
    network = build_classifier("resnet18", "linear", 5, str(tmp_path / "w.pth"), seed=2)
    assert torch.equal(network.backbone.layer4[1].conv2.weight, donor.backbone.layer4[1].conv2.weight)


def test_unfit_weights_are_refused_with_file_and_keys(tmp_path):
    state = build_classifier("small", "linear", 2, "none", seed=1).state_dict()
    state["backbone.stem.weight"] = state.pop("backbone.features.0.weight")
    state["backbone.features.1.bias"] = torch.zeros(5)
    path = tmp_path / "w.pth"
    torch.save(state, path)
    with pytest.raises(InputError) as caught:
        build_classifier("small", "linear", 2, str(path), seed=0)
    assert caught.value.where == str(path)
    assert caught.value.found == (
        "lacks backbone.features.0.weight; holds the unknown backbone.stem.weight; "
        "holds backbone.features.1.bias (5,) instead of (16,)"
    )


class Dangerous:
    def __reduce__(self):
        return (Path.touch, (Path("touched"),))


@pytest.mark.parametrize("content", ["missing", "text", "damaged", "code", "list"])
@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_files_that_are_no_weights_are_refused(tmp_path, monkeypatch, content, suffix):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"w.{suffix}"
    if content == "text":
        path.write_text("no weights at all")
    elif content == "damaged":
        path.write_bytes(b"ehello world")
    elif content == "code":
        torch.save({"w": Dangerous()}, path)
    elif content == "list":
        torch.save([torch.zeros(1)], path)
    neither = "not readable as weights: neither safetensors nor a file of tensors"
    found = {"missing": "no such file", "list": f"holds no state dict|{neither}"}.get(content, neither)
    with pytest.raises(InputError, match=found) as caught:
        build_classifier("small", "linear", 2, str(path), seed=0)
    assert caught.value.where == str(path)
    assert "weights_only" not in str(caught.value)
    assert not (tmp_path / "touched").exists()


def test_imagenet_without_a_connection_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    # Nothing listens on this port.
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(InputError, match="cannot be had") as caught:
        build_classifier("resnet18", "linear", 2, "imagenet", seed=0)
    assert "download.pytorch.org" in caught.value.found
    assert caught.value.remedy == "set model.weights to none, or to the path of a weights file fetched elsewhere"


def test_imagenet_weights_in_the_cache_are_checked(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    donor = models.resnet18(weights=None)
    cached = tmp_path / "hub" / "checkpoints" / Path(models.ResNet18_Weights.IMAGENET1K_V1.url).name
    cached.parent.mkdir(parents=True)
    torch.save(donor.state_dict(), cached)
    network = build_classifier("resnet18", "linear", 2, "imagenet", seed=0)
    assert torch.equal(network.backbone.conv1.weight, donor.conv1.weight)
    cached.write_bytes(b"cut off")
    with pytest.raises(InputError, match="cannot be had"):
        build_classifier("resnet18", "linear", 2, "imagenet", seed=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("smal", "linear", 2, "none"), 'Did you mean "small"'),
        (("small", "forest", 2, "none"), "one of linear, mlp, decoder"),
        (("small", "linear", 0, "none"), "at least one class"),
        (("small", "linear", 2, "imagenet"), "never trained on ImageNet"),
    ],
)
def test_impossible_networks_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        build_classifier(*arguments, seed=0)


def test_predict_is_the_same_for_every_form_of_a_picture(classifier, pixels, tmp_path):
    pictures = pictures_of(pixels)
    paths = [tmp_path / f"{position}.png" for position in range(5)]
    for picture, path in zip(pictures, paths, strict=True):
        picture.save(path)
    probability_BK = classifier.predict(pixels)
    assert probability_BK.shape == (5, 3)
    assert probability_BK.dtype == torch.float32
    assert probability_BK.std(dim=0).min() > 0
    assert torch.equal(classifier.predict(pictures), probability_BK)
    assert torch.equal(classifier.predict(iter(map(str, paths))), probability_BK)
    torch.testing.assert_close(classifier.predict(paths, batch_size=2), probability_BK)
    torch.testing.assert_close(classifier.predict(pictures[1]), probability_BK[1:2])
    torch.testing.assert_close(classifier.predict(paths[4]), probability_BK[4:])


def test_predict_normalises_resized_pixels_and_uses_evaluation_mode(classifier, pixels):
    resized = [np.asarray(p.resize((32, 32), Image.Resampling.BILINEAR)) for p in pictures_of(pixels)]
    images_B = torch.from_numpy(np.stack(resized).transpose(0, 3, 1, 2).astype(np.float32))
    network = classifier.network.eval()
    with torch.no_grad():
        expected_BK = torch.sigmoid(network((images_B / 255 - 0.5) / 0.25))
    network.train()
    counter = network.backbone.features[1].num_batches_tracked.item()
    torch.testing.assert_close(classifier.predict(pixels), expected_BK)
    assert network.training
    assert network.backbone.features[1].num_batches_tracked.item() == counter


def test_predict_of_nothing_is_empty(classifier):
    assert classifier.predict([]).shape == (0, 3)


@pytest.mark.parametrize("shape", [(3, 32, 32), (2, 1, 32, 32)])
def test_predict_refuses_tensors_of_another_form(classifier, shape):
    with pytest.raises(InputError, match="uint8"):
        classifier.predict(torch.zeros(shape, dtype=torch.uint8))
    with pytest.raises(InputError, match=r"torch\.float32 \(2, 3, 32, 32\)"):
        classifier.predict(torch.zeros(2, 3, 32, 32))


def test_predict_names_an_unreadable_file(classifier, tmp_path):
    path = tmp_path / "broken.png"
    path.write_bytes(b"no image")
    with pytest.raises(InputError, match=r"broken\.png"):
        classifier.predict([path])


def test_saved_and_loaded_models_are_equal_and_so_are_their_bytes(classifier, pixels, tmp_path):
    for name in ("one", "two"):
        save_classifier(classifier, tmp_path / name)
    loaded = load_model(tmp_path / "one")
    save_classifier(loaded, tmp_path / "three")
    for file in ("model.safetensors", "model.json"):
        contents = {(tmp_path / name / file).read_bytes() for name in ("one", "two", "three")}
        assert len(contents) == 1
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == ["model.json", "model.safetensors"]
    assert loaded.spec == classifier.spec
    assert loaded.classes == ("cat", "dog", "ünicorn")
    assert not loaded.training
    assert torch.equal(loaded.predict(pixels), classifier.predict(pixels))


def test_a_saved_model_serves_as_first_weights(classifier, tmp_path):
    save_classifier(classifier, tmp_path)
    network = build_classifier("small", "linear", 3, str(tmp_path / "model.safetensors"), seed=9)
    assert states_equal(network, classifier.network)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"backbone": "huge"}, "backbone is 'huge'"),
        ({"backbone": ["small"]}, r"backbone is \['small'\]"),
        ({"image_size": 0}, "image_size is 0"),
        ({"classes": ["a", "a", "b"]}, "none twice"),
        ({"std": [0.1, 0.0, 0.1]}, "three numbers above 0"),
        ({"mean": [0.1]}, "three numbers"),
        ({"extra": 1}, "the keys backbone, head"),
        ({"classes": ["a"]}, r"head\.linear\.weight \(3, 128\) instead of \(1, 128\)"),
        ({"backbone": "resnet18"}, r"lacks .* and \d+ more; holds the unknown .*features"),
    ],
)
def test_models_that_do_not_fit_their_description_are_refused(classifier, tmp_path, edit, message):
    save_classifier(classifier, tmp_path)
    description = tmp_path / "model.json"
    description.write_text(json.dumps(json.loads(description.read_text(encoding="utf-8")) | edit))
    with pytest.raises(InputError, match=message) as caught:
        load_classifier(tmp_path)
    assert str(tmp_path) in caught.value.where


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_missing_and_cut_files_are_refused(classifier, tmp_path, name, damage):
    save_classifier(classifier, tmp_path)
    path = tmp_path / name
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match="no such file" if damage == "missing" else "not readable as") as caught:
        load_classifier(tmp_path)
    assert caught.value.where == str(path)


@pytest.fixture(name="features_BD")
def made_features() -> torch.Tensor:
    return torch.randn(20, 5, generator=torch.Generator().manual_seed(4)) * 3 + 2


@pytest.mark.parametrize(("head", "count", "width"), [("linear", 5, None), ("mlp", 5, 64), ("mlp", 100, 100)])
def test_identity_gives_logits_of_standardised_features(head, count, width):
    features_BD = torch.randn(20, count, generator=torch.Generator().manual_seed(4)) * 3 + 2
    network = build_classifier("identity", head, 3, "none", seed=1, feature_count=count)
    network.standardise.fit(features_BD.mean(dim=0), features_BD.std(dim=0))
    network.eval()
    scaled_BD = (features_BD - features_BD.mean(dim=0)) / features_BD.std(dim=0)
    if width is not None:
        linear, norm, _ = network.head.hidden
        assert linear.weight.shape == (width, count)
        scaled_BD = torch.relu(norm(scaled_BD @ linear.weight.T))
    expected_BK = scaled_BD @ network.head.linear.weight.T + network.head.linear.bias
    torch.testing.assert_close(network(features_BD), expected_BK)


def test_a_feature_that_never_varies_is_only_centred(features_BD):
    network = build_classifier("identity", "linear", 3, "none", seed=1, feature_count=5)
    network.standardise.fit(torch.arange(5.0), torch.tensor([0.0, 1, 2, 4, 0]))
    expected_BD = (features_BD - torch.arange(5)) / torch.tensor([1, 1, 2, 4, 1])
    torch.testing.assert_close(network.standardise(features_BD), expected_BD)


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_identity_models_are_saved_and_loaded_with_their_scaling(tmp_path, features_BD, head):
    network = build_classifier("identity", head, 3, "none", seed=1, feature_count=5)
    network.standardise.fit(features_BD.mean(dim=0), features_BD.std(dim=0))
    spec = ClassifierSpec.of("identity", head, 224, ["a", "b", "c"], features=5)
    classifier = Classifier(network, spec)
    save_classifier(classifier, tmp_path)
    loaded = load_model(tmp_path)
    assert loaded.spec == spec
    assert torch.equal(loaded.normalise(features_BD.double()), features_BD)
    assert torch.equal(loaded.predict(features_BD, batch_size=20), classifier.predict(features_BD, batch_size=20))
    with torch.no_grad():
        torch.testing.assert_close(loaded.predict(features_BD, batch_size=3), network.eval()(features_BD).sigmoid())
    started = build_classifier("identity", head, 3, str(tmp_path / "model.safetensors"), seed=9, feature_count=5)
    assert states_equal(started, network)


@pytest.mark.parametrize("unfit", [torch.zeros(2, 4), torch.zeros(5), torch.zeros(2, 5, dtype=torch.int64), "a.png"])
def test_identity_predicts_from_features_alone(unfit):
    network = build_classifier("identity", "linear", 3, "none", seed=1, feature_count=5)
    classifier = Classifier(network, ClassifierSpec.of("identity", "linear", 224, ["a", "b", "c"], features=5))
    with pytest.raises(InputError, match=r"a float tensor \(B, 5\)"):
        classifier.predict(unfit)


def test_identity_needs_the_number_of_features():
    with pytest.raises(InputError, match="feature_count: is None"):
        build_classifier("identity", "linear", 3, "none", seed=1)


def test_descriptions_written_before_there_were_features_are_read(classifier, tmp_path):
    save_classifier(classifier, tmp_path)
    path = tmp_path / "model.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    assert list(content) == ["backbone", "head", "image_size", "classes", "mean", "std", "queries", "features"]
    path.write_text(json.dumps({key: value for key, value in content.items() if key not in ("queries", "features")}))
    assert load_classifier(tmp_path).spec == classifier.spec


@pytest.mark.parametrize("backbone", ["resnet18", "resnet50", "resnet101"])
def test_torchvisions_files_give_torchvisions_logits(tmp_path, backbone):
    donor = models.get_model(backbone, weights=None).eval()
    torch.save(donor.state_dict(), tmp_path / "w.pth")
    network = build_classifier(backbone, "linear", 1000, str(tmp_path / "w.pth"), seed=1).eval()
    images_B = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        # In the order of the channels in which ours computes: other orders round otherwise.
        expected_BK = donor(images_B.contiguous(memory_format=torch.channels_last))
        torch.testing.assert_close(network(images_B), expected_BK, rtol=1e-4, atol=1e-4)
