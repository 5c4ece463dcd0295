"""Stage `gates`: end the run as failed where the results do not meet the conditions that the user has set.

It is the last stage, so that everything, the report too, has been written and recorded when a gate fails.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from tasks.contracts.findings import read_diagnosis
from tasks.contracts.flags import raised_flags, unanswered_flags
from tasks.contracts.results import EVALUATION
from tasks.core.errors import GateError
from tasks.core.files import read_json, write_json
from tasks.core.settings import Fraction, Section

if TYPE_CHECKING:
    from tasks.contracts.findings import Diagnosis


PASSED = Path("results/gates.json")


class Gates(Section):
    """Conditions without which the run fails; by default there is none."""

    # Flags of the diagnosis, by their verdict or their check, such as leakage or integrity; any; or the verdict inconclusive.
    fail_on: list[str] = Field(default_factory=list)
    min_accuracy_lower_bound: Fraction | None = None  # the interval of the test accuracy must not begin below this


class Params(Section):
    gates: Gates = Gates()


def gates(params: Params, root: Path = Path()) -> None:
    """Compare the diagnosis and the evaluation with the gates; write `results/gates.json` where all of them passed.

    Raises:
        GateError: a gate failed, or nothing that was run can answer it; all of them are named.
        ArtifactError: a result is missing or damaged.
    """
    chosen, diagnosis, evaluation = params.gates, read_diagnosis(root), read_json(root / EVALUATION, "evaluate")
    failed = [*_raised(chosen, diagnosis), *_too_low(chosen, evaluation)]
    if failed:
        raise GateError(f"{'; '.join(failed)}. All results have been written and recorded")
    found = {"flags": diagnosis.flags, "verdict": diagnosis.verdict, "accuracy_ci_low": evaluation["accuracy_ci_low"]}
    write_json(root / PASSED, {"gates": chosen.model_dump(), "found": found})
    kept = len(chosen.fail_on) + (chosen.min_accuracy_lower_bound is not None)
    print(f"gates: {kept} of {kept} passed" if kept else "gates: none are set")


def _raised(chosen: Gates, diagnosis: "Diagnosis") -> Iterator[str]:
    for name in raised_flags(chosen.fail_on, diagnosis):
        named = name if name in chosen.fail_on else "any"
        found = "which the diagnosis found" if named == name else f"and the diagnosis found {name}"
        yield f"gates.fail_on names {named}, {found} (verdict: {diagnosis.verdict})"
    for name in unanswered_flags(chosen.fail_on, diagnosis):
        yield (
            f"gates.fail_on names {name}, but the checks of diagnose.checks had no answer to that; they had answers to: "
            f"{', '.join(diagnosis.answered) or 'nothing'}"
        )


def _too_low(chosen: Gates, evaluation: dict[str, Any]) -> Iterator[str]:
    least, low = chosen.min_accuracy_lower_bound, evaluation["accuracy_ci_low"]
    if least is not None and low < least:
        yield (
            f"gates.min_accuracy_lower_bound is {least:g}, and the interval of the test accuracy {evaluation['accuracy']:.4f} begins "
            f"at {low:.4f}"
        )
