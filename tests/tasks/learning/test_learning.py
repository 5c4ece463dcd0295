"""Losses, optimizers, schedules, penalties, batches, stopping: each against plain PyTorch or a number worked out by hand."""

import math
import pickle
from dataclasses import fields
from typing import Any

import pytest
import torch
from torch import Tensor, nn, optim

from tasks.contracts.splits import Split
from tasks.contracts.trained import Dynamics, RangeTest
from tasks.core.components import Component
from tasks.core.errors import TrainingError
from tasks.learning import inference, penalties
from tasks.learning.batches import Batches
from tasks.learning.inference import Preparation, predict
from tasks.learning.loop import Learner, fit
from tasks.learning.recording import RECORDED_ROWS, Recorder, margin, recorded_rows
from tasks.learning.stopping import Stopper

LOSSES, OPTIMIZERS, SCHEDULES = (Component(f"tasks.learning.{kind}") for kind in ("losses", "optimizers", "schedules"))
NEVER_STOPPING = Stopper(enabled=False, patience=1, min_delta=0.0)
AS_STORED = Preparation([0.0], [1.0])


def blobs(rows: int = 60, seed: int = 0) -> Split:
    """Three classes that a linear model can part: images (N, 1, 2, 2) uint8."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(rows) % 3
    centres = torch.tensor([[200, 20, 20, 60], [20, 200, 20, 60], [20, 20, 200, 60]])
    noise = torch.randint(-19, 20, (rows, 4), generator=generator)
    return Split((centres[labels] + noise).to(torch.uint8).view(rows, 1, 2, 2), labels, torch.arange(rows))


def linear(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(4, 3))


def build(component: Component, stated: dict[str, Any], *arguments: Any) -> Any:
    choice = component.choose(stated)
    return choice.module.build(choice.settings, *arguments)


def learner(model: nn.Module, optimizer: optim.Optimizer, *, shuffle: bool = True) -> Learner:
    train, val = blobs(), blobs(30, seed=1)
    loss = build(LOSSES, {"name": "cross_entropy"})
    return Learner(
        model=model,
        forward=model,
        loss=loss,
        optimizer=optimizer,
        schedule=build(SCHEDULES, {"name": "constant"}, 4, 5),
        batches=Batches(train, AS_STORED, 16, shuffle, seed=3),
        recorder=Recorder(train, val, torch.arange(60), AS_STORED, loss, seed=3),
        stopper=NEVER_STOPPING,
    )


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ({"name": "constant"}, [1, 1, 1, 1, 1]),
        ({"name": "step", "step_size": 2, "gamma": 0.1}, [1, 1, 0.1, 0.1, 0.01]),
        ({"name": "cosine", "final_fraction": 0.1}, [1.0, 0.9141, 0.6891, 0.4109, 0.1859]),
    ],
)
def test_the_history_has_the_learning_rate_of_each_epoch(stated: dict[str, Any], expected: list[float]) -> None:
    model = linear()
    optimizer = optim.SGD(model.parameters(), 1.0)
    built = learner(model, optimizer)
    history = fit(Learner(**{**vars(built), "schedule": build(SCHEDULES, stated, 4, 5)}), epochs=5)
    assert [row.learning_rate for row in history] == pytest.approx(expected, abs=1e-4)


def test_penalties_count_weights_and_leave_biases_out() -> None:
    layer = nn.Linear(2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[3.0, -4.0]]))
        layer.bias.fill_(100.0)
    penalty = penalties.build(0.5, 0.1, layer)
    assert penalty is not None
    assert penalty().item() == pytest.approx(0.5 * 7 + 0.05 * 25)
    assert penalties.build(0.0, 0.0, layer) is None


def test_l2_moves_weights_as_sgds_coupled_weight_decay_does() -> None:
    weight = nn.Parameter(torch.tensor([[2.0]]))
    model = nn.Module()
    model.register_parameter("weight", weight)
    penalty = penalties.build(0.0, 0.3, model)
    assert penalty is not None
    penalty().backward()
    optim.SGD([weight], lr=0.1).step()
    assert weight.item() == pytest.approx(2.0 - 0.1 * 0.3 * 2.0)


def seen(batches: Batches, epoch: int) -> Tensor:
    return torch.cat([labels for _, labels in batches.epoch(epoch)])


def test_batches_hold_every_row_once_and_the_rest_at_the_end() -> None:
    data = blobs(50)
    numbered = Split(data.images, torch.arange(50), data.rows)
    batches = Batches(numbered, AS_STORED, 16, shuffle=True, seed=0)
    assert [len(labels) for _, labels in batches.epoch(1)] == [16, 16, 16, 2]
    assert len(batches) == 4
    assert sorted(seen(batches, 1).tolist()) == list(range(50))


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("batches_a_block", [2.5, 4, 100])
def test_blocks_change_neither_the_order_nor_the_images(
    batches_a_block: float, shuffle: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = blobs(50)
    batches = Batches(Split(data.images, torch.arange(50), data.rows), Preparation([0.3], [0.2]), 8, shuffle, seed=0)
    monkeypatch.setattr("tasks.learning.batches.BLOCK_VALUES", 1)  # a block is one batch
    alone = list(batches.epoch(1))
    assert [len(labels) for _, labels in alone] == [8, 8, 8, 8, 8, 8, 2]
    monkeypatch.setattr("tasks.learning.batches.BLOCK_VALUES", int(batches_a_block * 8 * 4))
    for (images, labels), (expected_images, expected_labels) in zip(batches.epoch(1), alone, strict=True):
        assert torch.equal(labels, expected_labels)
        assert torch.equal(images, expected_images)


def test_the_order_follows_from_seed_and_epoch_alone() -> None:
    data = blobs(50)
    numbered = Split(data.images, torch.arange(50), data.rows)
    first, again = (Batches(numbered, AS_STORED, 16, shuffle=True, seed=7) for _ in range(2))
    seen(first, 1)
    assert torch.equal(seen(first, 2), seen(again, 2))
    assert not torch.equal(seen(first, 1), seen(first, 2))
    assert not torch.equal(seen(first, 1), seen(Batches(numbered, AS_STORED, 16, shuffle=True, seed=8), 1))
    assert torch.equal(seen(Batches(numbered, AS_STORED, 16, shuffle=False, seed=7), 5), torch.arange(50))


def test_images_are_scaled_as_totensor_scales_them() -> None:
    from torchvision.transforms.functional import to_tensor

    pixels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert torch.equal(AS_STORED(pixels)[0], to_tensor(pixels[0, 0].numpy()))


def test_standardising_gives_mean_zero_and_deviation_one() -> None:
    images = torch.randint(0, 256, (500, 2, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    scaled = images.double() / 255
    mean, deviation = scaled.mean((0, 2, 3)).tolist(), scaled.std((0, 2, 3), correction=0).tolist()
    result = Preparation(mean, deviation)(images)
    assert result.mean((0, 2, 3)).tolist() == pytest.approx([0, 0], abs=1e-5)
    assert result.std((0, 2, 3), correction=0).tolist() == pytest.approx([1, 1], abs=1e-5)


def test_early_stopping_waits_for_patience_and_restores_the_best_epoch() -> None:
    model = nn.Linear(1, 1, bias=False)
    stopper = Stopper(enabled=True, patience=2, min_delta=0.1)
    answers = []
    for epoch, val_loss in enumerate([1.0, 0.5, 0.45, 0.6], start=1):
        nn.init.constant_(model.weight, float(epoch))
        answers.append(stopper.should_stop(epoch, val_loss, model))
    assert answers == [False, False, False, True]  # 0.45 is no improvement of 0.1
    assert stopper.restore(4, model) == (2, "lowest val_loss")
    assert model.weight.item() == 2.0


def test_without_early_stopping_the_last_epoch_is_kept() -> None:
    model = nn.Linear(1, 1)
    stopper = Stopper(enabled=False, patience=1, min_delta=0.0)
    assert not any(stopper.should_stop(epoch, float(epoch), model) for epoch in range(1, 9))
    assert stopper.restore(8, model) == (8, "last epoch")


def test_a_loss_that_is_not_finite_stops_with_step_batch_and_remedy() -> None:
    model = linear()
    with torch.no_grad():
        next(model.parameters()).fill_(float("inf"))
    with pytest.raises(TrainingError, match=r"the loss is nan at step 1 \(epoch 1, batch 1\).*learning rate.*0\.5"):
        fit(learner(model, optim.SGD(model.parameters(), 0.5)), epochs=1)


def test_margin_is_the_true_logit_minus_the_largest_other() -> None:
    logits = torch.tensor([[2.0, 5.0, 1.0], [2.0, 5.0, 1.0]])
    assert margin(logits, torch.tensor([1, 0])).tolist() == [3.0, -3.0]


def test_dynamics_are_recorded_in_evaluation_mode_for_each_epoch_and_example() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.9), nn.Linear(4, 3))
    built = learner(model, optim.SGD(model.parameters(), 0.1))
    history = fit(built, epochs=2)
    dynamics = built.recorder.dynamics()
    assert dynamics.margin.shape == dynamics.loss.shape == dynamics.correct.shape == (2, 60)
    assert dynamics.val_loss.shape == dynamics.val_scaled_loss.shape == dynamics.val_correct.shape == (2, 30)
    val = built.recorder.val
    logits = model.eval()(AS_STORED(val.images)).detach()
    expected = torch.nn.functional.cross_entropy(logits.double(), val.labels, reduction="none")
    torch.testing.assert_close(dynamics.val_loss[-1], expected, rtol=1e-12, atol=0)
    assert torch.equal(dynamics.val_correct[-1], logits.argmax(1) == val.labels)
    assert history[-1].train_accuracy == pytest.approx(dynamics.correct[-1].double().mean().item())
    assert torch.equal(dynamics.correct, dynamics.margin > 0)


def held(classes: int) -> int:
    """Bytes that a recorder of 100 train and 200 val rows gains in ten epochs, views of larger tensors counted in full."""
    train, val = blobs(100), blobs(200, seed=1)
    recorder = Recorder(train, val, torch.arange(100), AS_STORED, torch.nn.functional.cross_entropy, seed=0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, classes))
    recorder.record(model)
    before = len(pickle.dumps(recorder))
    for _ in range(10):
        recorder.record(model)
    return len(pickle.dumps(recorder)) - before


def test_what_is_recorded_grows_with_rows_and_epochs_and_not_with_classes() -> None:
    numbers = 10 * (100 * (2 + 2 + 1) + 200 * (8 + 8 + 1))
    few, many = held(classes=3), held(classes=300)
    assert few == many
    assert numbers < few < 1.5 * numbers  # the rest is what pickle says of each tensor


def test_a_recorder_that_resumes_gives_the_dynamics_of_one_that_was_not_interrupted() -> None:
    train, val, loss, model = blobs(60), blobs(30, seed=1), torch.nn.functional.cross_entropy, linear()
    whole, first, second = (Recorder(train, val, torch.arange(60), AS_STORED, loss, seed=0) for _ in range(3))
    whole.range_test = first.range_test = RangeTest([0.001, 0.1], [2.0, 1.0], chosen=0.01)
    for epoch in range(4):
        with torch.no_grad():
            next(model.parameters()).mul_(1.5)
        whole.record(model)
        (first if epoch < 2 else second).record(model)
        if epoch == 1:
            second.load_state_dict(first.state_dict())
    for field in fields(Dynamics):
        continued, expected = getattr(second.dynamics(), field.name), getattr(whole.dynamics(), field.name)
        assert continued is expected is None or torch.equal(continued, expected), field.name


def test_answers_that_are_no_numbers_are_recorded_as_unknown() -> None:
    model = linear()
    with torch.no_grad():
        next(model.parameters()).fill_(math.inf)
    recorder = Recorder(blobs(), blobs(30, seed=1), torch.arange(60), AS_STORED, torch.nn.functional.cross_entropy, seed=0)
    assert not math.isfinite(recorder.record(model).val_loss or 0.0)
    assert bool(recorder.dynamics().val_loss.isnan().all())


def test_predictions_of_large_images_come_in_small_batches_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    rows, model = blobs(50), linear()
    model.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    whole = predict(model, rows.images, AS_STORED)
    monkeypatch.setattr(inference, "BATCH_VALUES", 4 * 20 + 3)
    torch.testing.assert_close(predict(model, rows.images, AS_STORED), whole)
    index = torch.tensor([7, 3, 49, 3])
    torch.testing.assert_close(predict(model, rows.images, AS_STORED, index), whole[index])
    assert predict(model, rows.images[:0], AS_STORED).shape == (0, 3)
    assert sizes == [50, 20, 20, 10, 4, 0]


def test_recorded_rows_are_all_of_a_small_train_and_a_sorted_sample_of_a_large_one() -> None:
    assert torch.equal(recorded_rows(RECORDED_ROWS, 10, 0), torch.arange(RECORDED_ROWS))
    sample = recorded_rows(50_000, 10_000, 0)
    assert len(sample) == 10_000
    assert bool((sample.diff() > 0).all())
    assert torch.equal(sample, recorded_rows(50_000, 10_000, 0))
    assert len(recorded_rows(50_000, 0, 0)) == RECORDED_ROWS
