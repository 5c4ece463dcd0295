"""Pruning: units are really gone, weights are really zero, and what cannot be cut is refused."""

from typing import Any

import pytest
import torch
from torch import nn

from tasks.compression.prune import Settings, shrink
from tasks.core.errors import ParamsError, TrainingError
from tasks.exporting.cost import parameters
from tests.tasks.compression.project import SHAPE, accuracy, split, subject

CNN = {"name": "cnn", "channels": [4, 6], "hidden": 10}


def test_units_are_cut_out_of_every_hidden_layer_and_never_out_of_the_last() -> None:
    made = shrink(Settings(amount=0.5, epochs=0), subject())
    shapes = [tuple(weight.shape) for weight in made.parameters() if weight.ndim > 1]
    assert shapes == [(6, 24), (4, 6), (3, 4)]
    assert [(layer.in_features, layer.out_features) for layer in made if isinstance(layer, nn.Linear)] == [  # type: ignore[attr-defined]
        (24, 6),
        (6, 4),
        (4, 3),
    ]


def test_channels_of_convolutions_are_cut_out_with_the_pixels_that_read_them() -> None:
    made = shrink(Settings(amount=0.5, epochs=0), subject(CNN))
    shapes = [tuple(weight.shape) for weight in made.parameters() if weight.ndim > 1]
    assert shapes == [(2, 1, 3, 3), (3, 2, 3, 3), (5, 3), (3, 5)]  # 4x6 pixels halved twice: one pixel for each channel
    assert made(torch.zeros(5, *SHAPE)).shape == (5, 3)


@pytest.mark.parametrize("several_pixels", [False, True])
def test_cutting_units_that_do_nothing_changes_no_answer(several_pixels: bool) -> None:
    torch.manual_seed(3)
    pool = nn.MaxPool2d(2) if several_pixels else nn.AdaptiveAvgPool2d(1)
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Sequential(pool, nn.Flatten()),
        nn.Linear(24 if several_pixels else 4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3),
    )  # fmt: skip
    with torch.no_grad():
        for layer, dead in ((0, [1, 2]), (4, [0, 2, 5])):
            norm: Any = module[layer + 1]
            norm.running_mean.uniform_(-1, 1)
            norm.running_var.uniform_(0.5, 2)
            norm.weight.uniform_(0.5, 2)
            norm.bias.uniform_(0.1, 1)
            linear: Any = module[layer]
            for tensor in (linear.weight, linear.bias, norm.weight, norm.bias):
                tensor[dead] = 0  # a unit that is always 0
    images = torch.rand(7, *SHAPE)
    made: Any = shrink(Settings(amount=0.5, epochs=0), subject(module=module))
    assert parameters(made)[0] < parameters(module)[0]
    with torch.inference_mode():
        torch.testing.assert_close(made(images), module.eval()(images))
    assert made[1].num_features == 2
    assert made[5].num_features == 3


@pytest.mark.parametrize(("amount", "left"), [(0.01, 12), (0.25, 9), (0.99, 1)])
def test_at_least_one_unit_stays(amount: float, left: int) -> None:
    made = shrink(Settings(amount=amount, epochs=0), subject({"name": "mlp", "hidden": [12]}))
    assert next(made.parameters()).shape[0] == left


@pytest.mark.parametrize("epochs", [0, 3])
def test_the_smallest_weights_of_all_layers_become_zero_and_stay_zero_while_it_trains(epochs: int) -> None:
    given = subject()
    made = shrink(Settings(structure="weights", amount=0.7, epochs=epochs), given)
    before = torch.cat([weight.flatten() for weight in given.module.parameters() if weight.ndim > 1])
    after = torch.cat([weight.flatten() for weight in made.parameters() if weight.ndim > 1])
    assert set(made.state_dict()) == set(given.module.state_dict())  # no mask is left behind
    assert int((after == 0).sum()) == round(0.7 * len(before))
    assert before[after == 0].abs().max() <= before[after != 0].abs().min()
    assert torch.equal(after[after != 0], before[after != 0]) == (epochs == 0)


def test_training_afterwards_wins_back_what_the_cut_lost() -> None:
    given, test = subject(), split(600, 9)
    cut, trained = (accuracy(shrink(Settings(amount=0.75, epochs=epochs), given), test) for epochs in (0, 40))
    assert trained > cut + 0.05


def test_a_model_without_hidden_units_is_refused_for_units_and_pruned_for_weights() -> None:
    given = subject({"name": "linear"})
    with pytest.raises(ParamsError, match=r"no hidden units to cut out; choose .* structure: weights"):
        shrink(Settings(), given)
    assert parameters(shrink(Settings(structure="weights", epochs=0), given))[1] == 36 + 3


@pytest.mark.parametrize(
    "part", [nn.LayerNorm(6), nn.Conv2d(4, 4, 1, groups=4), nn.PixelShuffle(2)], ids=["layer norm", "grouped", "unknown"]
)
def test_a_layer_that_mixes_units_in_another_way_is_refused(part: nn.Module) -> None:
    module = nn.Sequential(nn.Conv2d(1, 4, 1), part, nn.Flatten(), nn.Linear(96, 8), nn.Linear(8, 3))
    with pytest.raises(ParamsError, match=f"found a layer {type(part).__name__}; expected a plain sequence"):
        shrink(Settings(), subject(module=module))


def test_a_rate_that_is_too_high_is_named() -> None:
    with pytest.raises(TrainingError, match=r"not a finite number in epoch .* learning_rate"):
        shrink(Settings(learning_rate=1e30), subject())
