"""The recorded step: the loop's own step as a flat list of torch's operations, replayed without autograd's and Python's bookkeeping.

Most of a small model's step is bookkeeping. `make_fx` records what the step really calls, backward pass and optimizer included; the
replay is compared with the step bit for bit before it is relied on, and where they differ each step stays as it is.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.node import map_arg
from torch.optim import Optimizer

Step = Callable[[Tensor, Tensor], Tensor]
# So many steps of one kind come before it is recorded: a recording takes about as long as what it would have saved in them, 0.05 s.
EAGER_STEPS = 300
COMPARED_STEPS = 3

aten = torch.ops.aten
# These change nothing without autograd.
TRANSPARENT = {aten.alias.default, aten.detach.default}


class RecordedStep:
    """Calls `step`, and once it has been called often enough with the same shapes and learning rates, its recording.

    Args:
        step: forward, loss, backward, step and zero_grad of one batch.
        model: whose weights the step changes.
        optimizer: whose state it changes.
    """

    def __init__(self, step: Step, model: nn.Module, optimizer: Optimizer) -> None:
        self.step, self.model, self.optimizer = step, model, optimizer
        self._seen: Counter[Any] = Counter()
        self._ready: dict[Any, Step] = {}  # recordings that are relied on
        self._replays: dict[Any, Step] = {}
        self._compared: Counter[Any] = Counter()
        self._refused = False
        self._told = False

    def __call__(self, images: Tensor, targets: Tensor) -> Tensor:
        if self._refused:
            return self.step(images, targets)
        key = (images.shape, targets.shape, *self._rates())
        replay = self._ready.get(key)
        if replay is not None:
            return replay(images, targets)
        self._seen[key] += 1
        if len(self._seen) > EAGER_STEPS:
            self._seen.clear()  # it would grow with every step
            self._tell_of_moving_rate()
        if self._seen[key] <= EAGER_STEPS:
            return self.step(images, targets)
        return self._compare(key, images, targets)

    def _rates(self) -> list[float]:
        """The learning rates that a recording holds as numbers; those in tensors are read at each step."""
        return [group["lr"] for group in self.optimizer.param_groups if not isinstance(group["lr"], Tensor)]

    def _compare(self, key: Any, images: Tensor, targets: Tensor) -> Tensor:
        """Take the step both ways, from the same state."""
        before, numbers = self._state(), self._numbers()
        expected = self.step(images, targets)
        after = self._state()
        if numbers != self._numbers():
            return self._refuse("the model or the optimizer counts in Python, which a recording does not repeat", expected)
        try:
            if key not in self._replays:
                self._restore(before)
                self._replays[key] = compiled(make_fx(partial(self.step))(images, targets))
            self._restore(before)
            loss = self._replays[key](images, targets)
        except Exception as error:  # whatever tracing refuses: data-dependent control flow, operations without a record
            self._restore(after)
            self.optimizer.zero_grad()
            return self._refuse(str(error).strip().partition("\n")[0].partition(". ")[0], expected)
        pairs = zip([loss, *self._state()], [expected, *after], strict=True)
        if not all(torch.equal(replayed, stepped) for replayed, stepped in pairs):
            self._restore(after)
            return self._refuse("its recording computes other bits", expected)
        self._compared[key] += 1
        if self._compared[key] == COMPARED_STEPS:
            self._ready[key] = self._replays[key]
        return expected

    def _tell_of_moving_rate(self) -> None:
        """Say once why nothing is recorded for now; the rate may settle, as after a warm-up."""
        if not (self._told or self._ready):
            print(
                "train: no step is recorded while the learning rate changes at each: a recording holds this optimizer's as a number"
            )
        self._told = True

    def _refuse(self, reason: str, loss: Tensor) -> Tensor:
        print(f"train: the step is not recorded, and runs as PyTorch runs it: {reason}")
        self._refused = True
        self._ready.clear()
        self._replays.clear()
        return loss

    def _tensors(self) -> Iterator[Tensor]:
        """All that a step changes."""
        yield from self.model.parameters()
        yield from self.model.buffers()
        for state in self.optimizer.state.values():
            yield from (value for value in state.values() if isinstance(value, Tensor))

    def _state(self) -> list[Tensor]:
        return [torch.get_rng_state(), *(tensor.detach().clone() for tensor in self._tensors())]

    def _restore(self, state: list[Tensor]) -> None:
        torch.set_rng_state(state[0])
        with torch.no_grad():
            for tensor, value in zip(self._tensors(), state[1:], strict=True):
                tensor.copy_(value)

    def _numbers(self) -> list[Any]:
        """The plain numbers that modules and optimizer hold: a recording would keep those of its first step for ever."""
        holders = [vars(holder) for holder in (*self.model.modules(), self.optimizer)]
        holders += [*self.optimizer.state.values(), *self.optimizer.param_groups]
        return [value for holder in holders for value in holder.values() if isinstance(value, int | float)]


def compiled(recorded: GraphModule) -> Step:
    """One Python function of the recorded calls; operations and constants are local names, and a value goes after its last use.

    It needs no `torch.no_grad()`: whatever is recorded is detached, and batches need no gradient.
    """
    nodes = _needed(recorded)
    fixed = _fixed(recorded, nodes)
    constants: dict[str, Any] = {}
    names: dict[Node, str] = {}
    last_use = {argument: node for node in nodes for argument in node.all_input_nodes}
    inputs, lines = [], []

    def constant(value: Any) -> str:
        name = f"c{len(constants)}"
        constants[name] = value
        return name

    def written(value: Any) -> str:
        if isinstance(value, Node):
            return names[value]
        if isinstance(value, list | tuple):
            return f"[{', '.join(map(written, value))}]"
        return repr(value) if value is None or isinstance(value, bool | int | str) else constant(value)

    for number, node in enumerate(nodes):
        if node.op == "placeholder":
            names[node] = f"x{number}"
            inputs.append(names[node])
        elif node in fixed:
            names[node] = constant(fixed[node])
        elif node.op == "output":
            lines.append(f"return {written(node.args[0])}")
        else:
            arguments = [written(value) for value in node.args]
            arguments += [f"{key}={written(value)}" for key, value in node.kwargs.items()]
            names[node] = f"v{number}"
            lines.append(f"v{number} = {constant(called(node.target))}({', '.join(arguments)})")
            done = [names[used] for used in node.all_input_nodes if last_use[used] is node and names[used] not in constants]
            if not node.users:
                done.append(names[node])
            lines += [f"{' = '.join(done)} = None"] if done else []
    body = "\n        ".join(lines)
    source = f"def make({', '.join(constants)}):\n    def replay({', '.join(inputs)}):\n        {body}\n    return replay\n"
    namespace: dict[str, Any] = {}
    exec(source, namespace)  # noqa: S102 (written above, from the operations that torch recorded)
    replay: Step = namespace["make"](**constants)
    return replay


def called(target: Any) -> Any:
    """What an operation calls in the end: without its Python wrapper a step of the linear recipe takes 9 % less time.

    `_op` is not documented. Where there is none, the operation itself is called.
    """
    return getattr(target, "_op", target)


def _fixed(recorded: GraphModule, nodes: list[Node]) -> dict[Node, Tensor]:
    """What is the same tensor at every step: weights and state, views of them, and the one with which the backward pass begins."""
    fixed: dict[Node, Tensor] = {}
    for node in nodes:
        if node.op == "get_attr":
            fixed[node] = getattr(recorded, str(node.target)).detach()
        elif node.op != "call_function" or not isinstance(node.target, OpOverload):
            continue
        elif node.target.is_view and all(used in fixed for used in node.all_input_nodes):
            arguments, options = map_arg((node.args, node.kwargs), fixed.__getitem__)
            fixed[node] = node.target(*arguments, **options)
        elif node.target is aten.ones_like.default and _is_read_only_scalar(node):
            fixed[node] = torch.ones((), dtype=node.meta["tensor_meta"].dtype)
    return fixed


def _is_read_only_scalar(node: Node) -> bool:
    users = [user.target for user in node.users]
    reads = all(isinstance(user, OpOverload) and not user.is_view and not user._schema.is_mutable for user in users)
    return reads and node.meta["tensor_meta"].shape == ()


def _needed(recorded: GraphModule) -> list[Node]:
    """The recorded calls without what has no effect: marks for the profiler, aliases, and a matrix transposed twice."""
    graph = recorded.graph
    for node in list(graph.nodes):
        if node.op != "call_function":
            continue
        if node.target in TRANSPARENT:
            node.replace_all_uses_with(node.args[0])
        elif node.target is aten.t.default and node.args[0].target is aten.t.default:
            node.replace_all_uses_with(node.args[0].args[0])
    for node in reversed(list(graph.nodes)):
        pure = node.target in TRANSPARENT or node.target is aten.t.default or "profiler" in str(node.target)
        if pure and not node.users:
            graph.erase_node(node)
    return list(graph.nodes)
