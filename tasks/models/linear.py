"""A linear classifier (Bishop 2006, section 4.3.4): logistic regression on cross-entropy; the baseline of any other."""

import math
from typing import TYPE_CHECKING

from tasks.core.settings import Section

if TYPE_CHECKING:
    from torch import nn


class Settings(Section):
    """No options."""


def build(settings: Settings, shape: tuple[int, int, int], classes: int) -> "nn.Module":
    """Flatten, then one layer: (N, C, H, W) to logits (N, K).

    It draws nothing else from torch's global generator, so that `torch.manual_seed(0)` gives the textbook's weights.
    """
    from torch import nn

    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), classes))
