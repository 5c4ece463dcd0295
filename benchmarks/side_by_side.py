"""Two ways of doing one thing, timed in turns: whatever slows the machine meanwhile slows both, and the ratio stays."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

Timed = Callable[[], float]  # does it once and says how many seconds it took


@dataclass(frozen=True)
class Comparison:
    """Seconds of both sides, pair by pair; `goal` is the largest ratio (ours to the peer's) that is good enough."""

    what: str
    peer_name: str
    goal: float
    ours: tuple[float, ...]
    peer: tuple[float, ...]

    @property
    def ratios(self) -> list[float]:
        return [ours / peer for ours, peer in zip(self.ours, self.peer, strict=True)]

    @property
    def reached(self) -> bool:
        return median(self.ratios) <= self.goal

    def __str__(self) -> str:
        ratios = self.ratios
        return (
            f"{self.what}: {median(self.ours):.2f} s; {self.peer_name}: {median(self.peer):.2f} s; "
            f"ratio {median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}), {_rounds(ratios)}; "
            f"goal: at most {self.goal:g}, {_verdict(self.reached)}"
        )


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

    def __str__(self) -> str:
        values = self.values
        spread = f" ({min(values):.2f} to {max(values):.2f})" if len(values) > 1 else ""
        return (
            f"{self.what}: {median(values):.2f} {self.unit}{spread}, {_rounds(values)}; "
            f"goal: at most {self.goal:.3g} {self.unit}, {_verdict(self.reached)}"
        )


def in_turns(ours: Timed, peer: Timed, rounds: int, warm_up: bool = True) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Seconds of `ours` and of `peer`, called A B A B …; a warm-up of both is not counted."""
    if warm_up:
        ours(), peer()
    pairs = [(ours(), peer()) for _ in range(rounds)]
    return tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs)


def _rounds(values: Sequence[float]) -> str:
    return f"{len(values)} round{'' if len(values) == 1 else 's'}"


def _verdict(reached: bool) -> str:
    return "reached" if reached else "MISSED"
