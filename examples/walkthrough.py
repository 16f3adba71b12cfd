"""From a CSV with wrong labels to a corrected CSV and a better model, as the cells of a notebook."""

# %% [markdown]
# # From a CSV with wrong labels to a corrected CSV and a better model
#
# Cells of a notebook: open this file in VS Code or Jupyter (with jupytext), or run `python examples/walkthrough.py`.
# As it stands it draws 500 tiny pictures and gets every eighth label wrong, so that it ends in seconds and can say how
# well it did. For a CSV of your own, with the columns `path` and `labels` (names joined by `;`), set in the shell
#
#     export TABLE=my/labels.csv IMAGES=my/images

# %%
from __future__ import annotations

import os
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from PIL import Image
from shapes import CLASSES, draw_images, with_wrong_labels
from torch import Tensor, nn

import bmix
from bmix.evaluation.metrics import average_precision, mean_average_precision
from bmix.torchvision_import import models, transforms

TABLE, IMAGES = os.environ.get("TABLE"), Path(os.environ.get("IMAGES", "."))
torch.manual_seed(0)


def joined(row: np.ndarray, names: list[str]) -> str:
    """The names of the classes that are 1 in a row, as a cell of the table."""
    return ";".join(name for name, present in zip(names, row, strict=True) if present)


# %% [markdown]
# ## The data
#
# Drawn here, and written as a user has it: a CSV beside a folder of images.

# %%
truth = None
output = Path(TABLE).parent if TABLE else Path(tempfile.mkdtemp(prefix="walkthrough-"))
if not TABLE:
    pictures, true = draw_images(500, seed=0)
    TABLE, IMAGES = str(output / "labels.csv"), output
    paths = [f"{row:03d}.png" for row in range(len(pictures))]
    for path, picture in zip(paths, pictures, strict=True):
        Image.fromarray((picture.clamp(0, 1) * 255).byte().permute(1, 2, 0).numpy()).save(output / path)
    truth = true.numpy().astype(int)
    wrong = with_wrong_labels(true, 1 / 8, seed=1).numpy().astype(int)
    pd.DataFrame({"path": paths, "labels": [joined(row, CLASSES) for row in wrong]}).to_csv(TABLE, index=False)

table = pd.read_csv(TABLE, dtype=str, keep_default_na=False)
given_names = table["labels"].str.split(";")
names = sorted({name for row in given_names for name in row if name})
given = np.array([[name in row for name in names] for row in given_names]).astype(int)
if truth is not None:
    truth = truth[:, [CLASSES.index(name) for name in names]]
print(f"{len(table)} images, {given.sum()} labels of {len(names)} classes")

# %% [markdown]
# ## Features that have not seen these labels
#
# Of a network trained on other images. Of the tiny pictures the pixels themselves are enough.

# %%
if truth is None:
    weights = models.ResNet18_Weights.DEFAULT
    network, prepared = models.resnet18(weights=weights), weights.transforms()
    network.fc = nn.Identity()
else:
    network, prepared = nn.Flatten(), transforms.Compose([transforms.Resize((8, 8)), transforms.PILToTensor()])
network.eval()
parts = []
with torch.no_grad():
    for start in range(0, len(table), 50):
        images = [Image.open(IMAGES / path).convert("RGB") for path in table["path"][start : start + 50]]
        parts.append(network(torch.stack([prepared(image) for image in images]).float()))
features = torch.cat(parts).numpy()

# %% [markdown]
# ## Which labels are wrong?
#
# Every label is judged by models that never saw it. The table says, class by class, how many of the given labels are
# wrong and how many are missing, and whether that can be told at all.

# %%
audit = bmix.audit_labels(features, given, class_names=names)
print(audit.classes[["class", "positives", "wrong_share", "missing_share", "judged"]].round(2).to_string(index=False))

# %% [markdown]
# Those to look at first, in pictures:

# %%
first = audit.quality.ravel().argsort()[:24]
figure, axes = plt.subplots(3, 8, figsize=(12, 5.5))
for axis, label in zip(axes.flat, first, strict=True):
    row, column = divmod(int(label), len(names))
    axis.imshow(Image.open(IMAGES / table["path"][row]))
    said = "given" if given[row, column] else "not given"
    axis.set_title(f"{names[column]}: {said}", fontsize=8)
    axis.axis("off")
figure.savefig(output / "suspects.png", dpi=80)
if truth is not None:
    mistaken = given != truth
    print(f"of the first 24 labels {mistaken.ravel()[first].sum()} are wrong")

# %% [markdown]
# ## The corrected table
#
# A label is turned round where its value is unlikely enough. `bmix labels review` asks people instead, on a page.

# %%
SURE = 0.8
corrected = np.where(audit.p_present > SURE, 1, np.where(audit.p_present < 1 - SURE, 0, given))
changed = (corrected != given).any(axis=1)
new_table = table.copy()
new_table.loc[changed, "labels"] = [joined(row, names) for row in corrected[changed]]
new_table.to_csv(output / "corrected.csv", index=False)
print(f"{(corrected != given).sum()} labels of {changed.sum()} images corrected: {output / 'corrected.csv'}")
if truth is not None:
    print(f"wrong labels: {mistaken.sum()} in the given table, {(corrected != truth).sum()} in the corrected one")

# %% [markdown]
# ## A better model
#
# The same small network on the same features, trained on one half of each table and measured on the other half. Of
# images of your own nobody knows the truth: both are measured by the corrected labels, which favours the second.

# %%
everything = np.random.default_rng(0).permutation(len(table))
train, test = everything[: len(table) // 2], everything[len(table) // 2 :]
measured = corrected if truth is None else truth
inputs = torch.from_numpy((features - features.mean(axis=0)) / (features.std(axis=0) + 1e-6)).float()


def trained_on(labels: np.ndarray) -> Tensor:
    """Probabilities (N, K) of every image by a network trained on the labels of the training part."""
    torch.manual_seed(0)
    head = nn.Linear(inputs.shape[1], len(names))
    optimizer = torch.optim.AdamW(head.parameters(), lr=3e-3, weight_decay=0.1)
    targets = torch.from_numpy(labels).float()
    for _ in range(300):
        optimizer.zero_grad()
        bmix.balancemix_loss(head(inputs[train]), targets[train]).backward()
        optimizer.step()
    return head(inputs).sigmoid().detach()


results = {}
for name, labels in (("given", given), ("corrected", corrected)):
    precision = average_precision(trained_on(labels)[test].numpy(), measured[test])
    results[name] = mean_average_precision(precision)["all"]
    print(f"mAP of the model trained on the {name} labels: {100 * results[name]:.1f}")

# %% [markdown]
# ## Further
#
# The pipeline does this, and trains the whole network by BalanceMix, which doubts labels while it learns them:
#
#     bmix repro --set data.source=table data.path=my/corrected.csv data.root=my/images noise.kind=none
