"""Every loss and optimizer of the folders against plain PyTorch, or, where torch has none, against the paper's formula.

A component without a reference here fails. The rates of every schedule: test_schedules.py.
"""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn, optim
from torch.nn import functional
from torch.optim import lr_scheduler

from tasks.core.components import Component
from tasks.core.errors import ParamsError
from tasks.learning import penalties
from tasks.learning.loop import fit
from tests.tasks.learning.test_learning import LOSSES, OPTIMIZERS, SCHEDULES, blobs, build, learner, linear

Weights = list[nn.Parameter]
Step = Callable[[], None]


def of_torch(make: Callable[[Weights], list[optim.Optimizer]]) -> Callable[[Weights], Step]:
    def started(weights: Weights) -> Step:
        parts = make(weights)

        def step() -> None:
            for part in parts:
                part.step()

        return step

    return started


def lion(weights: Weights) -> Step:
    """Chen et al. 2023, Algorithm 2, with rate 0.05 and decay 0.1."""
    momenta = [torch.zeros_like(weight) for weight in weights]

    def step() -> None:
        for weight, momentum in zip(weights, momenta, strict=True):
            assert weight.grad is not None
            update = torch.sign(0.9 * momentum + 0.1 * weight.grad)
            weight.data = weight.data - 0.05 * (update + 0.1 * weight.data)
            momentum.copy_(0.99 * momentum + 0.01 * weight.grad)

    return step


def lamb(weights: Weights) -> Step:
    """You et al. 2020, Algorithm 2, with rate 0.05 and decay 0.1."""
    means, squares = ([torch.zeros_like(weight) for weight in weights] for _ in range(2))
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1
        for weight, mean, square in zip(weights, means, squares, strict=True):
            assert weight.grad is not None
            mean.copy_(0.9 * mean + 0.1 * weight.grad)
            square.copy_(0.999 * square + 0.001 * weight.grad**2)
            ratio = mean / (1 - 0.9**steps) / (torch.sqrt(square / (1 - 0.999**steps)) + 1e-6) + 0.1 * weight.data
            size = weight.data.norm() / ratio.norm()
            weight.data = weight.data - 0.05 * size * ratio

    return step


def schedule_free(weights: Weights) -> Step:
    """Defazio et al. 2024, Algorithm 1 (the bias corrected in the denominator), with rate 0.05, decay 0.1 and five steps of warm-up."""
    z, x = ([weight.detach().clone() for weight in weights] for _ in range(2))
    squares = [torch.zeros_like(weight) for weight in weights]
    steps, sum_of_squared_rates = 0, 0.0

    def step() -> None:
        nonlocal steps, sum_of_squared_rates
        steps += 1
        rate = 0.05 * min(1, steps / 5)
        sum_of_squared_rates += rate**2
        c = rate**2 / sum_of_squared_rates
        for index, y in enumerate(weights):
            assert y.grad is not None
            squares[index] = 0.999 * squares[index] + 0.001 * y.grad**2
            corrected = squares[index] / (1 - 0.999**steps)
            z[index] = z[index] - rate * y.grad / (corrected.sqrt() + 1e-8) - rate * 0.1 * y.data
            x[index] = (1 - c) * x[index] + c * z[index]
            y.data = 0.1 * z[index] + 0.9 * x[index] if steps < 8 * 4 else x[index]  # at the end: what is evaluated

    return step


def split(weights: Weights, matrices: bool) -> Weights:
    return [weight for weight in weights if (weight.ndim == 2) == matrices]


# By name: the options that are not the defaults, the reference, and the tolerance (0: the same bits).
REFERENCES: dict[str, tuple[dict[str, Any], Callable[[Weights], Step], float]] = {
    "sgd": (
        {"momentum": 0.9, "nesterov": True},
        of_torch(lambda weights: [optim.SGD(weights, 0.05, momentum=0.9, nesterov=True)]),
        0,
    ),
    "adam": ({}, of_torch(lambda weights: [optim.Adam(weights, torch.tensor(0.05), fused=True)]), 0),
    "adamw": ({}, of_torch(lambda weights: [optim.AdamW(weights, torch.tensor(0.05), fused=True)]), 0),
    "rmsprop": ({}, of_torch(lambda weights: [optim.RMSprop(weights, 0.05)]), 0),
    "nadam": (
        {"weight_decay": 0.1, "decoupled_weight_decay": True},
        of_torch(lambda weights: [optim.NAdam(weights, 0.05, weight_decay=0.1, decoupled_weight_decay=True)]),
        0,
    ),
    "radam": ({"beta2": 0.9}, of_torch(lambda weights: [optim.RAdam(weights, 0.05, betas=(0.9, 0.9))]), 0),
    "adagrad": ({"learning_rate_decay": 0.1}, of_torch(lambda weights: [optim.Adagrad(weights, 0.05, lr_decay=0.1)]), 0),
    "adafactor": ({"clip_threshold": 2.0}, of_torch(lambda weights: [optim.Adafactor(weights, 0.05, d=2.0)]), 0),
    "muon": (
        {"weight_decay": 0.01},
        of_torch(
            lambda weights: [
                optim.Muon(split(weights, True), 0.05, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
                optim.AdamW(split(weights, False), 0.05, weight_decay=0.01),
            ]
        ),
        0,
    ),
    "lion": ({"weight_decay": 0.1}, lion, 1e-6),
    "lamb": ({"weight_decay": 0.1}, lamb, 1e-5),
    "schedulefree_adamw": ({"weight_decay": 0.1, "warmup_steps": 5}, schedule_free, 1e-5),
    "imported": (
        {"import": "torch.optim:SGD", "options": {"momentum": 0.9, "nesterov": True}},
        of_torch(lambda weights: [optim.SGD(weights, 0.05, momentum=0.9, nesterov=True)]),
        0,
    ),
}


@pytest.mark.parametrize("name", OPTIMIZERS.names())
def test_the_loop_ends_with_the_weights_of_a_plain_pytorch_loop(name: str) -> None:
    options, reference, tolerance = REFERENCES[name]
    ours = linear()
    stated = {"name": name, "learning_rate": 0.05, **options}
    built = learner(ours, build(OPTIMIZERS, stated, ours.parameters()), shuffle=False)
    fit(built, epochs=8)

    plain, data, untrained = linear(), blobs(), linear()
    step = reference(list(plain.parameters()))
    for _ in range(8):
        for start in range(0, 60, 16):
            images = data.images[start : start + 16].float() / 255
            functional.cross_entropy(plain(images), data.labels[start : start + 16]).backward()
            step()
            plain.zero_grad()
    with built.measured():
        trained = [weight.detach().clone() for weight in ours.parameters()]
    for mine, theirs, first in zip(trained, plain.parameters(), untrained.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=tolerance, atol=tolerance)
        assert not torch.equal(mine, first)


# Options off their defaults, and torch's optimizers with the same.
OFF_DEFAULTS: list[tuple[dict[str, Any], Callable[[Weights], Step]]] = [
    (
        {"name": "adam", "beta1": 0.5, "beta2": 0.7, "epsilon": 0.1},
        of_torch(lambda weights: [optim.Adam(weights, torch.tensor(0.05), betas=(0.5, 0.7), eps=0.1, fused=True)]),
    ),
    (
        {"name": "adamw", "beta1": 0.5, "beta2": 0.7, "epsilon": 0.1, "weight_decay": 0.3},
        of_torch(
            lambda weights: [optim.AdamW(weights, torch.tensor(0.05), betas=(0.5, 0.7), eps=0.1, weight_decay=0.3, fused=True)]
        ),
    ),
    (
        {"name": "rmsprop", "alpha": 0.5, "momentum": 0.9, "epsilon": 0.1},
        of_torch(lambda weights: [optim.RMSprop(weights, 0.05, alpha=0.5, momentum=0.9, eps=0.1)]),
    ),
    (
        {"name": "nadam", "beta1": 0.5, "beta2": 0.7, "epsilon": 0.1, "weight_decay": 0.3, "momentum_decay": 0.1},
        of_torch(lambda weights: [optim.NAdam(weights, 0.05, betas=(0.5, 0.7), eps=0.1, weight_decay=0.3, momentum_decay=0.1)]),
    ),
    (
        {"name": "radam", "beta1": 0.5, "beta2": 0.9, "epsilon": 0.1, "weight_decay": 0.3, "decoupled_weight_decay": True},
        of_torch(
            lambda weights: [
                optim.RAdam(weights, 0.05, betas=(0.5, 0.9), eps=0.1, weight_decay=0.3, decoupled_weight_decay=True)
            ]
        ),
    ),
    (
        {"name": "adagrad", "initial_accumulator_value": 0.5, "weight_decay": 0.3, "epsilon": 0.1},
        of_torch(lambda weights: [optim.Adagrad(weights, 0.05, initial_accumulator_value=0.5, weight_decay=0.3, eps=0.1)]),
    ),
    (
        {"name": "adafactor", "beta2_decay": -0.2, "weight_decay": 0.3},
        of_torch(lambda weights: [optim.Adafactor(weights, 0.05, beta2_decay=-0.2, weight_decay=0.3)]),
    ),
    (
        {
            "name": "muon",
            "momentum": 0.5,
            "nesterov": False,
            "weight_decay": 0.3,
            "newton_schulz_steps": 2,
            "adjust_learning_rate": "original",
            "beta1": 0.5,
            "beta2": 0.7,
            "epsilon": 0.1,
        },
        of_torch(
            lambda weights: [
                optim.Muon(split(weights, True), 0.05, weight_decay=0.3, momentum=0.5, nesterov=False, ns_steps=2),
                optim.AdamW(split(weights, False), 0.05, betas=(0.5, 0.7), eps=0.1, weight_decay=0.3),
            ]
        ),
    ),
]


def stepped(make: Callable[[Weights], Step]) -> list[Tensor]:
    """The weights of a small model after eight steps along gradients that are drawn, the same in each call."""
    weights, generator = list(linear().parameters()), torch.Generator().manual_seed(0)
    step = make(weights)
    for _ in range(8):
        for weight in weights:
            weight.grad = torch.randn(weight.shape, generator=generator)
        step()
    return [weight.detach() for weight in weights]


@pytest.mark.parametrize(("stated", "reference"), OFF_DEFAULTS, ids=[stated["name"] for stated, _ in OFF_DEFAULTS])
def test_every_option_of_an_optimizer_is_handed_to_torchs(stated: dict[str, Any], reference: Callable[[Weights], Step]) -> None:
    def ours(without: str = "") -> list[Tensor]:
        options = {"learning_rate": 0.05} | {key: value for key, value in stated.items() if key != without}
        return stepped(lambda weights: build(OPTIMIZERS, options, weights).step)

    assert all(map(torch.equal, ours(), stepped(reference)))
    for option in stated.keys() - {"name"}:
        assert not all(map(torch.equal, ours(without=option), ours())), f"{option} acts on nothing here"


def trained(model: nn.Module, **changed: Any) -> list[Tensor]:
    """The weights after eight epochs of the loop, by SGD in the order of the file."""
    built = learner(model, optim.SGD(model.parameters(), 0.05), shuffle=False)
    fit(type(built)(**{**vars(built), **changed}), epochs=8)
    return [weight.detach() for weight in model.parameters()]


def plainly_trained(
    model: nn.Module,
    optimizer: optim.Optimizer,
    penalty: Callable[[], Tensor | float] = lambda: 0.0,
    each_epoch: Callable[[], object] = lambda: None,
) -> list[Tensor]:
    """The same by hand."""
    data = blobs()
    for _ in range(8):
        model.train()
        for start in range(0, 60, 16):
            images = data.images[start : start + 16].float() / 255
            (functional.cross_entropy(model(images), data.labels[start : start + 16]) + penalty()).backward()
            optimizer.step()
            optimizer.zero_grad()
        each_epoch()
    return [weight.detach() for weight in model.parameters()]


def sgd(model: nn.Module) -> optim.Optimizer:
    return optim.SGD(model.parameters(), 0.05)


@pytest.mark.parametrize(("l1", "l2"), [(0.01, 0.0), (0.0, 0.1), (0.01, 0.1)])
def test_penalties_train_as_those_of_a_plain_loop_to_the_bit(l1: float, l2: float) -> None:
    ours, plain = linear(), linear()
    matrix = next(plain.parameters())
    by_hand = plainly_trained(plain, sgd(plain), lambda: l1 * matrix.abs().sum() + l2 / 2 * matrix.square().sum())
    for mine, theirs in zip(trained(ours, penalty=penalties.build(l1, l2, ours)), by_hand, strict=True):
        assert torch.equal(mine, theirs)


def test_l2_is_the_coupled_weight_decay_of_torchs_sgd_without_the_biases() -> None:
    ours, plain = linear(), linear()
    weight, bias = plain.parameters()
    groups: list[dict[str, Any]] = [{"params": [weight], "weight_decay": 0.1}, {"params": [bias]}]
    coupled = optim.SGD(groups, 0.05)
    for mine, theirs in zip(
        trained(ours, penalty=penalties.build(0.0, 0.1, ours)), plainly_trained(plain, coupled), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)


def test_dropout_draws_as_in_a_plain_loop_to_the_bit() -> None:
    results = []
    for train in (trained, lambda model: plainly_trained(model, sgd(model))):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            results.append(train(nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(4, 3))))
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(*results, strict=True))


@pytest.mark.parametrize(
    ("stated", "make"),
    [
        ({"name": "exponential", "gamma": 0.8}, lambda optimizer: lr_scheduler.ExponentialLR(optimizer, 0.8)),
        ({"name": "cosine"}, lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, 8)),
        ({"name": "step", "step_size": 2, "gamma": 0.5}, lambda optimizer: lr_scheduler.StepLR(optimizer, 2, 0.5)),
    ],
)
def test_a_schedule_trains_as_torchs_scheduler_in_a_plain_loop(
    stated: dict[str, Any], make: Callable[[optim.Optimizer], lr_scheduler.LRScheduler]
) -> None:
    ours, plain = linear(), linear()
    optimizer = sgd(plain)
    scheduler = make(optimizer)
    by_hand = plainly_trained(plain, optimizer, each_epoch=scheduler.step)
    for mine, theirs in zip(trained(ours, schedule=build(SCHEDULES, stated, 4, 8)), by_hand, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-7)
    assert not torch.equal(next(plain.parameters()), trained(linear())[0])


def shares(targets: Tensor) -> Tensor:
    return targets if targets.is_floating_point() else torch.eye(5, dtype=torch.float64)[targets]


def asymmetric(logits: Tensor, targets: Tensor) -> Tensor:
    """Ridnik et al. 2021, eq. 7, with the paper's defaults."""
    p, true = logits.sigmoid(), shares(targets)
    shifted = (p - 0.05).clamp(min=0)
    positive, negative = (1 - p) * p.log(), shifted**4 * (1 - shifted).log()
    return -(true * positive + (1 - true) * negative).sum(1).mean()


def focal(logits: Tensor, targets: Tensor) -> Tensor:
    """Lin et al. 2017, eq. 4, with gamma 2, summed over the classes by their shares."""
    p = logits.softmax(1)
    return -(shares(targets) * (1 - p) ** 2 * p.log()).sum(1).mean()


# By name: options that are not the defaults, and the reference, which takes labels (N,) or soft targets (N, K).
LOSS_REFERENCES: dict[str, list[tuple[dict[str, Any], Callable[[Tensor, Tensor], Tensor]]]] = {
    "cross_entropy": [
        ({}, nn.CrossEntropyLoss()),
        ({"label_smoothing": 0.1}, nn.CrossEntropyLoss(label_smoothing=0.1)),
    ],
    "mse": [({}, lambda logits, labels: (logits - shares(labels)).square().mean())],
    "bce": [
        (
            {"target_threshold": 0.2, "label_smoothing": 0.1},
            lambda logits, labels: nn.BCEWithLogitsLoss()(logits, (shares(labels) > 0.2).double() * 0.9 + 0.02),
        ),
        ({}, lambda logits, labels: nn.BCEWithLogitsLoss()(logits, shares(labels))),
        ({"label_smoothing": 0.1}, lambda logits, labels: nn.BCEWithLogitsLoss()(logits, shares(labels) * 0.9 + 0.02)),
    ],
    "focal": [({}, focal), ({"gamma": 0.0}, nn.CrossEntropyLoss())],
    "imported": [
        (
            {"import": "torch.nn:CrossEntropyLoss", "options": {"label_smoothing": 0.1}},
            nn.CrossEntropyLoss(label_smoothing=0.1),
        ),
        (
            {"import": "torch.nn.functional:cross_entropy", "options": {"label_smoothing": 0.1}},
            nn.CrossEntropyLoss(label_smoothing=0.1),
        ),
        (
            {"import": "torch.nn:MSELoss", "targets": "one_hot"},
            lambda logits, labels: (logits - shares(labels)).square().mean(),
        ),
    ],
    "asymmetric": [
        ({}, asymmetric),
        (
            {"gamma_negative": 0.0, "gamma_positive": 0.0, "clip": 0.0},
            lambda logits, labels: 5 * nn.BCEWithLogitsLoss()(logits, shares(labels)),
        ),
    ],
}


LABELS = torch.randint(0, 5, (40,), generator=torch.Generator().manual_seed(1))
SOFT = torch.randn(40, 5, generator=torch.Generator().manual_seed(2)).mul(2).softmax(1)


@pytest.mark.parametrize("targets", [LABELS, SOFT], ids=["labels", "soft"])
@pytest.mark.parametrize("name", LOSSES.names())
def test_a_loss_and_its_gradient_are_those_of_the_formula(name: str, targets: Tensor) -> None:
    generator = torch.Generator().manual_seed(0)
    for options, reference in LOSS_REFERENCES[name]:
        ours = torch.randn(40, 5, generator=generator, dtype=torch.float64).mul_(3).requires_grad_()
        theirs = ours.detach().clone().requires_grad_()
        loss = build(LOSSES, {"name": name, **options})(ours, targets)
        expected = reference(theirs, targets.double() if targets.is_floating_point() else targets)
        torch.testing.assert_close(loss, expected)
        loss.backward()
        expected.backward()
        torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize("name", LOSSES.names())
def test_one_hot_soft_targets_give_the_loss_and_the_gradient_of_the_labels(name: str) -> None:
    for options, _ in LOSS_REFERENCES[name]:
        hard = torch.randn(40, 5, generator=torch.Generator().manual_seed(0)).mul_(3).requires_grad_()
        soft = hard.detach().clone().requires_grad_()
        loss = build(LOSSES, {"name": name, **options})
        expected, found = loss(hard, LABELS), loss(soft, shares(LABELS).float())
        torch.testing.assert_close(found, expected)
        expected.backward()
        found.backward()
        torch.testing.assert_close(soft.grad, hard.grad)


@pytest.mark.parametrize("scale", [0.0, 1.0, 300.0])
@pytest.mark.parametrize("name", LOSSES.names())
def test_the_gradient_for_soft_targets_is_finite_however_sure_the_model_is(name: str, scale: float) -> None:
    for options, _ in LOSS_REFERENCES[name]:
        for targets in (SOFT, shares(LABELS).float()):
            logits = torch.randn(40, 5, generator=torch.Generator().manual_seed(0)).mul_(scale).requires_grad_()
            loss = build(LOSSES, {"name": name, **options})(logits, targets)
            loss.backward()
            assert loss.isfinite()
            assert logits.grad is not None
            assert logits.grad.isfinite().all()


@pytest.mark.parametrize("targets", [LABELS, SOFT], ids=["labels", "soft"])
@pytest.mark.parametrize("name", LOSSES.names())
def test_logits_of_half_precision_are_scored_in_single_precision(name: str, targets: Tensor) -> None:
    logits = torch.randn(40, 5, generator=torch.Generator().manual_seed(0)).bfloat16()
    for options, _ in LOSS_REFERENCES[name]:
        loss = build(LOSSES, {"name": name, **options})
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = loss(logits, targets)
        torch.testing.assert_close(found, loss(logits.float(), targets))


def test_cross_entropy_weighs_classes_as_torch_does_and_wants_one_weight_for_each() -> None:
    logits, labels = torch.randn(40, 3, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 3
    weighted = build(LOSSES, {"name": "cross_entropy", "class_weights": [1.0, 2.0, 5.0]})
    for targets in (labels, SOFT[:, :3]):
        assert torch.equal(weighted(logits, targets), nn.CrossEntropyLoss(torch.tensor([1.0, 2.0, 5.0]))(logits, targets))
    with pytest.raises(ParamsError, match="found 3 weights; expected one for each of the 4 classes"):
        weighted(torch.zeros(2, 4), torch.zeros(2, dtype=torch.int64))


def test_cross_entropy_of_even_logits_is_the_logarithm_of_the_classes() -> None:
    assert build(LOSSES, {"name": "cross_entropy"})(torch.zeros(4, 10), torch.arange(4)).item() == pytest.approx(math.log(10))


def test_asymmetric_loss_stays_finite_where_the_model_is_sure_and_wrong() -> None:
    logits = torch.tensor([[-200.0, 200.0]], requires_grad=True)
    loss = build(LOSSES, {"name": "asymmetric"})(logits, torch.tensor([0]))
    loss.backward()
    assert logits.grad is not None
    assert loss.isfinite()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize(
    "stated",
    [
        {"name": "focal", "gamma": 0.5},
        {"name": "asymmetric", "gamma_positive": 0.5, "gamma_negative": 0.5},
    ],
)
def test_a_gamma_below_1_gives_finite_gradients_where_the_model_is_sure(stated: dict[str, Any]) -> None:
    logits = torch.tensor([[200.0, -200.0, -200.0]], requires_grad=True)
    build(LOSSES, stated)(logits, torch.tensor([0])).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_the_references_name_no_component_that_is_gone() -> None:
    assert set(REFERENCES) == set(OPTIMIZERS.names())
    assert set(LOSS_REFERENCES) == set(Component("tasks.learning.losses").names())
