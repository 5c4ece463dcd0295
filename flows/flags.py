"""What `--fail-on` and `gates.fail_on` may name, and what is said of it."""

import sys
from collections.abc import Iterable

from tasks.contracts.findings import INCONCLUSIVE, Diagnosis
from tasks.contracts.flags import ANY, raised_flags, unanswered_flags
from tasks.core.components import Component
from tasks.core.errors import UnknownNameError
from tasks.core.settings import expected_names


def unknown_flags(wanted: Iterable[str]) -> list[str]:
    """What is wrong with each name that could never fail, as no check raises such a flag; with the nearest that there is."""
    names = list(wanted)
    known = flag_names() if names else []
    return [f"unknown flag {name!r}; {expected_names(name, known)}" for name in names if name not in known]


def flag_names() -> list[str]:
    """`any`, `inconclusive`, the checks that can flag, and the verdicts that their flags mean."""
    component = Component("tasks.diagnostics.checks")
    found = {name: component.choose({"name": name}).module.VERDICT for name in component.names()}
    verdicts = {name: verdict for name, verdict in found.items() if verdict is not None}
    return list(dict.fromkeys([ANY, INCONCLUSIVE, *verdicts, *verdicts.values()]))


def fails(wanted: list[str], diagnosis: Diagnosis) -> bool:
    """Whether a flag that `--fail-on` names is raised, or no check could tell; which those are is said on standard error."""
    raised, unanswered = raised_flags(wanted, diagnosis), unanswered_flags(wanted, diagnosis)
    for name in unanswered:
        print(f"error: --fail-on {name}: no check had the data to tell", file=sys.stderr)
    if raised:
        print(f"error: raised: {', '.join(raised)} (--fail-on {','.join(wanted)})", file=sys.stderr)
    return bool(raised or unanswered)


def check_flags(wanted: list[str]) -> None:
    """Refuse what `--fail-on` cannot name.

    Raises:
        UnknownNameError: there is no such flag.
    """
    for line in unknown_flags(wanted):
        raise UnknownNameError(f"--fail-on: {line}")
