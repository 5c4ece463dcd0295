"""What lets a stage run: one difference between what is recorded of it and what is, or was, there."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flows.lineage.lock import LOCK_FILE, Locked
from flows.lineage.objects import Objects
from flows.lineage.printed import escaped
from flows.lineage.statement import flat, shown, statement_path

SHORT = 8  # hex digits of a digest in a sentence
SHOWN = 3  # files of a folder in a sentence


@dataclass(frozen=True)
class Cause:
    """One difference between what is recorded of a stage and what is, or will be, there."""

    kind: str  # first run, command, parameter, input, output, package, environment, always
    name: str  # a path, a key, a package
    before: Any = None  # a value; of a file the MD5; None where it was not there
    after: Any = None  # the same; None where it is not there
    state: str = ""  # of a file, in DVC's words: modified, deleted, new, not in cache
    made_by: str | None = None  # the stage that writes this input
    files: tuple[str, ...] = ()  # of a folder: those in it that differ, where both lists are known

    def __str__(self) -> str:
        match self.kind:
            case "first run":
                return f"first run: {LOCK_FILE} has no entry for it"
            case "always":
                return "dvc.yaml lets it run each time: always_changed, or no deps"
            case "command":
                return f"command: {escaped(str(self.before))} → {escaped(str(self.after))}"
            case "parameter":
                return f"{escaped(self.name)} {_stated(self.before)} → {_stated(self.after)}"
            case "input" | "output":
                output = " (output)" if self.kind == "output" else ""
                both = f", md5 {self.before[:SHORT]} → {self.after[:SHORT]}" if self.before and self.after else ""
                writer = f", written by {escaped(self.made_by)}" if self.made_by else ""
                return f"{escaped(self.name)}: {self.state}{output}{both}{writer}{_some(self.files)}"
        return f"{self.kind} {escaped(self.name)}: {_stated(self.before)} → {_stated(self.after)}"


class NotStated:
    """In the place of a parameter that params.yaml does not have; None is a value."""

    def __repr__(self) -> str:
        return "not stated"


NOT_STATED = NotStated()


def _some(files: Sequence[str]) -> str:
    more = f" and {len(files) - SHOWN} more" if len(files) > SHOWN else ""
    return f" ({', '.join(map(escaped, files[:SHOWN]))}{more})" if files else ""


def differing(before: Mapping[str, str] | None, after: Mapping[str, str] | None) -> tuple[str, ...]:
    """The files that two lists of a folder, names with digests, have otherwise; none where a list is not known."""
    if before is None or after is None:
        return ()
    return tuple(name for name in sorted(before.keys() | after.keys()) if before.get(name) != after.get(name))


def listed(objects: Objects, entry: Locked, stage: str, path: str, md5: str) -> dict[str, str] | None:
    """The files of a folder that a stage read or wrote, with their MD5: as DVC's cache has it, or else the stage's statement."""
    members = objects.members(md5)
    if members is not None:
        return {f"{path}/{name}": digest for name, digest in members.items()}
    statement = objects.statement(entry.outs.get(statement_path(stage).as_posix()))
    inside = {
        name: digest.md5 for name, digest in (statement.files if statement else {}).items() if name.startswith(f"{path}/")
    }
    return inside or None


def _stated(value: Any) -> str:
    return "not stated" if value is NOT_STATED else escaped(shown(value))


def leaves(prefix: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Cause]:
    """Each parameter that differs, under its whole key, with both values."""
    old, new = flat(dict(before)), flat(dict(after))
    for leaf in dict.fromkeys([*new, *old]):
        was, becomes = old.get(leaf, NOT_STATED), new.get(leaf, NOT_STATED)
        if was != becomes:
            yield Cause("parameter", f"{prefix}{leaf}", was, becomes)
