"""The diagnosis of anybody's numbers: a history, and the answers per example, without a pipeline and without a model."""

import re
from collections.abc import Sequence
from typing import Any

from pydantic_core import PydanticCustomError

from tasks.contracts.findings import INCONCLUSIVE, Diagnosis, Finding
from tasks.core.components import Choice, Component, named
from tasks.core.errors import ParamsError
from tasks.diagnostics.curves import curves, epochs_apart, rise
from tasks.diagnostics.limits import DEFAULT, Limits
from tasks.diagnostics.numbers import Numbers, Table, gather
from tasks.diagnostics.partial import EVERY, measured
from tasks.diagnostics.verdict import examine, missing_checks, notes
from tasks.statistics.halves import stratified_halves
from tasks.statistics.random import HALVES, generator

PACKAGE = "tasks.diagnostics.checks"


def diagnose_frames(
    history: Table | None = None,
    predictions: Table | None = None,
    test: Table | None = None,
    train: Table | None = None,
    *,
    saved_epoch: float | None = None,
    metadata: Sequence[str] = (),
    checks: Sequence[str | dict[str, Any]] | None = None,
    limits: Limits = DEFAULT,
    seed: int = 0,
) -> Diagnosis:
    """Run the checks on recorded numbers. A check whose numbers are not given is `not_run`, and says which those are.

    Each table is a data frame, or a file or folder with one; the format is recognised by its content. Probabilities are of the classes
    in the order of their columns; losses are log-losses in nats.

    Args:
        history: one row for each epoch, or the log of Lightning, Hugging Face or DVCLive (see `tasks.diagnostics.history`).
        predictions: the answers on validation, of every epoch: epoch, row, label, and probability_0, probability_1, … or logit_0,
            logit_1, …; or loss and correct, with which less can be told. Without epoch they are those of the saved epoch.
        test: the answers of the saved epoch on test: row, label, and probabilities or logits.
        train: the same on train, with epoch where every epoch was recorded; with row and label alone, the majority class is known.
        saved_epoch: the epoch whose weights are used, as the tables count it; the last one where it is not stated.
        metadata: columns of test, such as camera or site, by whose values the check slices compares the rows.
        checks: names of checks, or mappings with their options as in `diagnose.checks`; all that there are where it is not stated.
        limits: error rates, and the smallest harms that matter.
        seed: of the halves of the validation set, and of the checks that draw random numbers.

    Raises:
        DataError: a table is not recognised, is damaged, or does not belong to the others.
        ParamsError: there is no such check, or it does not have such an option.
    """
    numbers = gather(history, predictions, test, train, saved_epoch=saved_epoch, metadata=metadata)
    return diagnose_numbers(numbers, chosen(checks), limits, seed)


def chosen(checks: Sequence[str | dict[str, Any]] | None) -> list[Choice]:
    """The named checks, or all of them in the order of their precedence, and those that only describe last."""
    component = Component(PACKAGE)
    try:
        found = [component.choose(named(check)) for check in (component.names() if checks is None else checks)]
    except PydanticCustomError as error:
        lines = (error.context or {}).get("lines", [])
        raise ParamsError("\n".join(f"checks{line}" for line in lines)) from None
    if checks is None:
        found.sort(key=lambda check: (check.module.PRECEDENCE is None, check.module.PRECEDENCE or 0))
    return found


def diagnose_numbers(numbers: Numbers, checks: Sequence[Choice], limits: Limits = DEFAULT, seed: int = 0) -> Diagnosis:
    """Run the checks, and describe what only can be described."""
    diagnosis = examine(checks, measured(numbers, seed), limits)
    findings = [_of_examples(finding) for finding in diagnosis.findings]
    described, alone = [], numbers.val is None and numbers.test is None and numbers.train is None
    if numbers.history is not None:
        described.append(curves(numbers.history, numbers.saved, alone=alone))
    if numbers.val is not None and numbers.val.logits is None:
        half = stratified_halves(numbers.val.labels, generator(seed, HALVES))
        described.append(epochs_apart(numbers.val, half, numbers.position, limits))
    headline = _example_words(diagnosis.headline)
    if diagnosis.verdict == INCONCLUSIVE:
        headline = "\n".join([_undecided(numbers, described, findings), *notes(findings)])
    return diagnosis.model_copy(update={"headline": headline, "findings": [*described, *findings]})


def _undecided(numbers: Numbers, described: list[Finding], findings: list[Finding]) -> str:
    """What is known where no flag was raised: not everything was looked for, so that the fit cannot be called good."""
    statuses = {"pass": "No flag was raised. Passed", "inconclusive": "Too little data for an answer", "not_run": "Not run"}
    codes = {status: [finding.code for finding in findings if finding.status == status] for status in statuses}
    if codes["pass"] or codes["inconclusive"]:
        told = [f"{text}: {', '.join(codes[status])}." for status, text in statuses.items() if codes[status]]
        return " ".join([*told, *missing_checks(findings)])
    if numbers.val is None and numbers.history is not None:
        return (
            "A history alone cannot tell what is chance, so that nothing is claimed. "
            f"{rise(numbers.history, numbers.saved)} For checks with intervals, give the {EVERY['val']}."
        )
    reasons = [finding.summary for finding in (*described, *findings) if finding.status in ("info", "not_run")]
    return " ".join(["No check could be run.", *dict.fromkeys(reasons)])


def _of_examples(finding: Finding) -> Finding:
    """The checks speak of images; anybody's examples may be something else."""
    told = {
        name: _example_words(getattr(finding, name))
        for name in ("title", "definition", "estimand", "method", "summary", "note")
    }
    return finding.model_copy(update=told)


def _example_words(text: str) -> str:
    return re.sub(r"\bimage(s?)\b", r"example\1", text)
