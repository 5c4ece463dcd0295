"""Schedule-free AdamW: which weights are evaluated, what switching leaves as it was, and how a run resumes."""

import pytest
import torch
from torch import Tensor, nn, optim
from torch.nn import functional

from tasks.core.errors import TrainingError
from tasks.learning.loop import TwoPoints, fit
from tests.tasks.learning.test_learning import OPTIMIZERS, blobs, build, learner, linear


def schedule_free(model: nn.Module, **options: float) -> optim.Optimizer:
    made: optim.Optimizer = build(OPTIMIZERS, {"name": "schedulefree_adamw", **options}, model.parameters())
    return made


def set_mode(optimizer: optim.Optimizer, *, training: bool) -> None:
    assert isinstance(optimizer, TwoPoints)
    (optimizer.train if training else optimizer.eval)()


def train(model: nn.Module, optimizer: optim.Optimizer, steps: range) -> None:
    data = blobs()
    for step in steps:
        chosen = slice(step % 5 * 12, step % 5 * 12 + 12)
        functional.cross_entropy(model(data.images[chosen].float() / 255), data.labels[chosen]).backward()
        optimizer.step()
        optimizer.zero_grad()


def weights(model: nn.Module) -> Tensor:
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


def test_the_first_steps_on_one_weight_are_those_worked_out_by_hand() -> None:
    """Rate 0.1, gradients 1 and then 1 again: AdamW's steps on z are 0.1 each, x is the mean of z, y is a tenth of z and the rest x."""
    weight = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    optimizer = build(OPTIMIZERS, {"name": "schedulefree_adamw", "learning_rate": 0.1, "epsilon": 1e-300}, [weight])
    for y, x in ((0.9, 0.9), (0.1 * 0.8 + 0.9 * 0.85, 0.85), (0.1 * 0.7 + 0.9 * 0.8, 0.8)):
        weight.grad = torch.tensor([1.0], dtype=torch.float64)
        optimizer.step()
        assert weight.item() == pytest.approx(y)
        optimizer.eval()
        assert weight.item() == pytest.approx(x)
        optimizer.train()


def test_decay_is_taken_at_y_and_a_rising_rate_weighs_by_its_square() -> None:
    weight = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    stated = {"name": "schedulefree_adamw", "learning_rate": 0.1, "epsilon": 1e-300, "weight_decay": 0.5, "warmup_steps": 2}
    optimizer = build(OPTIMIZERS, stated, [weight])
    for _ in range(2):
        weight.grad = torch.tensor([1.0], dtype=torch.float64)
        optimizer.step()
    z1 = 1 - 0.05 * (1 + 0.5 * 1)  # x and y are z after the first step
    z2 = z1 - 0.1 * (1 + 0.5 * z1)
    x2 = 0.2 * z1 + 0.8 * z2  # rates 0.05 and 0.1: their squares are as 1 to 4
    assert weight.item() == pytest.approx(0.1 * z2 + 0.9 * x2)


def test_switching_back_and_forth_changes_no_bit_of_what_follows() -> None:
    measured, unmeasured = linear(), linear()
    first, second = schedule_free(measured), schedule_free(unmeasured)
    for step in range(20):
        train(measured, first, range(step, step + 1))
        for _ in range(2):
            set_mode(first, training=False)
            set_mode(first, training=False)
            set_mode(first, training=True)
    train(unmeasured, second, range(20))
    assert torch.equal(weights(measured), weights(unmeasured))


@pytest.mark.parametrize("evaluating", [False, True])
def test_a_run_resumes_from_its_state_to_the_bit(evaluating: bool) -> None:
    whole, part, resumed = linear(), linear(), linear(seed=1)
    train(whole, schedule_free(whole, weight_decay=0.1, warmup_steps=15), range(20))

    optimizer, again = (schedule_free(model, weight_decay=0.1, warmup_steps=15) for model in (part, resumed))
    train(part, optimizer, range(9))
    set_mode(optimizer, training=not evaluating)
    resumed.load_state_dict(part.state_dict())
    again.load_state_dict(optimizer.state_dict())
    set_mode(again, training=True)
    train(resumed, again, range(9, 20))
    assert torch.equal(weights(whole), weights(resumed))


def test_the_loop_measures_and_keeps_the_average() -> None:
    model = linear()
    optimizer = schedule_free(model, learning_rate=0.05)
    built = learner(model, optimizer)
    fit(built, epochs=3)
    set_mode(optimizer, training=False)
    kept = [weight.detach().clone() for weight in model.parameters()]
    assert all(torch.equal(weight, optimizer.state[weight]["x"]) for weight in model.parameters())
    val = built.recorder.val
    correct = model(val.images.float() / 255).argmax(1) == val.labels
    assert torch.equal(built.recorder.dynamics().val_correct[-1], correct)
    set_mode(optimizer, training=True)
    assert not any(torch.equal(weight, average) for weight, average in zip(model.parameters(), kept, strict=True))


def test_a_step_in_evaluation_mode_is_refused() -> None:
    model = linear()
    optimizer = schedule_free(model)
    set_mode(optimizer, training=False)
    with pytest.raises(TrainingError, match=r"expected a call of its train\(\)"):
        train(model, optimizer, range(1))


def test_a_rate_of_zero_in_the_first_step_changes_nothing() -> None:
    model, untouched = linear(), linear()
    optimizer = schedule_free(model)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    train(model, optimizer, range(1))
    assert torch.equal(weights(model), weights(untouched))
