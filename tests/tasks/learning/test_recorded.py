"""The recorded step against the loop's own, bit for bit, and what it does where it cannot be recorded."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx

from tasks.learning import recorded
from tasks.learning.gradients import Clip, Sharpness
from tasks.learning.loop import Learner, fit
from tasks.learning.precision import Precision
from tests.tasks.learning.test_learning import OPTIMIZERS, build, learner

EPOCHS = 12
SAYS = "the step is not recorded"


def small(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 8), *layers, nn.Linear(8, 3))


def trained(
    layers: Callable[[], list[nn.Module]], stated: dict[str, Any], make: Callable[[Learner], Learner], record: bool
) -> tuple[dict[str, Tensor], list[Any]]:
    """The weights and the history."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = small(*layers())
        optimizer = build(OPTIMIZERS, stated, model.parameters())
        history = fit(replace(make(learner(model, optimizer)), record_step=record), EPOCHS)
    return model.state_dict(), history


def assert_unrecorded(
    weights: dict[str, Tensor],
    history: list[Any],
    layers: Callable[[], list[nn.Module]],
    stated: dict[str, Any],
    make: Callable[[Learner], Learner],
) -> None:
    """What a run ended with is, to the bit, what one ends with that records no step."""
    expected, expected_history = trained(layers, stated, make, record=False)
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    assert history == expected_history


@pytest.fixture
def early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recorded in the second epoch, not after hundreds of steps."""
    monkeypatch.setattr(recorded, "EAGER_STEPS", 4)


def unchanged(built: Learner) -> Learner:
    return built


SGD = {"name": "sgd", "learning_rate": 0.05}


@pytest.mark.usefixtures("early")
@pytest.mark.parametrize(
    ("layers", "stated", "make"),
    [
        pytest.param(lambda: [nn.ReLU()], SGD, unchanged, id="sgd"),
        pytest.param(lambda: [nn.ReLU()], {**SGD, "momentum": 0.9, "nesterov": True}, unchanged, id="momentum"),
        pytest.param(lambda: [nn.ReLU(), nn.Dropout(0.5)], SGD, unchanged, id="dropout"),
        pytest.param(lambda: [nn.BatchNorm1d(8), nn.ReLU()], SGD, unchanged, id="batch norm"),
        pytest.param(lambda: [nn.ReLU()], {"name": "adam"}, unchanged, id="adam"),
        pytest.param(lambda: [nn.ReLU(), nn.Dropout(0.5)], {"name": "adamw"}, unchanged, id="adamw"),
        pytest.param(lambda: [nn.ReLU()], {"name": "lion"}, unchanged, id="lion"),
        pytest.param(lambda: [nn.ReLU()], SGD, lambda built: replace(built, clip=Clip(norm=0.1)), id="clip"),
        pytest.param(lambda: [nn.ReLU()], SGD, lambda built: replace(built, accumulate=2), id="accumulate"),
        pytest.param(lambda: [nn.ReLU()], SGD, lambda built: replace(built, sharpness=Sharpness(0.05)), id="sam"),
        pytest.param(
            lambda: [nn.BatchNorm1d(8), nn.ReLU()],
            SGD,
            lambda built: replace(built, sharpness=Sharpness(0.05)),
            id="sam and batch norm",
        ),
        pytest.param(lambda: [nn.ReLU()], SGD, lambda built: replace(built, precision=Precision("bf16-mixed")), id="bf16"),
    ],
)
def test_replayed_steps_end_with_the_bits_of_steps_that_run(
    layers: Callable[[], list[nn.Module]],
    stated: dict[str, Any],
    make: Callable[[Learner], Learner],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replayed = []
    compiled = recorded.compiled

    def counting(graph: Any) -> recorded.Step:
        replay = compiled(graph)
        return lambda images, targets: replayed.append(1) or replay(images, targets)  # type: ignore[func-returns-value]

    monkeypatch.setattr(recorded, "compiled", counting)
    weights, history = trained(layers, stated, make, record=True)
    assert_unrecorded(weights, history, layers, stated, make)
    assert SAYS not in capsys.readouterr().out
    # Three full batches an epoch: all but the first four steps and what is left over of the fifth's kind.
    assert len(replayed) >= 3 * EPOCHS - 4


class Counting(nn.Module):
    """Holds Python state, which a recording would repeat for ever."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        return images * (1 + self.calls / 10)


class Choosing(nn.Module):
    """Takes a branch that depends on the data."""

    def forward(self, images: Tensor) -> Tensor:
        return images if images.sum() > 0 else images.relu()


@pytest.mark.usefixtures("early")
@pytest.mark.parametrize(("layer", "reason"), [(Counting, "counts in Python"), (Choosing, "")])
def test_what_cannot_be_recorded_runs_as_it_is_and_says_so_once(
    layer: Callable[[], nn.Module], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    weights, history = trained(lambda: [layer()], SGD, unchanged, record=True)
    printed = capsys.readouterr().out
    assert printed.count(SAYS) == 1
    assert reason in printed
    assert_unrecorded(weights, history, lambda: [layer()], SGD, unchanged)


@pytest.mark.usefixtures("early")
@pytest.mark.parametrize(("stated", "said"), [(SGD, 1), ({"name": "adam"}, 0)])
def test_a_rate_that_moves_at_every_step_is_followed_or_said_to_prevent_recording(
    stated: dict[str, Any], said: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def falling(built: Learner) -> Learner:
        return replace(built, schedule=lambda step, losses: 1 / (1 + step))

    weights, history = trained(lambda: [nn.ReLU()], stated, falling, record=True)
    assert capsys.readouterr().out.count("no step is recorded while the learning rate changes") == said
    assert_unrecorded(weights, history, lambda: [nn.ReLU()], stated, falling)


@pytest.mark.usefixtures("early")
def test_a_rate_that_settles_after_a_warm_up_is_recorded(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    compiled = recorded.compiled

    def noticed(graph: Any) -> recorded.Step:
        made.append(graph)
        return compiled(graph)

    monkeypatch.setattr(recorded, "compiled", noticed)

    def warming(built: Learner) -> Learner:
        return replace(built, schedule=lambda step, losses: min(1.0, step / 20))

    weights, history = trained(lambda: [nn.ReLU()], SGD, warming, record=True)
    assert capsys.readouterr().out.count("no step is recorded while") == 1
    assert made
    assert_unrecorded(weights, history, lambda: [nn.ReLU()], SGD, warming)


@pytest.mark.usefixtures("early")
def test_a_recording_with_other_bits_is_not_relied_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = recorded.compiled

    def wrong(graph: Any) -> recorded.Step:
        replay = compiled(graph)
        return lambda images, targets: replay(images, targets) + 1e-7

    monkeypatch.setattr(recorded, "compiled", wrong)
    weights, history = trained(lambda: [nn.Dropout(0.5)], SGD, unchanged, record=True)
    assert "its recording computes other bits" in capsys.readouterr().out
    assert_unrecorded(weights, history, lambda: [nn.Dropout(0.5)], SGD, unchanged)


@pytest.mark.usefixtures("early")
@pytest.mark.parametrize("name", OPTIMIZERS.names())
def test_every_optimizer_ends_with_the_same_bits_recorded_or_not(name: str) -> None:
    stated = {"name": name} | ({"import": "torch.optim:SGD"} if name == "imported" else {})
    (weights, history), (expected, expected_history) = (
        trained(lambda: [nn.ReLU()], stated, unchanged, record) for record in (True, False)
    )
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    assert history == expected_history


def test_the_replay_keeps_no_graph_and_calls_operations_without_their_wrapper() -> None:
    """Without `no_grad` a weight that needs a gradient would let autograd keep every step; `_op` is a private name of torch's."""
    weight = nn.Parameter(torch.zeros(2))

    def step(images: Tensor, targets: Tensor) -> Tensor:
        loss = ((images * weight - targets) ** 2).mean()
        loss.backward()
        with torch.no_grad():
            weight.sub_(weight.grad)  # type: ignore[arg-type]
        weight.grad = None
        return loss.detach()

    batch = torch.full((2,), 0.5), torch.ones(2)
    replay = recorded.compiled(make_fx(step)(*batch))
    before = weight.detach().clone()
    assert not replay(*batch).requires_grad
    assert not torch.equal(weight, before)
    assert recorded.called(torch.ops.aten.mul.Tensor) is torch.ops.aten.mul.Tensor._op
