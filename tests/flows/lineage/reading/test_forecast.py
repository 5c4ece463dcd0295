"""What is foretold for each stage is what `dvc repro` then does."""

from collections.abc import Callable, Mapping

import pytest

from flows.graph import read_graph
from flows.lineage.reading.forecast import Forecast, Outcome, forecast
from tests.flows.lineage.small import Small

DID = {
    Outcome.UNCHANGED: {"unchanged"},
    Outcome.RUNS: {"ran"},
    Outcome.FORCED: {"ran"},
    Outcome.RESTORED: {"restored"},
    Outcome.CHANGED: {"ran", "restored"},
    Outcome.DEPENDS: {"ran", "restored", "unchanged"},
}
UNCHANGED, RUNS, RESTORED, DEPENDS = Outcome.UNCHANGED, Outcome.RUNS, Outcome.RESTORED, Outcome.DEPENDS


def foretold(small: Small, force: bool = False) -> dict[str, Forecast]:
    graph = read_graph(small.root)
    return forecast(small.root, graph, list(graph), force)


def outcomes(found: Mapping[str, Forecast]) -> list[Outcome]:
    return [found[name].outcome for name in ("split", "fit", "score")]


def causes(found: Mapping[str, Forecast], name: str) -> list[str]:
    return [str(cause) for cause in found[name].causes]


def edit_a_parameter(small: Small) -> None:
    small.edit("params.yaml", "rate: 0.5", "rate: 0.25")


def edit_the_code(small: Small) -> None:
    small.edit("fit.sh", "mkdir -p model", "mkdir -p model  # edited")


def edit_the_data(small: Small) -> None:
    small.edit("data.txt", "one", "uno")


def edit_data_that_change_nothing(small: Small) -> None:
    small.edit("data.txt", "four", "quattro")


def edit_the_command(small: Small) -> None:
    small.edit("dvc.yaml", "sh fit.sh", "sh ./fit.sh")


def remove_a_parameter_of_a_section(small: Small) -> None:
    small.edit("params.yaml", "  names: [a, b]\n", "")


def delete_an_output(small: Small) -> None:
    (small.root / "part.txt").unlink()


def delete_an_output_and_the_cache(small: Small) -> None:
    delete_an_output(small)
    small.run("rm", "-rf", ".dvc/cache/files", ".dvc/cache/runs")


def modify_an_output(small: Small) -> None:
    file = small.root / "model/weights.txt"
    file.unlink()
    file.write_text("forged\n")


def modify_an_uncached_output(small: Small) -> None:
    (small.root / "score.txt").write_text("100\n")


def undo_an_edit(small: Small) -> None:
    """After another run in between: each stage has run with these inputs before."""
    edit_the_data(small)
    small.run("dvc", "repro")
    small.edit("data.txt", "uno", "one")


def undo_an_edit_without_the_run_cache(small: Small) -> None:
    undo_an_edit(small)
    small.run("rm", "-rf", ".dvc/cache/runs")


def run_an_earlier_stage_alone(small: Small) -> None:
    edit_the_data(small)
    small.run("dvc", "repro", "-s", "split")


def edit_at_both_ends(small: Small) -> None:
    edit_the_data(small)
    edit_a_parameter(small)


def freeze_a_changed_stage(small: Small) -> None:
    small.run("dvc", "freeze", "fit")
    edit_at_both_ends(small)


def lose_the_record(small: Small) -> None:
    (small.root / "dvc.lock").unlink()


def lose_the_record_and_the_run_cache(small: Small) -> None:
    lose_the_record(small)
    small.run("rm", "-rf", ".dvc/cache/runs")


def let_it_run_each_time(small: Small) -> None:
    small.edit("dvc.yaml", "    cmd: sh fit.sh\n", "    cmd: sh fit.sh\n    always_changed: true\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "expected", "why"),
    [
        (lambda small: None, [UNCHANGED] * 3, {}),
        (edit_a_parameter, [UNCHANGED, RUNS, DEPENDS], {"fit": ["params.yaml: fit.rate 0.5 → 0.25"]}),
        (
            remove_a_parameter_of_a_section,
            [UNCHANGED, RUNS, DEPENDS],
            {"fit": ['params.yaml: fit.names ["a", "b"] → not stated']},
        ),
        (edit_the_code, [UNCHANGED, RUNS, DEPENDS], {"fit": ["fit.sh: modified, md5 "]}),
        (edit_the_data, [RUNS, DEPENDS, DEPENDS], {"split": ["data.txt: modified, md5 "]}),
        (edit_data_that_change_nothing, [RUNS, DEPENDS, DEPENDS], {}),
        (edit_the_command, [UNCHANGED, RUNS, DEPENDS], {"fit": ["command: sh fit.sh → sh ./fit.sh"]}),
        (delete_an_output, [RESTORED, UNCHANGED, UNCHANGED], {"split": ["part.txt: deleted (output)"]}),
        (delete_an_output_and_the_cache, [RUNS, Outcome.CHANGED, DEPENDS], {"score": []}),
        (modify_an_output, [UNCHANGED, RESTORED, UNCHANGED], {"fit": ["model: modified (output), md5 "]}),
        (modify_an_uncached_output, [UNCHANGED, UNCHANGED, RESTORED], {"score": ["score.txt: modified (output), md5 "]}),
        (undo_an_edit, [RESTORED] * 3, {"score": ["model: modified, md5 "]}),
        (undo_an_edit_without_the_run_cache, [RUNS, DEPENDS, DEPENDS], {}),
        (run_an_earlier_stage_alone, [UNCHANGED, RUNS, DEPENDS], {"fit": ["part.txt: modified, md5 "]}),
        (edit_at_both_ends, [RUNS, Outcome.CHANGED, DEPENDS], {}),
        (lose_the_record, [RESTORED] * 3, {"fit": ["first run: dvc.lock has no entry for it"]}),
        (lose_the_record_and_the_run_cache, [RUNS, Outcome.CHANGED, Outcome.CHANGED], {}),
        (let_it_run_each_time, [UNCHANGED, RUNS, DEPENDS], {}),
    ],
    ids=lambda value: value.__name__.strip("<>") if callable(value) else "",
)
def test_dvc_does_what_was_foretold(
    small: Small, change: Callable[[Small], None], expected: list[Outcome], why: dict[str, list[str]]
) -> None:
    change(small)
    found = foretold(small)
    assert outcomes(found) == expected
    for stage, beginnings in why.items():
        assert [text[: len(start)] for text, start in zip(causes(found, stage), beginnings, strict=True)] == beginnings
    before = small.text("dvc.lock") if (small.root / "dvc.lock").exists() else ""
    assert foretold(small) == found  # asking changes nothing
    did = small.outcomes()
    for stage, outcome in did.items():
        assert outcome in DID[found[stage].outcome], stage
    assert before or (small.root / "dvc.lock").exists()


@pytest.mark.slow
def test_a_forced_run_runs_all_and_a_frozen_stage_never(small: Small) -> None:
    assert outcomes(foretold(small, force=True)) == [Outcome.FORCED] * 3
    assert set(small.outcomes("-f").values()) == {"ran"}
    freeze_a_changed_stage(small)
    assert outcomes(foretold(small)) == [RUNS, UNCHANGED, UNCHANGED]
    modify_an_output(small)
    assert outcomes(foretold(small))[1] is Outcome.FROZEN
    small.run("dvc", "checkout", "-f", "-q", "model")
    assert small.outcomes() == {"split": "ran", "fit": "unchanged", "score": "unchanged"}


@pytest.mark.slow
def test_an_early_stage_with_the_same_bytes_stops_the_change(small: Small) -> None:
    edit_data_that_change_nothing(small)
    found = foretold(small)
    assert str(found["fit"]) == "would run if the outputs of split change"
    assert str(found["score"]) == "would run if the outputs of fit change"
    assert small.outcomes() == {"split": "ran", "fit": "unchanged", "score": "unchanged"}
    edit_the_data(small)
    assert small.outcomes() == {"split": "ran", "fit": "ran", "score": "ran"}
