"""What differs between the environment that a statement records and this one: it explains why results or statements differ."""

import platform
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import unquote

from flows.lineage.digest import digest_file
from flows.lineage.lock import Locked
from flows.lineage.reproduction.compare import Recorded
from flows.lineage.statement import statement_path
from flows.lineage.variables import variables
from tasks.contracts.statement import Statement

NOT_SET = "not set"


@dataclass(frozen=True)
class Other:
    """A version, a setting, or a file of goodfit's own code that is not the recorded one."""

    name: str
    recorded: str
    here: str

    def __str__(self) -> str:
        return f"{self.name}: recorded {self.recorded}, here {self.here}"


def other_surroundings(
    locked: Mapping[str, Locked], stages: list[str], recorded: Recorded, clone: Path
) -> tuple[list[Other], list[str]]:
    """Compare Python, platform, processor, packages, variables and goodfit's own code with the statements of `stages`.

    Returns:
        What differs, and sentences on what cannot be compared.
    """
    found: dict[str, Other] = {}
    notes = []
    for stage in stages:
        if statement_path(stage).as_posix() not in locked[stage].outs:
            continue  # of a pipeline that records none
        statement = _statement(locked[stage], stage, recorded)
        if statement is None:
            notes.append(f"{stage}: its statement is not in DVC's cache: its environment cannot be compared")
            continue
        for name, then, now in (*_versions(statement), *_variables(statement), *_builder(statement, clone)):
            if now != then:
                found.setdefault(name, Other(name, then, now))
    return list(found.values()), notes


def _statement(locked: Locked, stage: str, recorded: Recorded) -> Statement | None:
    path = statement_path(stage).as_posix()
    file = recorded.file(path, locked.outs[path])
    try:
        return Statement.model_validate_json(file.read_text(encoding="utf-8")) if file else None
    except ValueError:
        return None


def _versions(statement: Statement) -> Iterator[tuple[str, str, str]]:
    """Of Python, the platform, the instruction set and the packages: the name, what is recorded, and what is here."""
    packages = {name: unquote(uri.rpartition("@")[2].partition("?")[0]) for name, uri in statement.packages.items()}
    settings = {name: value for name, value in statement.environment.items() if isinstance(value, str) and name in SETTINGS}
    for name, then in (settings | packages).items():
        yield name, then, _here(name)


def _variables(statement: Statement) -> Iterator[tuple[str, str, str]]:
    """Of the environment variables that can change a bit; statements of version 1 list neither these nor the builder's code."""
    then, now = statement.variables, variables() if statement.builder else {}
    for name in sorted({*then, *now}):
        yield name, str(then.get(name, NOT_SET)), now.get(name, NOT_SET)


def _builder(statement: Statement, clone: Path) -> Iterator[tuple[str, str, str]]:
    """Of the files of goodfit itself that wrote the statement, which are those of the clone when it is made again."""
    for name, digest in statement.builder.items():
        file = clone / name
        yield name, f"md5 {digest.md5}", f"md5 {digest_file(file).md5}" if file.is_file() else "not there"


def _instructions() -> str:
    import torch

    return str(torch.backends.cpu.get_cpu_capability())


SETTINGS: dict[str, Callable[[], str]] = {
    "python": platform.python_version,
    "platform": lambda: f"{platform.system()}-{platform.machine()}",
    "cpu_capability": _instructions,
}


def _here(name: str) -> str:
    """The same of this environment."""
    if name in SETTINGS:
        return SETTINGS[name]()
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
