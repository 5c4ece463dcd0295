"""Which stages a request means, and in which order they run."""

import re

import pytest

from flows.graph import read_graph
from flows.selection import chosen_stages, direct
from tasks.core.errors import UnknownNameError
from tests.conftest import ROOT, STAGES

# DVC reads its index through a library that is about to change.
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")
GRAPH = {
    "score": frozenset({"train@a", "train@b", "prepare"}),
    "prepare": frozenset[str](),
    "train@a": frozenset({"prepare"}),
    "train@b": frozenset({"prepare"}),
}


def test_a_stage_comes_after_all_that_it_waits_for_whatever_the_order_of_dvc_yaml() -> None:
    assert chosen_stages(GRAPH, None) == chosen_stages(GRAPH, []) == ["prepare", "train@a", "train@b", "score"]


def test_a_stage_brings_those_it_depends_on_and_no_other() -> None:
    assert chosen_stages(GRAPH, ["train@b"]) == ["prepare", "train@b"]
    assert chosen_stages(read_graph(ROOT), ["evaluate"]) == ["download", "preprocess", "train", "evaluate"]
    assert chosen_stages(read_graph(ROOT), ["diagnose", "preprocess"]) == ["download", "preprocess", "train", "diagnose"]
    assert chosen_stages(read_graph(ROOT), None) == list(STAGES)


def test_the_name_of_a_foreach_stage_means_all_of_its_members() -> None:
    assert chosen_stages(GRAPH, ["train"]) == ["prepare", "train@a", "train@b"]


def test_an_unknown_stage_is_named_with_those_there_are_and_the_nearest() -> None:
    message = re.escape(f"unknown stage 'trian'; expected one of {', '.join(STAGES)}; did you")
    with pytest.raises(UnknownNameError, match=message):
        chosen_stages(read_graph(ROOT), ["train", "trian"])


def test_a_stage_waits_directly_only_for_what_no_other_of_its_stages_waits_for() -> None:
    assert direct(GRAPH, "score") == ["train@a", "train@b"]
    assert direct(GRAPH, "prepare") == []
