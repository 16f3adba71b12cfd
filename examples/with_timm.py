"""BalanceMix with a network of timm, after an audit by its frozen features: `python examples/with_timm.py`.

Put `pretrained=True` and a network of your own choice in the place of the tiny one, for photographs.
"""

from __future__ import annotations

# Before timm imports torchvision, which alone fails beside some CPU-only builds of torch.
import bmix.torchvision_import

# isort: split
import timm
import torch
from shapes import CLASSES, Shapes, draw_images, with_wrong_labels
from torch.utils.data import DataLoader

import bmix

EPOCHS, WARMUP_EPOCHS, BATCH = 6, 3, 16

torch.manual_seed(0)
images, true = draw_images(240, seed=0)
given = with_wrong_labels(true, 0.1, seed=1)
wrong = given != true

# Which labels are wrong, before anything is trained on them: features (N, D) that have not seen them are enough.
network = timm.create_model("test_resnet", pretrained=False, num_classes=len(CLASSES)).eval()
with torch.no_grad():
    features = network.forward_head(network.forward_features(images), pre_logits=True)
audit = bmix.audit_labels(features, given, class_names=CLASSES)
print(audit.classes[["class", "positives", "wrong_share", "missing_share", "judged"]].round(2).to_string(index=False))
first = audit.quality.ravel().argsort()[:24]
print(f"of the 24 labels to be looked at first {wrong.numpy().ravel()[first].sum()} are wrong")

# Training on all of them as they are given.
optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
generator = torch.Generator().manual_seed(0)
sampler = bmix.MinoritySampler(given, generator)
labels = bmix.ManagedLabels(given)
batches = DataLoader(Shapes(images, augment=True), BATCH, shuffle=True, drop_last=True)
partners = DataLoader(Shapes(images, augment=True), BATCH, sampler=sampler, drop_last=True)

losses = []
for epoch in range(1, EPOCHS + 1):
    network.train()
    for (rows, views), (partner_rows, partner_views) in zip(batches, partners, strict=True):
        targets, _, weight = labels.refine(rows, network, views)
        partner_targets, _, _ = labels.refine(partner_rows, network, partner_views)
        share = bmix.mixing_coefficient(4.0, BATCH, generator)
        logits = network(bmix.mix(views[0], partner_views[0], share))
        loss = bmix.balancemix_loss(logits, bmix.mix(targets, partner_targets, share), weight)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    network.eval()
    with torch.no_grad():
        logits = torch.cat([network(part) for part in images.split(BATCH)])
    sampler.update(logits)
    if epoch >= WARMUP_EPOCHS:
        labels.update(logits)
    print(f"epoch {epoch}: loss {sum(losses[-len(batches) :]) / len(batches):.3f}")

doubted = labels.p_clean <= 0.5
print(
    f"of {wrong.sum()} wrong labels {(doubted & wrong).sum()} are doubted, and of the others {(doubted & ~wrong).sum()}"
)
