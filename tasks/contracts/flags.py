"""Which of the flags that a user names are raised, and of which the diagnosis could not tell.

A flag is named by the verdict that it means, by its check, or by `any`; `inconclusive` is named as that verdict.
"""

from collections.abc import Sequence

from tasks.contracts.findings import INCONCLUSIVE, Diagnosis

ANY = "any"


def raised_flags(wanted: Sequence[str], diagnosis: Diagnosis) -> list[str]:
    """The names among `wanted` whose flag is raised; for `any`, every flag."""
    flagged = [finding.code for finding in diagnosis.findings if finding.status == "flag"]
    named = [name for name in dict.fromkeys([*diagnosis.flags, *flagged, diagnosis.verdict]) if name in wanted]
    return list(dict.fromkeys([*named, *diagnosis.flags])) if ANY in wanted else named


def unanswered_flags(wanted: Sequence[str], diagnosis: Diagnosis) -> list[str]:
    """The names among `wanted` of which no check could tell whether their flag has to be raised."""
    codes = {finding.code for finding in diagnosis.findings if finding.status not in ("not_run", "inconclusive")}
    return [name for name in wanted if name not in (ANY, INCONCLUSIVE, *codes, *diagnosis.answered)]
