from __future__ import annotations

import dataclasses
import itertools
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from bmix.data.augment import gentle
from bmix.method.refine import RELABELLED, refine_labels
from bmix.method.settings import MethodSettings
from bmix.recipes.balancemix import BalanceMix
from bmix.recipes.mixup import Mixup
from bmix.recipes.shared.base import Classify, Side, Step, StepResult
from bmix.support.errors import InputError
from bmix.support.files import write_parquet
from bmix.training.checkpoint import Checkpoints
from bmix.training.epoch_tables import EpochTables, loss_histograms, mixture_schema, sampling_quantiles
from bmix.training.identity import RunIdentity
from bmix.training.loading import load
from bmix.training.loop import Trainer
from bmix.training.passes import DrawnViews, PlainViews, epoch_pass
from bmix.training.plan import Plan
from bmix.training.ranks import Ranks
from bmix.training.run import write_outputs
from bmix.training.state import load_run, save_run
from bmix.training.steps import EpochSteps, draw_pairs, split_steps
from tests.helpers.runs import CLASSES, build_run, same_weights, train, write_images

OFF = MethodSettings(minority=False, clean=False, relabel=False, ambiguous=False)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], np.ndarray]:
    paths, labels_NK = write_images(tmp_path_factory.mktemp("images"), 60)
    wrong = np.random.default_rng(1).random(labels_NK.shape) < 0.2
    return paths, labels_NK ^ wrong


def outputs(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_run_learns_and_gives_every_label_a_verdict(tiny: tuple[list[Path], np.ndarray]) -> None:
    paths, given_NK = tiny
    trainer = train(build_run(paths, given_NK, epochs=10, warmup_epochs=6))
    history = trainer.tables.history
    assert [row["phase"] for row in history] == ["warmup"] * 6 + ["managed"] * 4
    assert history[-1]["train_loss"] < 0.8 * history[0]["train_loss"]
    assert history[5]["clean"] is None
    shares = [history[-1][name] for name in ("clean", "relabelled", "ambiguous")]
    assert sum(shares) == pytest.approx(1)
    ledger = trainer.close()
    assert ledger.managed
    summary = ledger.summary(CLASSES)
    counted = sum(
        side[name] for sides in summary.values() for side in sides.values() for name in side if name != "degenerate"
    )
    assert counted == given_NK.size
    table = ledger.table([path.stem for path in paths], CLASSES)
    not_clean = sum(side["relabelled"] + side["ambiguous"] for sides in summary.values() for side in sides.values())
    clean_positives = sum(sides["positives"]["clean"] for sides in summary.values())
    assert len(table) == not_clean + clean_positives
    assert set(table.loc[table["given"] == 0, "verdict"]) <= {"relabelled", "ambiguous"}


def test_all_switches_off_equals_mixup_bit_for_bit(tiny: tuple[list[Path], np.ndarray]) -> None:
    balancemix = train(build_run(*tiny, settings=OFF))
    assert same_weights(balancemix, train(build_run(*tiny, recipe="mixup")))
    assert not same_weights(balancemix, train(build_run(*tiny)))


@pytest.mark.parametrize("switch", ["minority", "clean", "relabel", "ambiguous"])
def test_every_switch_changes_the_run(tiny: tuple[list[Path], np.ndarray], switch: str) -> None:
    # An ε of 0.55 lets even a barely trained network re-label.
    settings = MethodSettings(epsilon=0.55)
    without = dataclasses.replace(settings, **{switch: False})
    assert not same_weights(train(build_run(*tiny, settings=settings)), train(build_run(*tiny, settings=without)))


@pytest.mark.parametrize(
    ("recipe", "audit", "precision"),
    [
        ("bce", "step", "float32"),
        ("mixup", "step", "bf16"),
        ("balancemix", "step", "float32"),
        ("balancemix", "epoch", "float32"),
        ("balancemix", "epoch", "fp16"),
    ],
)
def test_cut_and_killed_runs_equal_the_uncut_one_byte_for_byte(
    tiny: tuple[list[Path], np.ndarray], tmp_path: Path, recipe: str, audit: str, precision: str
) -> None:
    def build() -> Trainer:
        return build_run(*tiny, recipe=recipe, settings=MethodSettings(audit=audit), precision=precision)

    uncut = train(build())
    write_outputs(uncut, uncut.close(), tmp_path / "uncut")

    warmup = train(build(), until=2)
    save_run(warmup, tmp_path / "warmup")
    begun = build()
    load_run(begun, tmp_path / "warmup")
    train(begun, until=3)
    checkpoints = Checkpoints(tmp_path, "train", RunIdentity({"seed": 0}))
    checkpoints.save(begun)
    resumed = build()
    assert checkpoints.resume(resumed)
    assert resumed.epoch == 3
    train(resumed)
    write_outputs(resumed, resumed.close(), tmp_path / "cut")
    assert outputs(tmp_path / "cut") == outputs(tmp_path / "uncut")

    save_run(uncut, tmp_path / "state uncut")
    save_run(resumed, tmp_path / "state cut")
    assert outputs(tmp_path / "state cut") == outputs(tmp_path / "state uncut")


def test_the_pass_after_an_epoch_answers_for_the_next_epochs_steps(tiny: tuple[list[Path], np.ndarray]) -> None:
    trainer = train(build_run(*tiny, settings=MethodSettings(audit="epoch", epsilon=0.6)), 2)
    recipe = trainer.recipe
    assert isinstance(recipe, BalanceMix)
    assert recipe.doubtful_rows() is None
    assert recipe.mixtures is not None
    assert recipe.p_clean_NK is not None
    views = DrawnViews(trainer.augment, trainer.plan.seed, ("audit", 2))
    for n in (0, 13, 59):
        row = torch.tensor([n])
        probability_VK = torch.stack([trainer.classifier.predict(view)[0] for view in views.of(trainer.images, row)])
        assert recipe.confidence_NK is not None
        assert torch.allclose(recipe.confidence_NK[n], probability_VK.mean(dim=0), atol=1e-5)
        given_K = recipe.given_NK[n]
        loss_VK = -torch.where(given_K, probability_VK, 1 - probability_VK).log()
        expected = recipe.mixtures.clean_probability(loss_VK.mean(dim=0)[None], given_K[None])
        assert torch.allclose(recipe.p_clean_NK[n], expected[0], atol=1e-3)
    rows = torch.arange(60)
    step = Step(Side(rows, rows), Side(rows, rows), torch.ones(60))
    result = recipe.step(lambda views: torch.zeros(60, 3), step)
    _, verdict, _ = refine_labels(recipe.given_NK, recipe.p_clean_NK, recipe.confidence_NK, 0.6)
    assert result.verdict is not None
    assert torch.equal(result.verdict, verdict)
    assert (verdict == RELABELLED).any()


def test_the_audit_by_epoch_needs_no_views_in_a_step_and_none_in_warmup(tiny: tuple[list[Path], np.ndarray]) -> None:
    by_epoch, by_step = (build_run(*tiny, settings=MethodSettings(audit=audit)) for audit in ("epoch", "step"))
    assert same_weights(train(by_epoch, 2), train(by_step, 2))
    steps = by_epoch._steps(3)
    assert all(side.relabel is None for number in range(len(steps)) for side in steps[number].sides)
    assert not same_weights(train(by_epoch), train(by_step))


def test_recipes_that_learn_nothing_from_the_given_losses_do_not_compute_them(
    tiny: tuple[list[Path], np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bmix.training.loop.epoch_pass", None)
    for recipe, settings in (("bce", None), ("mixup", None), ("balancemix", OFF)):
        trainer = train(build_run(*tiny, recipe=recipe, settings=settings))
        assert [row["given_loss"] for row in trainer.tables.history] == [None] * 4
        assert not trainer.close().managed
    with pytest.raises(TypeError):
        train(build_run(*tiny), 1)


@pytest.mark.parametrize(("count", "batch", "ranks"), [(60, 16, 1), (33, 16, 1), (33, 16, 2), (35, 16, 3), (5, 16, 2)])
def test_every_instance_is_in_one_step_of_one_process(count: int, batch: int, ranks: int) -> None:
    steps = split_steps(count, batch, ranks)
    assert torch.cat(steps).tolist() == list(range(count))
    assert all(len(step) == batch for step in steps[:-1])
    assert len(steps[-1]) >= min(count, 2 * ranks)
    shares = [[Ranks(rank, ranks).share(step).tolist() for rank in range(ranks)] for step in steps]
    assert sorted(position for step in shares for share in step for position in share) == list(range(count))
    assert all(max(map(len, step)) - min(map(len, step)) <= 1 for step in shares)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_trains_like_float32_with_losses_in_float32(
    tiny: tuple[list[Path], np.ndarray], precision: str
) -> None:
    exact = train(build_run(*tiny))
    trainer = build_run(*tiny, precision=precision)
    seen = []
    step = trainer.recipe.step

    def watched(classify: Classify, given: Step) -> StepResult:
        def tell(views: torch.Tensor) -> torch.Tensor:
            logits = classify(views)
            seen.append(logits.dtype)
            return logits

        return step(tell, given)

    trainer.recipe.step = watched  # type: ignore[method-assign]
    train(trainer)
    assert set(seen) == {torch.float32}
    assert not same_weights(exact, trainer)
    assert all(value.dtype == torch.float32 for value in trainer.classifier.parameters())
    for row, expected in zip(trainer.tables.history, exact.tables.history, strict=True):
        assert row["train_loss"] == pytest.approx(expected["train_loss"], rel=0.1)
    resumed = build_run(*tiny, precision=precision)
    assert resumed.engine.state().keys() == trainer.engine.state().keys()
    assert bool(resumed.engine.state()) == (precision == "fp16")


def test_another_seed_gives_another_run(tiny: tuple[list[Path], np.ndarray]) -> None:
    assert not same_weights(train(build_run(*tiny), 1), train(build_run(*tiny, seed=1), 1))


def test_warmup_is_minority_mixing_on_given_labels(tiny: tuple[list[Path], np.ndarray]) -> None:
    trainer = build_run(*tiny)
    assert trainer.recipe.partner_probability() is None
    train(trainer, 1)
    probability_N = trainer.recipe.partner_probability()
    assert probability_N is not None
    assert float(probability_N.sum()) == pytest.approx(1)
    assert trainer.recipe.doubtful_rows() is None
    train(trainer, 2)
    assert trainer.recipe.managing


@pytest.mark.parametrize("trust_positives", [False, True])
def test_the_managed_step_is_algorithm_1_label_by_label(trust_positives: bool) -> None:
    # An ε at which confidences of any value re-label many labels of both sides, and leave many ambiguous.
    settings = MethodSettings(epsilon=0.7, trust_positives=trust_positives)
    generator = torch.Generator().manual_seed(0)
    recipe = BalanceMix(torch.rand(60, 3, generator=generator) < 0.4, settings)
    p_clean_NK = recipe.p_clean_NK = torch.rand(60, 3, generator=generator)
    recipe.managing = True
    rows, partners = torch.randint(60, (2, 24), generator=generator)
    confidence, minority_confidence = torch.rand(2, 24, 3, generator=generator)
    views, minority_views = torch.rand(2, 24, 3, 16, 16, generator=generator)
    coefficient = 0.5 + torch.rand(24, generator=generator) / 2
    logits = torch.randn(24, 3, generator=generator)
    seen = []

    def classify(images: torch.Tensor) -> torch.Tensor:
        seen.append(images)
        return logits

    partner = Side(partners, minority_views, minority_confidence)
    step = Step(Side(rows, views, confidence), partner, coefficient)
    result = recipe.step(classify, step)
    assert result.verdict is not None

    def refine(row: int, k: int, mean: float) -> tuple[float, int, float]:
        given, p_clean = float(recipe.given_NK[row, k]), float(p_clean_NK[row, k])
        if p_clean > 0.5 or (trust_positives and given):
            return given, 0, 1.0
        if mean > settings.epsilon:
            return 1.0, 1, 1.0
        if mean < 1 - settings.epsilon:
            return 0.0, 1, 1.0
        return given, 2, p_clean

    loss = 0.0
    changed = {"random": 0, "minority": 0, "positives": 0}
    for b in range(24):
        λ = float(coefficient[b])
        expected = λ * views[b] + (1 - λ) * minority_views[b]
        assert torch.allclose(seen[0][b], expected, atol=1e-6)
        for k in range(3):
            given, partner_given = (float(recipe.given_NK[row[b], k]) for row in (rows, partners))
            label, verdict, weight = refine(int(rows[b]), k, float(confidence[b, k]))
            partner_label, _, _ = refine(int(partners[b]), k, float(minority_confidence[b, k]))
            target = λ * label + (1 - λ) * partner_label
            p = 1 / (1 + math.exp(-float(logits[b, k])))
            loss += weight * -(target * math.log(p) + (1 - target) * math.log(1 - p))
            assert int(result.verdict[b, k]) == verdict
            changed["random"] += label != given
            changed["minority"] += partner_label != partner_given
            changed["positives"] += label < given or partner_label < partner_given
    assert float(result.loss) == pytest.approx(loss / 24, rel=1e-5)
    assert set(result.verdict.unique().tolist()) == {0, 1, 2}
    assert min(changed["random"], changed["minority"]) > 0
    assert (changed["positives"] == 0) == trust_positives


def test_steps_visit_every_image_once_and_workers_change_nothing(
    tiny: tuple[list[Path], np.ndarray],
) -> None:
    trainer = build_run(*tiny)
    doubtful_N = torch.arange(60) % 7 == 0
    pairs = draw_pairs(60, Mixup(torch.zeros(60, 3)), seed=0, epoch=1)
    steps = EpochSteps(trainer.images, trainer.augment, pairs, doubtful_N, 16, seed=0, epoch=1)
    alone = list(load(steps, 0))
    assert sorted(torch.cat([step.random.rows for step in alone]).tolist()) == list(range(60))
    for step in alone:
        assert torch.equal(step.random.doubtful, (step.random.rows % 7 == 0).nonzero().squeeze(1))
        assert step.coefficient is not None
        assert float(step.coefficient.min()) >= 0.5
    for first, second in zip(alone, load(steps, 2), strict=True):
        assert torch.equal(first.random.train, second.random.train)
        assert first.partner is not None
        assert second.partner is not None
        assert torch.equal(first.partner.rows, second.partner.rows)
        assert (first.random.relabel is None) == (second.random.relabel is None)
        if first.random.relabel is not None and second.random.relabel is not None:
            assert torch.equal(first.random.relabel, second.random.relabel)


@pytest.mark.parametrize("audit", ["step", "epoch"])
def test_every_view_of_a_run_has_a_key_of_its_own(
    tiny: tuple[list[Path], np.ndarray], monkeypatch: pytest.MonkeyPatch, audit: str
) -> None:
    # In this process, which counts the keys.
    monkeypatch.setenv("BMIX_WORKERS", "0")
    drawn: list[np.ndarray] = []

    def watched(images_B: torch.Tensor, keys_B: np.ndarray) -> torch.Tensor:
        drawn.append(keys_B)
        return gentle(images_B, keys_B)

    trainer = build_run(*tiny, settings=MethodSettings(audit=audit), augment=watched)
    counts = []
    for _ in range(4):
        train(trainer, trainer.epoch + 1)
        counts.append(sum(map(len, drawn)))
    trainer.close()
    counts.append(sum(map(len, drawn)))
    assert len(np.unique(np.concatenate(drawn))) == counts[-1]
    per_epoch = np.diff([0, *counts]).tolist()
    if audit == "epoch":
        # One of either side at each of 60 positions, and after the last warm-up epoch and later two of every image.
        assert per_epoch == [120, 240, 240, 240, 120]
    else:
        # Two of every doubtful image besides, in the managed epochs and at the close.
        assert per_epoch[:2] == [120, 120]
        assert all(count > 120 for count in per_epoch[2:4])
        assert 0 < per_epoch[4] <= 120


def test_every_epoch_draws_its_own_order_partners_and_coefficients(tiny: tuple[list[Path], np.ndarray]) -> None:
    trainer = build_run(*tiny)
    step = trainer.recipe.step
    seen: list[Step] = []

    def watched(classify: Classify, given: Step) -> StepResult:
        seen.append(given)
        return step(classify, given)

    trainer.recipe.step = watched  # type: ignore[method-assign]
    train(trainer)
    assert len(seen) == 16
    epochs = [seen[start : start + 4] for start in range(0, 16, 4)]
    rows = [torch.cat([given.random.rows for given in epoch]) for epoch in epochs]
    partners = [torch.cat([given.partner.rows for given in epoch]) for epoch in epochs]  # type: ignore[misc]
    coefficients = [torch.cat([given.coefficient for given in epoch]) for epoch in epochs]  # type: ignore[misc]
    for first, second in itertools.combinations(range(4), 2):
        assert sorted(rows[first].tolist()) == list(range(60))
        # Of 60 positions about one agrees by chance.
        assert int((rows[first] == rows[second]).sum()) < 10
        assert int((partners[first] == partners[second]).sum()) < 10
        assert not set(coefficients[first].tolist()) & set(coefficients[second].tolist())


def test_the_validation_map_leaves_ignored_labels_out(tiny: tuple[list[Path], np.ndarray]) -> None:
    trainer = build_run(*tiny)
    assert trainer.validation is not None
    store, labels_VK = trainer.validation
    labels_VK = labels_VK.clone()
    labels_VK[::3, 0] = -1
    labels_VK[1::3, 1] = -1
    trainer.validation = (store, labels_VK)
    train(trainer, 1)
    scores_VK = trainer.classifier.predict(store.read(torch.arange(16)))
    means = {}
    for ignored in ("left out", "called absent"):
        averages = []
        for k in range(3):
            counted = [v for v in range(16) if ignored == "called absent" or int(labels_VK[v, k]) != -1]
            precisions = []
            for v in counted:
                if int(labels_VK[v, k]) == 1:
                    called = [u for u in counted if scores_VK[u, k] >= scores_VK[v, k]]
                    precisions.append(sum(int(labels_VK[u, k]) == 1 for u in called) / len(called))
            averages.append(sum(precisions) / len(precisions))
        means[ignored] = sum(averages) / 3
    assert trainer.tables.history[0]["val_map"] == pytest.approx(means["left out"], abs=1e-9)
    assert means["left out"] > means["called absent"] + 1e-6


def test_the_epoch_pass_sees_given_labels_in_eval_mode(tiny: tuple[list[Path], np.ndarray]) -> None:
    trainer = train(build_run(*tiny), 1)
    before = {name: value.clone() for name, value in trainer.classifier.state_dict().items()}
    seen = epoch_pass(trainer.engine, trainer.images, trainer.recipe.given_NK, PlainViews())
    assert all(torch.equal(value, before[name]) for name, value in trainer.classifier.state_dict().items())
    probability = trainer.classifier.predict(trainer.images.read(torch.tensor([4])))
    assert torch.allclose(seen.confidence_NK[4], probability[0], atol=1e-5)
    for k in range(3):
        p = float(probability[0, k])
        expected = -math.log(p) if bool(trainer.recipe.given_NK[4, k]) else -math.log(1 - p)
        assert float(seen.losses_NK[4, k]) == pytest.approx(expected, abs=1e-4)


def test_relabelling_views_leave_batch_norm_alone_and_average_two_views(tiny: tuple[list[Path], np.ndarray]) -> None:
    trainer = train(build_run(*tiny), 2)
    pairs = draw_pairs(60, Mixup(torch.zeros(60, 3)), seed=0, epoch=3)
    steps = EpochSteps(trainer.images, trainer.augment, pairs, torch.ones(60, dtype=torch.bool), 16, seed=0, epoch=3)
    side = steps[0].random
    before = {name: value.clone() for name, value in trainer.classifier.state_dict().items()}
    confidence = trainer._relabelling_confidence([side])[0]
    assert all(torch.equal(value, before[name]) for name, value in trainer.classifier.state_dict().items())
    assert side.relabel is not None
    assert not torch.equal(side.relabel[0], side.relabel[1])
    expected = (trainer.classifier.predict(side.relabel[0]) + trainer.classifier.predict(side.relabel[1])) / 2
    assert confidence is not None
    assert torch.allclose(confidence, expected, atol=1e-5)


@pytest.mark.parametrize("audit", ["step", "epoch"])
def test_a_run_without_a_doubtful_label_ends_with_all_clean(tmp_path: Path, audit: str) -> None:
    # Fewer than ten labels of a value: no mixture is fitted, and every label is clean.
    paths, labels_NK = write_images(tmp_path, 8)
    ledger = train(build_run(paths, labels_NK, settings=MethodSettings(audit=audit))).close()
    assert ledger.managed
    assert not ledger.verdict_NK.any()


@pytest.mark.parametrize("recipe", ["bce", "balancemix"])
def test_weights_that_the_last_step_breaks_stop_the_epoch(tiny: tuple[list[Path], np.ndarray], recipe: str) -> None:
    trainer = build_run(*tiny, recipe=recipe)
    update, steps = trainer.engine.update, len(trainer._steps(1))
    calls = []

    def break_the_last(loss: torch.Tensor, learning_rate: float, share: float = 1.0) -> None:
        calls.append(learning_rate)
        update(loss, math.inf if len(calls) == steps else learning_rate, share)

    trainer.engine.update = break_the_last  # type: ignore[method-assign]
    with pytest.raises(InputError, match=rf"epoch 1, step {steps}: the weights are not finite after this step, at"):
        trainer.train_epoch()


def test_a_scale_of_the_loss_that_vanishes_stops_the_epoch(tiny: tuple[list[Path], np.ndarray]) -> None:
    trainer = build_run(*tiny, precision="fp16")
    trainer.engine.load_state(trainer.engine.state() | {"scale": 2.0**-30})
    with pytest.raises(InputError, match="the scale of the loss has fallen to"):
        trainer.train_epoch()


def test_the_cosine_runs_over_all_epochs() -> None:
    plan = Plan(epochs=10, warmup_epochs=4, learning_rate=0.2)
    assert plan.learning_rate_at(0) == 0.2
    assert plan.learning_rate_at(0.5) == pytest.approx(0.1)
    assert plan.learning_rate_at(1) == pytest.approx(0)


def test_an_infinite_loss_stops_with_the_step_and_the_remedy(tiny: tuple[list[Path], np.ndarray]) -> None:
    trainer = build_run(*tiny)
    with torch.no_grad():
        trainer.classifier.network.head.linear.bias.fill_(math.nan)  # type: ignore[union-attr, operator]
    with pytest.raises(InputError) as refused:
        trainer.train_epoch()
    first = draw_pairs(60, Mixup(torch.zeros(60, 3)), seed=0, epoch=1)
    assert first.partners_N is not None
    sides = [", ".join(f"{row:03d}" for row in rows[:8].tolist()) for rows in (first.rows_N, first.partners_N)]
    assert refused.value.where == "training, epoch 1, step 1"
    assert refused.value.found == (
        "the loss is nan, at learning rate 3.00e-03, of the images "
        f"{sides[0]} and 8 more mixed with {sides[1]} and 8 more"
    )
    assert refused.value.remedy.startswith("lower training.learning_rate")


def test_loss_histograms_count_every_loss_in_its_bin() -> None:
    generator = torch.Generator().manual_seed(0)
    losses_NK = 10 ** (torch.rand(300, 2, generator=generator) * 12 - 8)
    losses_NK[0] = 0
    given_NK = torch.rand(300, 2, generator=generator) < 0.3
    expected = np.zeros((2, 2, 60), dtype=int)
    for n in range(300):
        for k in range(2):
            loss = max(float(losses_NK[n, k]), 1e-6)
            number = min(59, max(0, math.floor((math.log10(loss) + 6) * 60 / 8)))
            expected[int(given_NK[n, k]), k, number] += 1
    counted = loss_histograms(losses_NK, given_NK)
    assert counted.sum() == 600
    # A loss on the very edge of two bins may fall to either side in float32.
    assert np.abs(counted - expected).sum() <= 4


def test_a_table_without_mixtures_keeps_its_types(tmp_path: Path) -> None:
    row = dict.fromkeys(["mean_0", "mean_1", "variance_0", "variance_1", "weight_0", "weight_1"], 0.5)
    row |= {"epoch": 1, "class": 0, "given": 1, "count": 20, "degenerate": False, "histogram": [20]}
    written = []
    for number, rows in enumerate([[], [row]]):
        write_parquet(tmp_path / f"{number}", EpochTables(mixtures=rows).frames(CLASSES)[1], mixture_schema())
        written.append(pd.read_parquet(tmp_path / f"{number}"))
    assert written[0].empty
    assert written[0].dtypes.equals(written[1].dtypes)
    assert written[1].iloc[0]["class"] == CLASSES[0]


def test_sampling_quantiles_are_relative_to_uniform() -> None:
    assert set(sampling_quantiles(None).values()) == {1.0}
    skewed = sampling_quantiles(torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64))
    assert skewed["maximum"] == pytest.approx(1.5)
    assert skewed["median"] == pytest.approx(0.75)
    assert skewed["effective_size"] == pytest.approx(1 / (0.25 + 0.125) / 3)
