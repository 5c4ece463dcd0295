"""Two ways of doing one thing, timed in turns: whatever slows the machine meanwhile slows both, and the ratio stays."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import mean, median

Timed = Callable[[], float]  # does it once and says how many seconds it took
Row = tuple[str, str, str, str, str, str]  # of the table: what, ours, peer, ratio (spread), goal, verdict
COLUMNS: Row = ("what", "ours", "peer", "ratio (spread)", "goal", "verdict")
NOTHING = "–"


@dataclass(frozen=True)
class Comparison:
    """Seconds of both sides, pair by pair; `goal` is the largest ratio (ours to the peer's) that is good enough, None: no goal."""

    what: str
    peer_name: str
    goal: float | None
    ours: tuple[float, ...]
    peer: tuple[float, ...]

    @property
    def ratios(self) -> list[float]:
        return [ours / peer for ours, peer in zip(self.ours, self.peer, strict=True)]

    @property
    def reached(self) -> bool | None:
        return None if self.goal is None else median(self.ratios) <= self.goal

    def row(self) -> Row:
        ratios = self.ratios
        goal = NOTHING if self.goal is None else f"at most {self.goal:g}"
        ratio = f"{median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}), {_rounds(ratios)}"
        return (
            self.what,
            f"{median(self.ours):.2f} s",
            f"{self.peer_name}: {median(self.peer):.2f} s",
            ratio,
            goal,
            _verdict(self.reached),
        )

    def __str__(self) -> str:
        what, ours, peer, ratio, goal, verdict = self.row()
        return f"{what}: {ours}; {peer}; ratio {ratio}; goal: {goal}, {verdict}"


@dataclass(frozen=True)
class Single:
    """A figure without a peer, in `unit`; `goal` is the largest that is good enough."""

    what: str
    unit: str
    goal: float
    values: tuple[float, ...]

    @property
    def reached(self) -> bool:
        return median(self.values) <= self.goal

    def row(self) -> Row:
        values = self.values
        spread = f" ({min(values):.2f} to {max(values):.2f})" if len(values) > 1 else ""
        ours = f"{median(values):.2f} {self.unit}{spread}, {_rounds(values)}"
        return self.what, ours, NOTHING, NOTHING, f"at most {self.goal:.3g} {self.unit}", _verdict(self.reached)

    def __str__(self) -> str:
        what, ours, _, _, goal, verdict = self.row()
        return f"{what}: {ours}; goal: {goal}, {verdict}"


@dataclass(frozen=True)
class Accuracy:
    """Accuracies in [0, 1] of both sides, a run each; `goal` is the smallest mean that is good enough, None: a reference."""

    what: str
    peer_name: str
    goal: float | None
    ours: tuple[float, ...]
    peer: tuple[float, ...]

    @property
    def reached(self) -> bool | None:
        return None if self.goal is None else mean(self.ours) >= self.goal

    def row(self) -> Row:
        goal = NOTHING if self.goal is None else f"at least {self.goal:g}"
        return (
            self.what,
            _mean(self.ours),
            f"{self.peer_name}: {_mean(self.peer)}",
            f"difference {mean(self.ours) - mean(self.peer):+.4f}",
            goal,
            _verdict(self.reached),
        )

    def __str__(self) -> str:
        what, ours, peer, difference, goal, verdict = self.row()
        return f"{what}: {ours}; {peer}; {difference}; goal: {goal}, {verdict}"


@dataclass(frozen=True)
class Same:
    """A number that both sides must reach to the last digit, in every run."""

    what: str
    peer_name: str
    ours: tuple[float, ...]
    peer: float

    @property
    def reached(self) -> bool:
        return set(self.ours) == {self.peer}

    def row(self) -> Row:
        ours = ", ".join(map(repr, sorted(set(self.ours))))
        equal = "equal" if self.reached else "NOT EQUAL"
        return self.what, ours, f"{self.peer_name}: {self.peer!r}", equal, "the same digits", _verdict(self.reached)

    def __str__(self) -> str:
        what, ours, peer, equal, goal, verdict = self.row()
        return f"{what}: {ours}; {peer}; {equal}; goal: {goal}, {verdict}"


@dataclass(frozen=True)
class NotMeasured:
    """A figure that could not be taken, and what it needs."""

    what: str
    why: str

    def row(self) -> Row:
        return self.what, NOTHING, NOTHING, NOTHING, NOTHING, f"not measured: {self.why}"

    def __str__(self) -> str:
        return f"{self.what}: not measured: {self.why}"


Figure = Comparison | Single | Accuracy | Same | NotMeasured


def markdown(figures: Sequence[Figure]) -> str:
    """The figures as one table."""
    rows: list[Row] = [COLUMNS, ("---",) * 6, *(figure.row() for figure in figures)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def in_turns(*sides: Timed, rounds: int, warm_up: bool = True) -> list[tuple[float, ...]]:
    """Seconds of each side, called A B A B …; a warm-up of each is not counted."""
    if warm_up:
        for side in sides:
            side()
    measured = [[side() for side in sides] for _ in range(rounds)]
    return [tuple(seconds) for seconds in zip(*measured, strict=True)]


def _mean(values: Sequence[float]) -> str:
    spread = f" ({min(values):.4f} to {max(values):.4f}), mean of {len(values)} seeds" if len(values) > 1 else ""
    return f"{mean(values):.4f}{spread}"


def _rounds(values: Sequence[float]) -> str:
    return f"{len(values)} round{'' if len(values) == 1 else 's'}"


def _verdict(reached: bool | None) -> str:
    return {True: "reached", False: "MISSED", None: "for reference"}[reached]
