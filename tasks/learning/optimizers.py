"""The optimizers: torch's own, with the settings of params.yaml."""

from collections.abc import Callable, Iterable

from torch import optim
from torch.nn import Parameter

from tasks.contracts.params.train import Optimizer, OptimizerName

Weights = Iterable[Parameter]


def sgd(weights: Weights, rate: float, settings: Optimizer) -> optim.Optimizer:
    return optim.SGD(weights, rate, momentum=settings.sgd.momentum, nesterov=settings.sgd.nesterov)


def adam(weights: Weights, rate: float, settings: Optimizer) -> optim.Optimizer:
    own = settings.adam
    return optim.Adam(weights, rate, betas=(own.beta1, own.beta2), eps=own.epsilon)


def adamw(weights: Weights, rate: float, settings: Optimizer) -> optim.Optimizer:
    own = settings.adamw
    return optim.AdamW(weights, rate, betas=(own.beta1, own.beta2), eps=own.epsilon, weight_decay=own.weight_decay)


def rmsprop(weights: Weights, rate: float, settings: Optimizer) -> optim.Optimizer:
    own = settings.rmsprop
    return optim.RMSprop(weights, rate, alpha=own.alpha, momentum=own.momentum, eps=own.epsilon)


REGISTRY: dict[OptimizerName, Callable[[Weights, float, Optimizer], optim.Optimizer]] = {
    "sgd": sgd,
    "adam": adam,
    "rmsprop": rmsprop,
    "adamw": adamw,
}


def build(settings: Optimizer, weights: Weights) -> optim.Optimizer:
    """The chosen optimizer over `weights`."""
    return REGISTRY[settings.name](weights, settings.learning_rate, settings)
