"""BalanceMix in a plain PyTorch loop with a network of torchvision: `python examples/plain_pytorch.py`."""

from __future__ import annotations

import torch
from shapes import CLASSES, Shapes, draw_images, with_wrong_labels
from torch.utils.data import DataLoader

import bmix
from bmix.torchvision_import import models  # torchvision's

EPOCHS, WARMUP_EPOCHS, BATCH = 6, 3, 16

torch.manual_seed(0)
images, true = draw_images(240, seed=0)
given = with_wrong_labels(true, 0.1, seed=1)
network = models.ResNet(models.resnet.BasicBlock, [1, 1, 1, 1], num_classes=len(CLASSES))
optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)

# From here on the method and the loop, whatever the network and the data.
generator = torch.Generator().manual_seed(0)
sampler = bmix.MinoritySampler(given, generator)
labels = bmix.ManagedLabels(given)
batches = DataLoader(Shapes(images, augment=True), BATCH, shuffle=True, drop_last=True)
partners = DataLoader(Shapes(images, augment=True), BATCH, sampler=sampler, drop_last=True)
in_order = DataLoader(Shapes(images, augment=False), BATCH)

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
        logits = torch.cat([network(views[0]) for _, views in in_order])
    sampler.update(logits)
    if epoch >= WARMUP_EPOCHS:
        labels.update(logits)
    print(f"epoch {epoch}: loss {sum(losses[-len(batches) :]) / len(batches):.3f}")

doubted, wrong = labels.p_clean <= 0.5, given != true
print(
    f"of {wrong.sum()} wrong labels {(doubted & wrong).sum()} are doubted, and of the others {(doubted & ~wrong).sum()}"
)
