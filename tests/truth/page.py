"""The page docs/diagnosis-truth.md, from the outcomes alone: the same outcomes give the same bytes."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from tasks.statistics.intervals import wilson
from tests.truth.campaign import Outcome, checks, verdict_of
from tests.truth.coverage import INTERVALS
from tests.truth.data import FRESH_ROWS
from tests.truth.rules import RULES
from tests.truth.worlds import WORLDS, World

SENSITIVITY, SPECIFICITY = 0.95, 0.98
CONFIDENCE = 0.95
# The truth has an error of its own: with 1,000 test and 20,000 new rows, an interval of 95 % that is right covers it in so many cases.
COVERED = 0.944
OVERFITTED = frozenset({"overtrained", "overconfident", "memorised"})
NOT_LOOKED_FOR = (
    "A shortcut that only this data has (a mark in the corner of one class's pictures) is **not looked for**: where all splits have "
    "it, nothing in them is wrong. The stage explain shows what a prediction rests on; what it should rest on, a person has to know."
)


@dataclass(frozen=True)
class Rate:
    """So many of so many, with Wilson's interval."""

    hits: int
    n: int

    @property
    def value(self) -> float:
        return self.hits / self.n

    def __str__(self) -> str:
        if not self.n:
            return "–"
        low, high = wilson(self.hits, self.n, CONFIDENCE)
        return f"{self.hits} of {self.n} ({low:.3f} to {high:.3f})"


@dataclass(frozen=True)
class Flag:
    """How often a flag was raised where it had to be, and was not where it must not be."""

    name: str
    sensitivity: Rate
    specificity: Rate

    @property
    def misses(self) -> list[str]:
        """The goals that are not met, in words."""
        found = []
        if self.sensitivity.n and self.sensitivity.value < SENSITIVITY:
            found.append(f"sensitivity {self.sensitivity.value:.3f} is below {SENSITIVITY}")
        if self.specificity.n and self.specificity.value < SPECIFICITY:
            found.append(f"specificity {self.specificity.value:.3f} is below {SPECIFICITY}")
        return found


def known_flags() -> list[str]:
    """Every flag that a check of the folder can raise, in the order in which they become the verdict."""
    modules = [choice.module for choice in checks() if choice.module.VERDICT is not None]
    return list(dict.fromkeys(module.VERDICT for module in sorted(modules, key=lambda module: module.PRECEDENCE)))


def rates(outcomes: Sequence[Outcome]) -> list[Flag]:
    """Each flag, over all runs of the worlds that must have it and of those that must not."""
    worlds = {world.name: world for world in WORLDS}

    def rate(flag: str, *, wanted: bool) -> Rate:
        runs = [
            outcome
            for outcome in outcomes
            if (
                flag in worlds[outcome.world].must
                if wanted
                else flag not in worlds[outcome.world].must | worlds[outcome.world].may
            )
        ]
        return Rate(sum((flag in outcome.flags) == wanted for outcome in runs), len(runs))

    return [Flag(name, rate(name, wanted=True), rate(name, wanted=False)) for name in known_flags()]


def without_check(worlds: Iterable[World]) -> list[str]:
    """Worlds whose flag no check of the folder can raise."""
    known = set(known_flags())
    return [
        f"{world.name}: {', '.join(sorted(_spelled(flag) for flag in world.must - known))}"
        for world in worlds
        if not world.must <= known
    ]


def page(outcomes: Sequence[Outcome], seeds: int) -> str:
    """The whole page, as Markdown."""
    ran = {outcome.world for outcome in outcomes}
    worlds = [world for world in WORLDS if world.name in ran]
    return "\n".join(
        [
            "# How often the diagnosis is right",
            "",
            f"`make truth` makes {len(worlds)} worlds whose answer is known, with {seeds} seeds each, trains a model in each of them "
            f"(where the last table says “numbers”, the answers of a model are made instead), and examines it with all {len(checks())} "
            "checks and their default options. The worlds are in `tests/truth/worlds.py`. Intervals in brackets are Wilson's at 95 %. "
            f"What is true of a model is measured on {FRESH_ROWS:,} new rows, for every epoch that is compared. The page is written by "
            "the command, and the same seeds give the same page.",
            "",
            *_flags(outcomes, worlds),
            *_verdicts(outcomes, worlds),
            *_false_alarms(outcomes, worlds),
            *_harms(outcomes),
            *_coverage(outcomes),
            *_rules(outcomes, worlds),
            *_table_of_worlds(worlds),
        ]
    )


def _spelled(word: str) -> str:
    return word.replace("_", " ")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)] + [""]


def _flags(outcomes: Sequence[Outcome], worlds: Sequence[World]) -> list[str]:
    flags = rates(outcomes)
    missed = [f"- **{_spelled(flag.name)}**: {'; '.join(flag.misses)}." for flag in flags if flag.misses]
    missed += [*_passed(outcomes), *_uncovered(outcomes)]
    unchecked = [f"- {line}" for line in without_check(worlds)]
    return [
        "## Flags",
        "",
        f"Sensitivity: raised in the worlds that must have the flag. Specificity: not raised in those that must not. The goals are "
        f"{SENSITIVITY} and {SPECIFICITY}. Worlds in which a flag may be raised count for neither.",
        "",
        *_table(
            ["flag", "sensitivity", "specificity"],
            ([_spelled(flag.name), str(flag.sensitivity), str(flag.specificity)] for flag in flags),
        ),
        *(["Goals that are missed:", "", *missed, ""] if missed else ["No goal is missed.", ""]),
        *(["Worlds whose flag has no check yet:", "", *unchecked, ""] if unchecked else []),
        NOT_LOOKED_FOR,
        "",
    ]


def _passed(outcomes: Sequence[Outcome]) -> list[str]:
    """Checks that passed although the harm matters."""
    lines = []
    for check in HARMS:
        found = [run for run in outcomes if check in run.statuses and check in run.harms and run.harms[check].real]
        passed = Counter(run.world for run in found if run.statuses[check] == "pass")
        for world, times in passed.most_common(1):
            lines.append(
                f"- **{check}**: passed in {passed.total()} of {len(found)} runs in which the measured harm matters; most often in the "
                f"world “{world}”, {times} times."
            )
    return lines


def _uncovered(outcomes: Sequence[Outcome]) -> list[str]:
    """Intervals that hold the truth less often than an interval that is right, by more than chance explains."""
    lines = []
    for name in INTERVALS:
        by_world: dict[str, list[bool]] = {}
        for outcome in outcomes:
            if name in outcome.intervals:
                by_world.setdefault(outcome.world, []).append(outcome.intervals[name].holds)
        found = [holds for own in by_world.values() for holds in own]
        if found and wilson(sum(found), len(found), CONFIDENCE)[1] < COVERED:
            worst = min(by_world, key=lambda world: sum(by_world[world]) / len(by_world[world]))
            lines.append(
                f"- The interval “{name}” holds the truth in {sum(found) / len(found):.3f} of the runs; expected: {COVERED}. "
                f"Least often in the world “{worst}”, {sum(by_world[worst])} of {len(by_world[worst])}."
            )
    return lines


def is_right(outcome: Outcome, world: World) -> bool:
    """Whether the verdict is right; where nothing was planted, so is one of a flag whose harm was measured to be real."""
    if outcome.verdict in world.verdicts:
        return True
    real = {verdict_of(check) for check, harm in outcome.harms.items() if harm.real}
    return "good_fit" in world.verdicts and outcome.verdict in world.may & real


def _verdicts(outcomes: Sequence[Outcome], worlds: Sequence[World]) -> list[str]:
    given = {world.name: Counter(outcome.verdict for outcome in outcomes if outcome.world == world.name) for world in worlds}
    right = {
        world.name: Counter(outcome.verdict for outcome in outcomes if outcome.world == world.name and is_right(outcome, world))
        for world in worlds
    }
    order = [*known_flags(), "inconclusive", "good_fit"]
    used = [verdict for verdict in order if any(counts[verdict] for counts in given.values())]

    def cell(world: World, verdict: str) -> str:
        good = right[world.name][verdict]
        wrong = given[world.name][verdict] - good
        return " ".join([*([f"**{good}**"] if good else []), *([str(wrong)] if wrong else [])])

    rate = Rate(sum(map(Counter.total, right.values())), len(outcomes))
    return [
        "## Verdicts",
        "",
        f"How many runs of each world got which verdict; right ones are bold. {rate} "
        "are right. Where nothing was planted, a verdict is right too if the harm that it names was measured on the new rows.",
        "",
        *_table(
            ["world", *map(_spelled, used)],
            ([world.name, *(cell(world, verdict) for verdict in used)] for world in worlds),
        ),
    ]


def _false_alarms(outcomes: Sequence[Outcome], worlds: Sequence[World]) -> list[str]:
    """Where flags were missed or raised wrongly: what to work on."""
    lines = []
    for world in worlds:
        runs = [outcome for outcome in outcomes if outcome.world == world.name]
        missed = Counter(flag for outcome in runs for flag in world.must - set(outcome.flags))
        false = Counter(flag for outcome in runs for flag in set(outcome.flags) - world.must - world.may)
        said = [f"{_spelled(flag)} missed in {count} of {len(runs)}" for flag, count in sorted(missed.items())]
        said += [f"{_spelled(flag)} raised wrongly in {count} of {len(runs)}" for flag, count in sorted(false.items())]
        unhelped = sum(not any(world.remedy in action.lower() for action in outcome.remedies) for outcome in runs)
        if world.remedy and unhelped:
            said.append(f"no remedy says “{world.remedy}” in {unhelped} of {len(runs)}")
        if said:
            lines.append(f"- {world.name}: {'; '.join(said)}")
    return ["## Where flags were missed or raised wrongly", "", *(lines or ["Nowhere."]), ""]


HARMS = {
    "overtrained": "scaled log-loss (0.05 nats) or errors (2 points) above those of the best epoch",
    "calibration": "log-loss that a temperature removes, 0.05 nats",
    "label_noise": "share of wrong labels, 2 %",
    "membership": "area under the curve of the attack, 0.6 (0.5 is guessing)",
    "slices": "accuracy behind the rest, 10 points",
}


def _harms(outcomes: Sequence[Outcome]) -> list[str]:
    rows = []
    for check, what in HARMS.items():
        seen = [(run.harms[check], run.statuses[check]) for run in outcomes if check in run.harms and check in run.statuses]
        real = [status for harm, status in seen if harm.real]
        smaller = [status for harm, status in seen if not harm.real and not harm.small]
        small = [status for harm, status in seen if harm.small]
        if seen:
            rows.append([check, what, *map(_statuses, (real, smaller, small))])
    return [
        "## Flags against the measured harm",
        "",
        "Of the runs in which the harm truly is as large as what matters, in which it is half as large or more, and in which it is "
        "smaller: flagged / inconclusive / passed. In the first column a pass is wrong, in the last one a flag.",
        "",
        *_table(["check", "harm, and what matters", "matters", "half of it or more", "less"], rows),
    ]


def _statuses(found: Sequence[str]) -> str:
    counts = Counter(found)
    return f"{counts['flag']} / {counts['inconclusive'] + counts['not_run']} / {counts['pass']}"


def _coverage(outcomes: Sequence[Outcome]) -> list[str]:
    rows = []
    for name, meaning in INTERVALS.items():
        found = [outcome.intervals[name] for outcome in outcomes if name in outcome.intervals]
        if found:
            above = sum(interval.truth > interval.high for interval in found)
            width = float(np.median([interval.high - interval.low for interval in found]))
            rows.append(
                [name, meaning, str(Rate(sum(interval.holds for interval in found), len(found))), str(above), f"{width:.3f}"]
            )
    return [
        "## Coverage of the intervals",
        "",
        "How many of the 95 % intervals hold the truth, over all worlds whose test rows are drawn from one population. The "
        "truth has an error of its own: with 1,000 test and 20,000 new rows, an interval that is right covers it in "
        f"{100 * COVERED:.1f} %. "
        "The intervals of the other checks have tests of their own in `tests/tasks/statistics` and `tests/tasks/diagnostics`. In the "
        "world “the luckiest of 200 epochs”, 100 validation rows chose the saved epoch, so that whatever is measured on them alone is "
        "too good: that is what the flag selection overfit says.",
        "",
        *_table(["interval", "of what", "holds", "truth above it", "median width"], rows),
    ]


def _rules(outcomes: Sequence[Outcome], worlds: Sequence[World]) -> list[str]:
    """Every rule of others answers one question only: is it overfitted?"""
    by_world = {world.name: [outcome for outcome in outcomes if outcome.world == world.name] for world in worlds}
    judges = {"goodfit": _flagged_as_overfitted} | {name: partial(_ruled, name) for name in RULES}
    yes = [world for world in worlds if world.must & OVERFITTED]
    no = [world for world in worlds if not (world.must | world.may) & OVERFITTED]

    def over(part: Sequence[World], judge: Callable[[Outcome], bool], *, wanted: bool) -> str:
        answers = [judge(outcome) == wanted for world in part for outcome in by_world[world.name]]
        return str(Rate(sum(answers), len(answers)))

    def truth(world: World) -> str:
        return "yes" if world in yes else "no" if world in no else "either"

    return [
        "## The rules of others on the same runs",
        "",
        "The rules ask one thing: is it overfitted? For goodfit that is a flag overtrained, overconfident or memorised. Worlds in "
        "which either answer may be right count for neither rate. What each rule is stands in `tests/truth/rules.py`.",
        "",
        *_table(
            ["", *judges],
            [
                ["overfitted, and called so", *(over(yes, judge, wanted=True) for judge in judges.values())],
                ["not overfitted, and not called so", *(over(no, judge, wanted=False) for judge in judges.values())],
            ],
        ),
        "Runs of each world that are called overfitted:",
        "",
        *_table(
            ["world", "overfitted", *judges],
            (
                [world.name, truth(world), *(str(sum(map(judge, by_world[world.name]))) for judge in judges.values())]
                for world in worlds
            ),
        ),
    ]


def _flagged_as_overfitted(outcome: Outcome) -> bool:
    return bool(OVERFITTED & set(outcome.flags))


def _ruled(rule: str, outcome: Outcome) -> bool:
    return outcome.rules[rule]


def _table_of_worlds(worlds: Sequence[World]) -> list[str]:
    def words(flags: Iterable[str]) -> str:
        return ", ".join(_spelled(flag) for flag in sorted(flags)) or "–"

    return [
        "## The worlds",
        "",
        *_table(
            ["world", "how it is made", "flags that must be raised", "flags that may be", "right verdicts"],
            ([world.name, world.how, words(world.must), words(world.may), words(world.verdicts)] for world in worlds),
        ),
    ]
