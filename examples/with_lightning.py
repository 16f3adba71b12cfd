"""BalanceMix as a module of PyTorch Lightning: `python examples/with_lightning.py`."""

from __future__ import annotations

# Before timm imports torchvision, which alone fails beside some CPU-only builds of torch.
import bmix.torchvision_import

# isort: split
import pytorch_lightning as lightning
import timm
import torch
from shapes import CLASSES, Shapes, draw_images, with_wrong_labels
from torch import Tensor, nn
from torch.utils.data import DataLoader

import bmix

EPOCHS, WARMUP_EPOCHS, BATCH = 6, 3, 16


class BalanceMixModule(lightning.LightningModule):
    """Any network, trained by the method on images with the given labels (N, K)."""

    def __init__(self, network: nn.Module, images: Tensor, given: Tensor, seed: int = 0) -> None:
        super().__init__()
        self.network, self.images = network, images
        self.generator = torch.Generator().manual_seed(seed)
        self.sampler = bmix.MinoritySampler(given, self.generator)
        self.labels = bmix.ManagedLabels(given)
        self.epoch_losses: list[float] = []
        self.losses: list[Tensor] = []

    def train_dataloader(self) -> list[DataLoader]:
        """A random image and a partner at each step: Lightning draws from both loaders."""
        photos = Shapes(self.images, augment=True)
        return [
            DataLoader(photos, BATCH, shuffle=True, drop_last=True),
            DataLoader(photos, BATCH, sampler=self.sampler, drop_last=True),
        ]

    def training_step(self, batch: list, _: int) -> Tensor:
        """Eq. 9 for both images, eq. 5, eq. 10."""
        (rows, views), (partner_rows, partner_views) = batch
        targets, _, weight = self.labels.refine(rows, self.network, views)
        partner_targets, _, _ = self.labels.refine(partner_rows, self.network, partner_views)
        share = bmix.mixing_coefficient(4.0, len(rows), self.generator)
        logits = self.network(bmix.mix(views[0], partner_views[0], share.to(self.device)))
        targets = bmix.mix(targets, partner_targets, share)
        loss = bmix.balancemix_loss(logits, targets.to(self.device), weight.to(self.device))
        self.losses.append(loss.detach())
        return loss

    def on_train_epoch_end(self) -> None:
        """Eq. 2-4, and from the last warm-up epoch on eq. 6-8."""
        self.network.eval()
        with torch.no_grad():
            parts = [self.network(part.to(self.device)) for part in self.images.split(BATCH)]
        self.network.train()
        logits = torch.cat(parts).cpu()
        self.sampler.update(logits)
        if self.current_epoch + 1 >= WARMUP_EPOCHS:
            self.labels.update(logits)
        self.epoch_losses.append(torch.stack(self.losses).mean().item())
        self.losses.clear()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW on all parameters."""
        return torch.optim.AdamW(self.network.parameters(), lr=1e-3)


lightning.seed_everything(0, verbose=False)
images, true = draw_images(240, seed=0)
given = with_wrong_labels(true, 0.1, seed=1)
module = BalanceMixModule(timm.create_model("test_resnet", num_classes=len(CLASSES)), images, given)
trainer = lightning.Trainer(
    max_epochs=EPOCHS,
    accelerator="auto",
    devices=1,
    logger=False,
    enable_checkpointing=False,
    enable_progress_bar=False,
    enable_model_summary=False,
)
trainer.fit(module)

doubted, wrong = module.labels.p_clean <= 0.5, given != true
print(f"loss {module.epoch_losses[0]:.3f} in the first epoch, {module.epoch_losses[-1]:.3f} in the last")
print(
    f"of {wrong.sum()} wrong labels {(doubted & wrong).sum()} are doubted, and of the others {(doubted & ~wrong).sum()}"
)
