"""Batch normalisation that does not stop at a batch of one example."""

from torch import Tensor, nn
from torch.nn import functional


class BatchNorm(nn.BatchNorm2d):
    """torch's own; a training batch with a single value per channel is normalised with the running mean and variance.

    Such a batch, one example of 1x1 pixels, has no variance, and torch refuses it: but the last batch of an epoch may be one. It leaves
    the running mean and variance as they are. The step is a poor one all the same, as it is with two examples: on 577 digits in batches
    of 32 resnet18 learned much more slowly than on 576.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        if self.training and input.numel() <= self.num_features:
            return functional.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(input)
