"""Runs of the worlds, on as many processes as wanted, and what came of each."""

import contextlib
import io
import multiprocessing
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from tasks.core.components import Choice, Component
from tasks.diagnose import Diagnose
from tasks.diagnostics.measured import Limits
from tasks.diagnostics.verdict import examine
from tests.truth.coverage import Harm, Interval, harms, intervals
from tests.truth.rules import RULES
from tests.truth.worlds import WORLDS


@dataclass(frozen=True)
class Outcome:
    """One run of a world: what was said, and what is true."""

    world: str
    seed: int
    verdict: str
    flags: tuple[str, ...]
    remedies: tuple[str, ...]  # of the checks that flagged
    statuses: dict[str, str]  # by check
    intervals: dict[str, Interval]
    harms: dict[str, Harm]  # by check
    rules: dict[str, bool]
    train_seconds: float
    check_seconds: float


def limits() -> Limits:
    """Those of a run that states none."""
    default = Diagnose()
    return Limits(default.confidence, default.alpha, default.power, default.harm_nats, default.harm_accuracy)


@cache
def checks() -> tuple[Choice, ...]:
    """Every check of the folder, with its default options."""
    component = Component("tasks.diagnostics.checks")
    return tuple(component.choose({"name": name}) for name in component.names())


def verdict_of(check: str) -> str | None:
    """The flag that the check raises."""
    found = {choice.name: choice.module.VERDICT for choice in checks()}
    verdict: str | None = found[check]
    return verdict


def run(name: str, seed: int) -> Outcome:
    """Make the world and examine it with every check."""
    world = next(world for world in WORLDS if world.name == name)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of models that diverge on purpose
        begun = time.perf_counter()
        made = world.make(Path(folder), seed)
        trained = time.perf_counter()
        diagnosis = examine(checks(), made.measured, limits())
        examined = time.perf_counter()
        findings = {finding.code: finding for finding in diagnosis.findings}
        with np.errstate(all="ignore"):
            return Outcome(
                world=name,
                seed=seed,
                verdict=diagnosis.verdict,
                flags=tuple(diagnosis.flags),
                remedies=tuple(finding.remedy.action for finding in diagnosis.findings if finding.remedy is not None),
                statuses={code: finding.status for code, finding in findings.items()},
                intervals=intervals(made, findings, limits()),
                harms=harms(made, limits()),
                rules={rule: judge(made.measured) for rule, judge in RULES.items()},
                train_seconds=trained - begun,
                check_seconds=examined - trained,
            )


def campaign(names: Sequence[str], seeds: Sequence[int], jobs: int) -> Iterator[Outcome]:
    """Every world with every seed, in this order, each run in one of so many processes."""
    todo = [(name, seed) for name in names for seed in seeds]
    if jobs == 1:
        yield from (run(name, seed) for name, seed in todo)
        return
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(run, *zip(*todo, strict=True))
