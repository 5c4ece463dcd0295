"""A recorded run with a known answer, as the tables that its owner would give."""

from typing import Any

import numpy as np
import pandas as pd

from tasks.statistics.calibration import log_losses
from tests.tasks.diagnostics.worlds import Labels, Logits, epochs, measured, truth

EPOCHS, CLASSES = 6, 3


def table(logits: Logits, labels: Labels, epoch: int | None = None) -> pd.DataFrame:
    found = pd.DataFrame(logits, columns=[f"logit_{k}" for k in range(logits.shape[1])])
    found.insert(0, "row", np.arange(len(labels)))
    found.insert(1, "label", labels)
    return found if epoch is None else found.assign(epoch=epoch)


def world(harm: str = "", n: int = 2000) -> tuple[Logits, Labels]:
    """Recorded epochs (E, V, K) of which the last is overconfident, worse, or as good as the others."""
    random = np.random.default_rng(0)
    logits, labels = truth(n, CLASSES, random)
    recorded = epochs(logits, EPOCHS, 0.1, random)
    if harm == "overconfident":
        recorded[-1] = 3 * logits
    if harm == "overtrained":
        recorded[-1] += 2 * random.normal(size=logits.shape)
    return recorded, labels


def tables(recorded: Logits, labels: Labels) -> dict[str, Any]:
    """The tables of the run that `worlds.measured` makes of these epochs."""
    run = measured(recorded, labels)
    return {
        "history": pd.DataFrame(
            {
                "epoch": range(1, EPOCHS + 1),
                "val_loss": [log_losses(logits, labels).mean() for logits in recorded],
                "learning_rate": 0.01,
            }
        ),
        "predictions": pd.concat([table(logits, labels, epoch) for epoch, logits in enumerate(recorded, start=1)]),
        "test": table(run.test_logits, run.test.labels),
        "train": pd.concat([table(run.train_logits, run.train.labels, epoch) for epoch in range(1, EPOCHS + 1)]),
    }
