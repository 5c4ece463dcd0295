"""Fully sharded training (Zhao et al. 2023; torch's FSDP2): each process keeps its part of weights, gradients and optimizer state.

A layer's whole weights are in a process's memory only while that layer computes.
"""

import copy
from typing import Any, cast

import torch
from torch import distributed, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.optim import Optimizer

from tasks.learning.schedule import set_rates

# Gathered one tensor at a time, and kept only in the first process's ordinary memory: the others are given an empty mapping.
GATHERED = StateDictOptions(full_state_dict=True, cpu_offload=True)
WHOLE = StateDictOptions(full_state_dict=True)  # as it is read back: every process reads all of it and takes its part


class Sharded:
    """A model whose weights are divided among the processes, in place, and a whole copy of it to be measured and kept.

    The copy waits in ordinary memory; the first process has it on its device while it measures. That of another process keeps the
    weights that the model began with, as nothing asks for others there.
    """

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        self.device = device
        self._copy = copy.deepcopy(model).cpu()
        mesh = init_device_mesh(device.type, (distributed.get_world_size(),))
        for layer in model.children():
            if next(layer.parameters(), None) is not None:
                fully_shard(layer, mesh=mesh)
        self.model: FSDPModule = fully_shard(model, mesh=mesh)

    def exchange(self, wanted: bool) -> None:
        """Whether the next backward pass adds up the gradients of all processes."""
        self.model.set_requires_gradient_sync(wanted)

    def whole(self) -> nn.Module:
        """The model with all its weights, in the first process. Every process has to ask at the same time."""
        self._copy.to("cpu")
        state = self.state_of_model()
        if distributed.get_rank() > 0:
            return self._copy
        self._copy.load_state_dict(state)
        return self._copy.to(self.device)

    def state_of_model(self) -> dict[str, Any]:
        """All weights, in the first process; empty in the others. Every process has to ask at the same time."""
        return get_model_state_dict(cast(nn.Module, self.model), options=GATHERED)

    def states(self, optimizer: Optimizer) -> "dict[str, ShardedModel | ShardedOptimizer]":
        """What a checkpoint keeps in place of the model and its optimizer: whole, so that it does not depend on who has which part."""
        return {"model": ShardedModel(self), "optimizer": ShardedOptimizer(self, optimizer)}


class ShardedModel:
    """The weights as a checkpoint reads and writes them: the first process writes. Every process has to call at the same time."""

    def __init__(self, sharded: Sharded) -> None:
        self._sharded = sharded

    def state_dict(self) -> dict[str, Any]:
        return self._sharded.state_of_model()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        set_model_state_dict(cast(nn.Module, self._sharded.model), state, options=WHOLE)


class ShardedOptimizer:
    """The optimizer's state as a checkpoint reads and writes it: the first process writes. Every process calls at the same time."""

    def __init__(self, sharded: Sharded, optimizer: Optimizer) -> None:
        self._model, self._optimizer = cast(nn.Module, sharded.model), optimizer

    def state_dict(self) -> dict[str, Any]:
        return get_optimizer_state_dict(self._model, self._optimizer, options=GATHERED)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        set_rates(self._optimizer, 1.0)  # it knows then the rate that it began with, as the one that was saved does
        set_optimizer_state_dict(self._model, self._optimizer, state, options=WHOLE)
