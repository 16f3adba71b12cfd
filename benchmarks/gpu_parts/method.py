"""The method's functions on the device against their results on the CPU, from the same inputs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu_parts.setting import Setting
from bmix.method.mixing import mix, mixing_coefficient
from bmix.method.mixture import LossMixtures, fit_loss_mixtures
from bmix.method.objective import balancemix_loss, confidence, label_losses
from bmix.method.refine import refine_labels
from bmix.method.sampling import RareLabels, class_confidence, draw, instance_scores, sampling_probability

BATCH, SIDE = 64, 224
ROUNDS = 3

Inputs = dict[str, Any]
Outputs = dict[str, Tensor]


@dataclass(frozen=True)
class Case:
    """A function of inputs, which lie on one device, and the largest deviation from the CPU that passes.

    Of whole numbers and bools the deviation is the share of the values that differ.
    """

    name: str
    tolerance: float
    compute: Callable[[Inputs], Outputs]


def _fit(i: Inputs) -> Outputs:
    return fit_loss_mixtures(i["losses_NK"], i["given_NK"]).state()


def _posterior(i: Inputs) -> Outputs:
    return {"p_clean": LossMixtures.from_state(i["mixtures"]).clean_probability(i["losses_NK"], i["given_NK"])}


def _class_confidence(i: Inputs) -> Outputs:
    presence_K, absence_K = class_confidence(i["confidence_NK"], i["given_NK"])
    return {"presence": presence_K, "absence": absence_K}


def _scores(i: Inputs) -> Outputs:
    return {"scores": instance_scores(RareLabels.of(i["given_NK"]), i["presence_K"], i["absence_K"])}


def _probability(i: Inputs) -> Outputs:
    """N p(x), which is 1 for a uniform draw."""
    return {"N·p": sampling_probability(i["scores_N"]) * len(i["scores_N"])}


def _draw(i: Inputs) -> Outputs:
    generator = torch.Generator().manual_seed(0)
    return {"drawn": draw(i["probability_N"], len(i["probability_N"]), generator)}


def _refine(i: Inputs) -> Outputs:
    labels, verdict, weight = refine_labels(i["given_NK"], i["p_clean_NK"], i["confidence_NK"], epsilon=0.9)
    return {"labels": labels, "verdict": verdict, "weight": weight}


def _mix(i: Inputs) -> Outputs:
    return {"images": mix(i["first_B"], i["second_B"], i["coefficient_B"])}


def _loss(i: Inputs) -> Outputs:
    logits = i["logits_NK"][:BATCH].clone().requires_grad_()
    loss = balancemix_loss(logits, i["targets_NK"][:BATCH], i["p_clean_NK"][:BATCH])
    (gradient,) = torch.autograd.grad(loss, logits)
    return {"loss": loss.detach(), "gradient": gradient}


CASES = (
    Case("label_losses", 1e-5, lambda i: {"losses": label_losses(i["logits_NK"], i["given_NK"])}),
    Case(
        "label_losses of bfloat16", 1e-5, lambda i: {"losses": label_losses(i["logits_NK"].bfloat16(), i["given_NK"])}
    ),
    Case("confidence", 1e-6, lambda i: {"confidence": confidence(i["logits_NK"])}),
    Case("fit_loss_mixtures", 0.0, _fit),
    Case("clean_probability", 1e-6, _posterior),
    Case("class_confidence", 1e-6, _class_confidence),
    Case("instance_scores", 1e-9, _scores),
    Case("sampling_probability", 1e-9, _probability),
    Case("draw", 0.0, _draw),
    Case("refine_labels", 0.0, _refine),
    Case("mix", 1e-6, _mix),
    Case("balancemix_loss", 1e-4, _loss),
)


def measure(setting: Setting) -> dict[str, Any]:
    """Every case's deviation, tolerance, whether it passes, and its ms on both."""
    inputs = _inputs(setting.scale.label_images, setting.scale.classes)
    there = {name: _moved(value, setting.device) for name, value in inputs.items()}
    images, classes = inputs["given_NK"].shape
    print(
        f"{images} images x {classes} classes; deviation of the device from the CPU, and the fastest of {ROUNDS} in ms"
    )
    print(f"{'':26}{'deviation':>11}{'tolerance':>11}{'':>8}{'CPU':>10}{'device':>10}")
    rows = []
    for case in CASES:
        expected, cpu_ms = _timed(case, inputs, lambda: None)
        found, device_ms = _timed(case, there, setting.synchronise)
        deviation = max(_deviation(value, found[name].cpu()) for name, value in expected.items())
        passed = deviation <= case.tolerance
        rows.append(
            {
                "name": case.name,
                "deviation": deviation,
                "tolerance": case.tolerance,
                "passed": passed,
                "cpu_ms": round(cpu_ms, 3),
                "device_ms": round(device_ms, 3),
            }
        )
        verdict = "passed" if passed else "FAILED"
        print(
            f"{case.name:26}{deviation:11.1e}{case.tolerance:11.0e}{verdict:>8}{cpu_ms:10.2f}{device_ms:10.2f}",
            flush=True,
        )
    return {"passed": all(row["passed"] for row in rows), "functions": rows}


def _inputs(images: int, classes: int) -> Inputs:
    """What the functions take, on the CPU: what one needs of another is that one's result there."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    frequency_K = torch.logspace(-0.5, -2.5, classes)
    true_NK = torch.rand(images, classes, generator=generator) < frequency_K
    given_NK = true_NK ^ (torch.rand(images, classes, generator=generator) < 0.4 * frequency_K)
    logits_NK = torch.where(true_NK, 1 + 1.8 * normal(images, classes), -5 + 1.3 * normal(images, classes))
    i: Inputs = {"logits_NK": logits_NK, "given_NK": given_NK}
    i["targets_NK"] = 0.7 * given_NK + 0.3 * true_NK
    i["losses_NK"], i["confidence_NK"] = label_losses(logits_NK, given_NK), confidence(logits_NK)
    i["mixtures"] = _fit(i)
    i["p_clean_NK"] = _posterior(i)["p_clean"]
    i["presence_K"], i["absence_K"] = _class_confidence(i).values()
    i["scores_N"] = _scores(i)["scores"]
    i["probability_N"] = sampling_probability(i["scores_N"])
    i["first_B"], i["second_B"] = normal(BATCH, 3, SIDE, SIDE), normal(BATCH, 3, SIDE, SIDE)
    i["coefficient_B"] = mixing_coefficient(4.0, BATCH, generator)
    return i


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, dict):
        return {name: each.to(device) for name, each in value.items()}
    return value.to(device)


def _timed(case: Case, inputs: Inputs, synchronise: Callable[[], None]) -> tuple[Outputs, float]:
    """The outputs, and the fastest of ROUNDS in ms, after one that does not count."""
    outputs, fastest = case.compute(inputs), float("inf")
    for _ in range(ROUNDS):
        synchronise()
        started = time.perf_counter()
        case.compute(inputs)
        synchronise()
        fastest = min(fastest, 1000 * (time.perf_counter() - started))
    return outputs, fastest


def _deviation(expected: Tensor, found: Tensor) -> float:
    if expected.shape != found.shape or expected.dtype != found.dtype:
        return float("inf")
    if not expected.is_floating_point():
        return float((expected != found).double().mean())
    deviation = float((expected.double() - found.double()).abs().max())
    return deviation if deviation == deviation else float("inf")
