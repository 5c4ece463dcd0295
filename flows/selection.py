"""Which stages a person asked for, and whether the request can be carried out."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from flows.declaration import DeclarationError
from flows.graph import read_graph
from flows.lineage.lock import LOCK_FILE
from flows.parameters.checking import check_params, check_sources, own_stages
from flows.parameters.overrides import overridden_params
from flows.processes.lock_file import mend_lock_file
from flows.repository import PIPELINE_FILE
from tasks.core.errors import UnknownNameError
from tasks.core.settings import PARAMS_FILE, expected_names, load_yaml

Graph = Mapping[str, frozenset[str]]


def check_request(
    root: Path, stages: Sequence[str] | None, overrides: Sequence[str], say: Callable[[str], None] | None = None
) -> None:
    """Check the names of the stages, params.yaml and the overrides; `say` as for `pipeline`.

    Raises:
        GoodfitError: dvc.yaml cannot be read, there is no such stage, or the parameters are not valid.
    """
    if stages:  # otherwise there is no name to check, and DVC's index takes a sixth of a second
        chosen_stages(pipeline(root, say), stages)
    check_overrides(root, overrides)


def check_overrides(root: Path, overrides: Sequence[str]) -> None:
    """Check params.yaml with the overrides, and without if there are none, and that the user's own data are there.

    Raises:
        ParamsError: the parameters are not valid.
        DataError: the data are not there.
    """
    if overrides:
        check_sources(root, overridden_params(root, overrides))
    elif own_stages(root):
        check_params(root)
        check_sources(root, load_yaml(root / PARAMS_FILE))


def pipeline(root: Path, say: Callable[[str], None] | None = None) -> Graph:
    """The graph of dvc.yaml.

    Args:
        root: the repository.
        say: told that a torn dvc.lock was mended; with None nothing is changed.

    Raises:
        DeclarationError: DVC cannot read it; the message is DVC's.
    """
    from dvc.exceptions import DvcException

    try:
        try:
            return read_graph(root)
        except DvcException as error:
            if say is None or LOCK_FILE not in str(error):
                raise
            for line in mend_lock_file(root):
                say(line)
            return read_graph(root)
    except DvcException as error:
        if LOCK_FILE in str(error):
            raise DeclarationError(f"{LOCK_FILE} cannot be read ({error}); run `goodfit doctor`") from None
        raise DeclarationError(f"{PIPELINE_FILE}: {error}") from None


def chosen_stages(graph: Graph, stages: Sequence[str] | None) -> list[str]:
    """The stages and all that they wait for, each after those; all stages for None or an empty list.

    The name of a `foreach` or `matrix` stage stands for all of its members: `train` for `train@a` and `train@b`.

    Raises:
        UnknownNameError: there is no such stage.
    """
    wanted = {member for name in stages or graph for member in _members(graph, name)}
    chosen: dict[str, None] = {}  # an ordered set

    def choose(name: str) -> None:
        for before in graph:  # in dvc.yaml's order, so that the result does not depend on the order of a set
            if before in graph[name] and before not in chosen:
                choose(before)
        chosen[name] = None

    for name in graph:
        if name in wanted and name not in chosen:
            choose(name)
    return list(chosen)


def direct(graph: Graph, name: str) -> list[str]:
    """The stages that a stage waits for, without those that another of them waits for: the same order with fewer arrows."""
    before = graph[name]
    implied = {earlier for other in before for earlier in _all_before(graph, other)}
    return [other for other in graph if other in before and other not in implied]


def _all_before(graph: Graph, name: str) -> set[str]:
    return {earlier for other in graph[name] for earlier in ({other} | _all_before(graph, other))}


def _members(graph: Graph, name: str) -> list[str]:
    members = [stage for stage in graph if stage == name or stage.startswith(f"{name}@")]
    if not members:
        raise UnknownNameError(f"unknown stage '{name}'; {expected_names(name, list(graph))}")
    return members
