"""Every file of tasks/compression is a method that makes a smaller model of the fitted one, the same each time."""

import subprocess
import sys

import pytest
import torch

from tasks.compress import Compress, shrunk
from tasks.core.components import Component
from tasks.core.settings import validate
from tasks.exporting.cost import parameters
from tests.tasks.compression.project import subject

METHODS = Component("tasks.compression")


@pytest.mark.parametrize("name", METHODS.names())
def test_a_method_makes_the_same_smaller_model_each_time_and_leaves_the_original_alone(name: str) -> None:
    given = subject()
    before = {key: value.clone() for key, value in given.module.state_dict().items()}
    generator = torch.get_rng_state()
    first, second = (shrunk(METHODS.choose({"name": name}), given) for _ in range(2))
    if isinstance(first, bytes):
        assert first == second
    else:
        assert isinstance(second, torch.nn.Module)
        pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
        assert all(torch.equal(one, other) for one, other in pairs)
        assert parameters(first)[0] < parameters(given.module)[0]
        assert not first.training
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(torch.equal(value, before[key]) for key, value in given.module.state_dict().items())


@pytest.mark.parametrize("name", METHODS.names())
def test_a_bare_name_stands_for_the_default_options(name: str) -> None:
    (chosen,) = validate(Compress, {"methods": [name]}).methods
    assert chosen.resolved() == METHODS.choose({"name": name}).resolved()


def test_checking_the_parameters_imports_nothing_heavy() -> None:
    heavy = ("torch", "onnx", "onnxruntime", "numpy", "scipy", "pandas")
    code = (
        "import sys; from tasks.compress import Params; from tasks.core.settings import validate\n"
        "validate(Params, {'seed': 0, 'threads': 1, 'compress': {'methods': ['prune', 'quantize', 'distill']}})\n"
        f"print(sorted(set({heavy!r}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
