"""From a module to files of torch.export and ONNX, without times and paths in them: the same module gives the same bytes."""

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import GraphModule

from tasks.contracts.trained import TrainedModel
from tasks.core.errors import ArtifactError

# Where each operation came from, with paths of this machine: of use for debugging only.
ORIGINS = ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn", "from_node")


class Prepared(nn.Module):
    """A model with its preparation in front: images (N, C, H, W) uint8 to logits (N, K), with the arithmetic of `Preparation`."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, model: nn.Module, trained: TrainedModel) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("mean", torch.tensor(trained.mean).view(1, -1, 1, 1))
        self.register_buffer("deviation", torch.tensor(trained.deviation).view(1, -1, 1, 1))
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(images.to(torch.float32).div(255).sub(self.mean).div(self.deviation))
        return logits


def export(prepared: Prepared, shape: tuple[int, int, int]) -> ExportedProgram:
    """The module as a graph of operations, for any number of images (C, H, W).

    Raises:
        ArtifactError: torch.export cannot follow the module, for example because it decides by the values of a tensor.
    """
    example = torch.zeros(2, *shape, dtype=torch.uint8)  # not one: the number would be taken for a constant
    try:
        program = torch.export.export(prepared, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},), strict=False)
    except Exception as error:  # torch names many kinds, most of them private
        reason = str(error).strip().partition("\n")[0]
        raise ArtifactError(f"torch.export cannot export the model ({type(error).__name__}: {reason})") from error
    for part in program.graph_module.modules():
        for node in part.graph.nodes if isinstance(part, GraphModule) else ():
            for key in ORIGINS:
                node.meta.pop(key, None)
    return program


def pt2_bytes(program: ExportedProgram) -> bytes:
    """What `torch.export.load` reads."""
    file = io.BytesIO()  # with a path, the file's name would become part of the bytes
    torch.export.save(program, file)
    return file.getvalue()


def onnx_bytes(program: ExportedProgram) -> bytes:
    """The ONNX model, with input `images` and output `logits`.

    Raises:
        ArtifactError: an operation of the model has no counterpart in ONNX.
    """
    with quiet():
        try:
            exported = torch.onnx.export(
                program, (), dynamo=True, input_names=["images"], output_names=["logits"], verbose=False
            )
        except Exception as error:
            reason = str(error).strip().partition("\n")[0]
            raise ArtifactError(f"the model cannot be written as ONNX ({type(error).__name__}: {reason})") from error
    model = exported.model_proto  # type: ignore[union-attr]  # None only without dynamo
    _drop_origins(model)
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param:
                dimension.dim_param = "batch"
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _drop_origins(model: Any) -> None:
    """Remove what the exporter notes beside each part of the graph."""
    for graph in (model.graph, *model.functions):
        del graph.metadata_props[:]
        for node in graph.node:
            del node.metadata_props[:]
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info, *model.graph.initializer):
        del value.metadata_props[:]


@contextmanager
def quiet() -> Iterator[None]:
    """Without the advice that the exporters log; errors are still raised."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
