"""What surrounds the five steps, each beside a plain-PyTorch loop: parts of a batch, clipping, SAM, averaging, mixed precision."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn, optim
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_avg_fn

from tasks.core.components import Component
from tasks.core.errors import TrainingError
from tasks.learning.gradients import Clip, Sharpness
from tasks.learning.loop import Learner, fit
from tasks.learning.precision import Precision
from tests.tasks.learning.test_learning import blobs, build, learner, linear

EPOCHS, BATCHES = 4, 4
AVERAGING = Component("tasks.learning.averaging")
Weights = list[Tensor]


def trained(make: Callable[[Learner], Learner] = lambda built: built, model: nn.Module | None = None) -> nn.Module:
    """The model after our loop, with SGD."""
    model = model or linear()
    built = make(learner(model, optim.SGD(model.parameters(), 0.05), shuffle=False))
    fit(built, EPOCHS)
    with built.measured() as kept:
        return kept


def plain(step: Callable[[nn.Module, Tensor, Tensor, optim.Optimizer], Any]) -> nn.Module:
    """The model after a plain loop that calls `step` for each batch."""
    model, data = linear(), blobs()
    optimizer = optim.SGD(model.parameters(), 0.05)
    for _ in range(EPOCHS):
        for start in range(0, 60, 16):
            step(model, data.images[start : start + 16].float() / 255, data.labels[start : start + 16], optimizer)
    return model


def assert_same(ours: nn.Module, theirs: nn.Module, tolerance: float = 0.0) -> None:
    for mine, other, first in zip(ours.parameters(), theirs.parameters(), linear().parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=tolerance, atol=tolerance)
        assert not torch.equal(mine, first)


def backward(model: nn.Module, images: Tensor, labels: Tensor) -> None:
    functional.cross_entropy(model(images), labels).backward()


def stepped(optimizer: optim.Optimizer) -> None:
    optimizer.step()
    optimizer.zero_grad()


@pytest.mark.parametrize("parts", [2, 3, 16, 100])
def test_a_batch_in_parts_takes_the_step_of_the_whole_batch(parts: int) -> None:
    assert_same(trained(lambda built: replace(built, accumulate=parts)), trained(), tolerance=1e-6)


def test_a_batch_in_parts_adds_up_the_gradients_of_plain_pytorch() -> None:
    def step(model: nn.Module, images: Tensor, labels: Tensor, optimizer: optim.Optimizer) -> None:
        for part, wanted in zip(images.tensor_split(2), labels.tensor_split(2), strict=True):
            (functional.cross_entropy(model(part), wanted) * (len(part) / len(images))).backward()
        stepped(optimizer)

    assert_same(trained(lambda built: replace(built, accumulate=2)), plain(step))


def test_clipping_by_norm_and_by_value_is_torchs() -> None:
    def by_norm(model: nn.Module, images: Tensor, labels: Tensor, optimizer: optim.Optimizer) -> None:
        backward(model, images, labels)
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        stepped(optimizer)

    def by_value(model: nn.Module, images: Tensor, labels: Tensor, optimizer: optim.Optimizer) -> None:
        backward(model, images, labels)
        nn.utils.clip_grad_value_(model.parameters(), 0.01)
        stepped(optimizer)

    assert_same(trained(lambda built: replace(built, clip=Clip(norm=0.1))), plain(by_norm))
    assert_same(trained(lambda built: replace(built, clip=Clip(value=0.01))), plain(by_value))


def test_sharpness_aware_steps_follow_the_papers_algorithm() -> None:
    """Foret et al. 2021, Algorithm 1, with p = 2."""

    def step(model: nn.Module, images: Tensor, labels: Tensor, optimizer: optim.Optimizer) -> None:
        backward(model, images, labels)
        gradients = [weight.grad.clone() for weight in model.parameters() if weight.grad is not None]
        norm = torch.cat([gradient.flatten() for gradient in gradients]).norm()
        before = [weight.detach().clone() for weight in model.parameters()]
        for weight, gradient in zip(model.parameters(), gradients, strict=True):
            weight.data = weight.data + 0.5 * gradient / norm
        optimizer.zero_grad()
        backward(model, images, labels)
        for weight, old in zip(model.parameters(), before, strict=True):
            weight.data = old
        stepped(optimizer)

    ours = trained(lambda built: replace(built, sharpness=Sharpness(0.5)))
    assert_same(ours, plain(step), tolerance=1e-6)
    assert not torch.equal(next(ours.parameters()), next(trained().parameters()))


def test_a_sharpness_aware_step_counts_a_batch_once_in_the_statistics_of_batch_norm() -> None:
    def normalised() -> nn.Module:
        return nn.Sequential(linear(), nn.BatchNorm1d(3)).train()

    ours, once, images = normalised(), normalised(), blobs().images.float() / 255
    built = replace(learner(ours, optim.SGD(ours.parameters(), 0.05)), sharpness=Sharpness(0.5))
    built.step(images, blobs().labels)
    once(images)
    for mine, expected in zip(ours.buffers(), once.buffers(), strict=True):
        assert torch.equal(mine, expected)


def averaged(stated: dict[str, Any]) -> nn.Module:
    def make(built: Learner) -> Learner:
        return replace(built, averager=build(AVERAGING, stated, built.model, BATCHES, EPOCHS))

    return trained(make)


def moving_average() -> nn.Module:
    """Of the weights after each step, begun with those after the first."""
    averages: list[Weights] = []

    def step(model: nn.Module, images: Tensor, labels: Tensor, optimizer: optim.Optimizer) -> None:
        backward(model, images, labels)
        stepped(optimizer)
        now = [weight.detach().clone() for weight in model.parameters()]
        last = averages[-1] if averages else now
        averages.append([0.9 * old + 0.1 * new for old, new in zip(last, now, strict=True)])

    expected = plain(step)
    for weight, average in zip(expected.parameters(), averages[-1], strict=True):
        weight.data = average
    return expected


def mean_of_the_last_epochs() -> nn.Module:
    """Of the weights at the end of the third epoch and the fourth."""
    ends: list[Weights] = []

    def step(model: nn.Module, images: Tensor, labels: Tensor, optimizer: optim.Optimizer) -> None:
        backward(model, images, labels)
        stepped(optimizer)
        if len(labels) < 16:  # the last batch of an epoch
            ends.append([weight.detach().clone() for weight in model.parameters()])

    expected = plain(step)
    for weight, *last in zip(expected.parameters(), *ends[2:], strict=True):
        weight.data = torch.stack(last).mean(0)
    return expected


def last_weights() -> nn.Module:
    def step(model: nn.Module, images: Tensor, labels: Tensor, optimizer: optim.Optimizer) -> None:
        backward(model, images, labels)
        stepped(optimizer)

    return plain(step)


# By name: the options that are not the defaults, and the reference. What is in the folder without a reference here fails.
AVERAGES: dict[str, tuple[dict[str, Any], Callable[[], nn.Module]]] = {
    "ema": ({"decay": 0.9}, moving_average),
    "none": ({}, last_weights),
    "swa": ({"start_fraction": 0.5}, mean_of_the_last_epochs),
}


@pytest.mark.parametrize("name", AVERAGING.names())
def test_the_weights_that_are_kept_are_those_of_the_plain_loop(name: str) -> None:
    options, reference = AVERAGES[name]
    expected = reference()
    assert_same(averaged({"name": name, **options}), expected, tolerance=1e-6)
    if name != "none":
        assert not torch.allclose(next(expected.parameters()), next(last_weights().parameters()), atol=1e-4)


def test_before_the_average_begins_the_trained_weights_are_measured() -> None:
    model = linear()
    built = learner(model, optim.SGD(model.parameters(), 0.05))
    averager = build(AVERAGING, {"name": "swa", "start_fraction": 0.9}, model, BATCHES, 10)
    with replace(built, averager=averager).measured() as measured:
        assert measured is model


def test_averages_take_up_the_statistics_of_batch_norm() -> None:
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4), nn.Linear(4, 3))
    averager = build(AVERAGING, {"name": "ema", "decay": 0.5}, model, BATCHES, EPOCHS)
    reference = AveragedModel(model, avg_fn=get_ema_avg_fn(0.5), use_buffers=True)
    for step in range(1, 4):
        model.train()(torch.rand(8, 4, generator=torch.Generator().manual_seed(step)))
        averager.update(model, step)
        reference.update_parameters(model)
    torch.testing.assert_close(averager.model.state_dict(), reference.module.state_dict())


def test_bf16_autocasts_the_forward_pass_as_plain_pytorch_does() -> None:
    def step(model: nn.Module, images: Tensor, labels: Tensor, optimizer: optim.Optimizer) -> None:
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(images)
        functional.cross_entropy(logits.float(), labels).backward()
        stepped(optimizer)

    ours = trained(lambda built: replace(built, precision=Precision("bf16-mixed")))
    assert_same(ours, plain(step))
    assert_same(ours, trained(), tolerance=2e-2)


def test_float16_scales_the_loss_and_agrees_with_float32() -> None:
    built: list[Learner] = []

    def make(learner: Learner) -> Learner:
        built.append(replace(learner, precision=Precision("16-mixed")))
        return built[0]

    assert_same(trained(make), trained(), tolerance=5e-3)
    assert built[0].precision.scaler.get_scale() > 1


class Dead(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        return torch.relu(self.layer(images.flatten(1)) - 1e6)


class DeadUnits(nn.Module):
    """One hidden layer, whose units never answer: the last layer's biases alone have a gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.last = nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.last(torch.relu(self.hidden(images.flatten(1)) - 1e6))
        return logits


class Settled(nn.Module):
    """Has no gradient after three epochs, in which it has learned."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.steps = 0

    def forward(self, images: Tensor) -> Tensor:
        self.steps += self.training
        logits: Tensor = self.layer(images.flatten(1))
        return logits if self.steps <= 3 * BATCHES else logits.detach() + 0 * self.layer.bias


@pytest.mark.parametrize("model", [Dead, DeadUnits])
def test_a_model_whose_gradients_are_zero_is_told(model: type[nn.Module]) -> None:
    with pytest.raises(TrainingError, match=r"at most biases have changed in epoch 1 \(4 batches\), although nothing.*dead"):
        trained(model=model())


def test_weight_decay_does_not_hide_that_the_hidden_units_are_dead() -> None:
    model = DeadUnits()
    with pytest.raises(TrainingError, match="at most biases have changed in epoch 1"):
        fit(learner(model, optim.AdamW(model.parameters(), 0.01, weight_decay=0.1)), EPOCHS)


def test_a_model_of_which_only_biases_are_trained_is_no_failure() -> None:
    model = DeadUnits()
    for layer in (model.hidden, model.last):
        layer.weight.requires_grad_(False)
    before = model.last.bias.detach().clone()
    trained(model=model)
    assert not torch.equal(model.last.bias, before)


def test_a_loss_that_explodes_is_told_before_it_is_infinite() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 64), nn.Linear(64, 3))
    built = learner(model, optim.SGD(model.parameters(), 1e3))
    with pytest.raises(TrainingError, match=r"exploded from .* in the first batch to .* at step \d+ \(epoch 1.*try a tenth"):
        fit(built, EPOCHS)


def test_a_batch_that_does_not_fit_into_memory_names_the_batch_and_the_remedy() -> None:
    class Huge(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, images: Tensor) -> Tensor:
            logits: Tensor = self.layer(images.flatten(1))
            return logits + torch.empty(2**55).sum()

    with pytest.raises(TrainingError, match=r"out of memory at step 1 \(epoch 1, batch 1\).*train\.batch_size.*accumulate: 2"):
        trained(model=Huge())


def test_a_run_that_has_converged_is_no_failure() -> None:
    model = Settled()
    fit(learner(model, optim.SGD(model.parameters(), 0.5)), EPOCHS)
    assert model.steps > 3 * BATCHES


def test_a_rate_that_the_schedule_has_lowered_to_nothing_is_no_failure() -> None:
    fit(replace(learner(model := linear(), optim.SGD(model.parameters(), 0.05)), schedule=lambda step, _: 0.1**step), EPOCHS)
