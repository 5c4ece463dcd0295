"""What `--fail-on` names: a check by its code, or the verdict that its flag means."""

import sys
from typing import TYPE_CHECKING

from tasks.core.components import Component
from tasks.core.errors import UnknownNameError
from tasks.core.settings import expected_names

if TYPE_CHECKING:
    from tasks.contracts.findings import Diagnosis

ANY = "any"


def raised_flags(wanted: list[str], diagnosis: "Diagnosis") -> list[str]:
    """The names among `wanted` whose flag is raised; for `any`, every flag.

    Raises:
        UnknownNameError: there is no such flag, which would otherwise never fail.
    """
    verdicts = _verdicts()
    codes = [finding.code for finding in diagnosis.findings]
    known = list(dict.fromkeys([ANY, *codes, *verdicts, *verdicts.values(), *diagnosis.flags]))
    for name in wanted:
        if name not in known:
            raise UnknownNameError(f"--fail-on: unknown flag '{name}'; {expected_names(name, known)}")
    flagged = [finding.code for finding in diagnosis.findings if finding.status == "flag"]
    named = [name for name in dict.fromkeys([*diagnosis.flags, *flagged]) if name in wanted]
    return list(dict.fromkeys([*named, *diagnosis.flags])) if ANY in wanted else named


def unanswered_flags(wanted: list[str], diagnosis: "Diagnosis") -> list[str]:
    """The names among `wanted` of which no check could tell whether their flag has to be raised."""
    codes = {finding.code for finding in diagnosis.findings if finding.status not in ("not_run", "inconclusive")}
    return [name for name in wanted if name not in (ANY, *codes, *diagnosis.answered)]


def say_raised(raised: list[str], wanted: list[str]) -> None:
    """On standard error, which flags that `--fail-on` names are raised."""
    if raised:
        print(f"error: raised: {', '.join(raised)} (--fail-on {','.join(wanted)})", file=sys.stderr)


def _verdicts() -> dict[str, str]:
    """The verdict that the flag of each check means, by the name of the check; checks that only describe are left out."""
    component = Component("tasks.diagnostics.checks")
    found = {name: component.choose({"name": name}).module.VERDICT for name in component.names()}
    return {name: verdict for name, verdict in found.items() if verdict is not None}
