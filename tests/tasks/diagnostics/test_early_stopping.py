"""What early stopping is said to bring is what it brings."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tasks.contracts.trained import read_model
from tasks.diagnostics.early_stopping import MIN_DELTA, PATIENCE, replayed, stopped_epoch
from tasks.learning.inference import Preparation, predict, rebuild
from tasks.learning.stopping import Stopper
from tasks.statistics.calibration import log_losses
from tasks.train import EarlyStopping
from tests.tasks.diagnostics.test_worlds import diagnosed
from tests.tasks.diagnostics.trained import pictures, splits, trained


def test_the_rule_is_that_of_the_stopper() -> None:
    random, model = np.random.default_rng(0), nn.Linear(1, 1)
    for _ in range(200):
        losses = random.normal(size=random.integers(1, 30)).cumsum()
        stopper = Stopper(enabled=True, patience=3, min_delta=0.0)
        for epoch, loss in enumerate(losses, 1):
            if stopper.should_stop(epoch, float(loss), model):
                break
        assert stopped_epoch(losses, patience=3) == stopper.best_epoch - 1


def test_the_rule_has_the_defaults_of_the_option() -> None:
    assert (EarlyStopping().patience, EarlyStopping().min_delta) == (PATIENCE, MIN_DELTA)


def loss_on(root: Path, fresh: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]) -> float:
    described, weights = read_model(root)
    prepare = Preparation(described.mean, described.deviation)
    logits = predict(rebuild(described, weights), torch.from_numpy(fresh[0]), prepare)
    return float(log_losses(logits.numpy(), fresh[1]).mean())


@pytest.mark.slow
def test_the_promise_covers_what_stopping_brings_on_rows_that_no_run_saw(tmp_path: Path) -> None:
    covered = promised = 0
    for seed in range(20):
        noise = (0.2, 0.25, 0.35)[seed % 3]
        fresh, data = pictures(10_000, 999, noise), splits((500, 600, 500), seed, noise)
        long = trained(tmp_path / f"{seed}-long", data, seed, epochs=30)
        remedy = diagnosed(long)[1]["overtrained"].remedy
        if remedy is None or remedy.ci is None:
            continue
        trained(tmp_path / f"{seed}-stopped", data, seed, epochs=30, early_stopping={"enabled": True})
        gained = loss_on(tmp_path / f"{seed}-long", fresh) - loss_on(tmp_path / f"{seed}-stopped", fresh)
        promised += 1
        covered += remedy.ci[0] <= gained <= remedy.ci[1]
    print(f"the gain lies in the promised interval in {covered} of {promised}")
    assert promised >= 15
    assert covered >= promised - 2


def test_where_the_watched_loss_is_another_one_nothing_is_promised(tmp_path: Path) -> None:
    world = trained(tmp_path, splits((300, 300, 300), 0), epochs=30)
    assert replayed(world, 0.95) is not None
    other = replace(world, watched=2 * world.watched)
    assert replayed(other, 0.95) is None
    finding = diagnosed(other)[1]["overtrained"]
    assert finding.status == "flag"
    assert finding.remedy is not None
    assert finding.remedy.expected_gain is None
    assert "expected gain" not in finding.summary
