"""What a verification ends with: its exit code, what does not hold, and what a reader should know."""

from dataclasses import dataclass, field
from enum import IntEnum

from flows.lineage.printed import escaped


class ExitCode(IntEnum):
    """What `goodfit lineage verify` ends with; the gravest of all that was found."""

    CONSISTENT = 0  # `proven` where something outside of these files holds dvc.lock fast, see anchors.py
    MISMATCH = 1
    MISSING = 2
    NO_STATEMENT = 3
    NOT_CHECKED = 4  # no such file, or a dvc.yaml, dvc.lock or params.yaml that cannot be read: nothing can be said


@dataclass(frozen=True)
class Mismatch:
    """One thing that does not hold."""

    stage: str
    path: str
    kind: ExitCode
    expected: str
    found: str
    source: str  # who expects it: "statement", "dvc.lock", "dvc.yaml", or what was computed again

    def __str__(self) -> str:
        return escaped(f"{self.stage}: {self.path}: {self.source} has {self.expected}, found {self.found}")


@dataclass(frozen=True)
class Note:
    """Something that contradicts no record, and that a reader should know."""

    path: str
    text: str

    def __str__(self) -> str:
        return escaped(f"{self.path}: {self.text}")


@dataclass(frozen=True)
class Anchor:
    """What holds dvc.lock fast from outside of the files that were verified."""

    text: str  # "commit 0a86d29 of 2026-11-27, which is not signed"
    commit: str = ""  # whole, where it is one


@dataclass(frozen=True)
class Verification:
    """The outcome: how many files and bytes were hashed, all that does not hold, and what it rests on."""

    stages: list[str]
    files: int
    bytes: int
    mismatches: list[Mismatch]
    notes: list[Note] = field(default_factory=list)
    anchors: list[Anchor] = field(default_factory=list)
    unanchored: str = ""  # why there is no anchor, where there is none
    results: str = ""  # the verdict and the metrics, where everything agrees

    @property
    def exit_code(self) -> ExitCode:
        kinds = {mismatch.kind for mismatch in self.mismatches}
        return next(
            (kind for kind in (ExitCode.MISMATCH, ExitCode.MISSING, ExitCode.NO_STATEMENT) if kind in kinds),
            ExitCode.CONSISTENT,
        )

    @property
    def outcome(self) -> str:
        """In one word, or two: `proven`, `consistent`, or what is wrong."""
        if self.exit_code is ExitCode.CONSISTENT and self.anchors:
            return "proven"
        return self.exit_code.name.lower()
