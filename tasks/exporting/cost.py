"""What a model costs, in numbers that are the same each time: bytes, parameters, operations."""

import zlib
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

NOT_WEIGHTS = ("_scale", "_zero_point")


def deflated(content: bytes) -> int:
    """Bytes after DEFLATE at its highest level, as a .zip would store them."""
    return len(zlib.compress(content, 9))


def parameters(module: nn.Module) -> tuple[int, int]:
    """The number of parameters, and of those that are not zero."""
    weights = list(module.parameters())
    return sum(weight.numel() for weight in weights), sum(int(weight.count_nonzero()) for weight in weights)


def quantized_parameters(model: bytes) -> tuple[int, int]:
    """The same of a quantised ONNX model: its integer weights and biases, and the weights that stayed floats."""
    import onnx
    from onnx import numpy_helper

    graph: Any = onnx.load_from_string(model).graph
    weights = [
        numpy_helper.to_array(tensor)
        for tensor in graph.initializer
        if tensor.dims
        and not tensor.name.endswith(NOT_WEIGHTS)
        and tensor.name not in ("mean", "deviation")
        and (tensor.name.endswith("_quantized") or tensor.data_type == onnx.TensorProto.FLOAT)
    ]
    return sum(weight.size for weight in weights), sum(int((weight != 0).sum()) for weight in weights)


def multiply_adds(module: nn.Module, shape: tuple[int, int, int]) -> int:
    """Multiplications with an addition in linear and convolutional layers, for one image (C, H, W)."""
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        module(torch.zeros(1, *shape, dtype=torch.uint8))
    return int(counter.get_total_flops()) // 2
