"""The environment: packages, Python and platform as the statements name them, requirements.lock, and the bytes of installed files."""

import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from flows.lineage.digest import digest_file
from flows.lineage.packages import changed_files, locked_digest, record_digest
from flows.lineage.statement import environment
from flows.lineage.verification.outcome import ExitCode, Mismatch
from flows.lineage.verification.subject import Subject, as_json
from tasks.contracts.statement import REQUIREMENTS, Statement

# `name==version`, then perhaps a marker after a semicolon
PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?==([^\s;\\]+)\s*(;?)", re.MULTILINE)
STATEMENT, WHEEL = "statement", "the wheel"


def check_environment(subject: Subject) -> Iterator[Mismatch]:
    """What this environment has otherwise than the one that the stages ran in; each difference once."""
    told: set[tuple[str, str]] = set()
    for name in subject.chain:
        if name not in subject.statements:
            continue
        for mismatch in _stated(subject, name, subject.statements[name]):
            if (mismatch.path, mismatch.expected) not in told:
                told.add((mismatch.path, mismatch.expected))
                yield mismatch
    yield from _pinned(subject.root)
    yield from _installed(subject)


def _stated(subject: Subject, name: str, statement: Statement) -> Iterator[Mismatch]:
    for package, uri in statement.packages.items():
        expected, found = uri.rpartition("@")[2], installed(package)
        if found is None:
            yield Mismatch(name, package, ExitCode.MISSING, f"version {expected}", "no such package installed", STATEMENT)
        elif found != expected:
            yield Mismatch(name, package, ExitCode.MISMATCH, f"version {expected}", f"version {found}", STATEMENT)
        elif package in statement.package_digests and record_digest(package) != statement.package_digests[package]:
            record = f"RECORD of sha256 {statement.package_digests[package]}"
            yield Mismatch(name, package, ExitCode.MISMATCH, record, f"sha256 {record_digest(package)}", STATEMENT)
    now = environment(statement.resolved, statement.variables, computes=_computed(statement))
    for key, value in statement.environment.items():
        if key in now and now[key] != value:
            yield Mismatch(name, key, ExitCode.MISMATCH, as_json(value), as_json(now[key]), STATEMENT)
    yield from _locked(subject.root, name, statement)


def _computed(statement: Statement) -> bool:
    if "cpu_capability" not in statement.environment:
        return False
    import torch  # noqa: F401 - what it says of the CPU is compared

    return True


def _locked(root: Path, name: str, statement: Statement) -> Iterator[Mismatch]:
    """requirements.lock locks what it did."""
    stated = statement.requirements
    if stated is None:
        return
    found = locked_digest(root)
    if found is None:
        yield Mismatch(name, REQUIREMENTS, ExitCode.MISSING, f"sha256 {stated.sha256}", "no file", STATEMENT)
    elif stated not in (found, digest_file(root / REQUIREMENTS)):  # version 1 of the statement has the digest of the text
        yield Mismatch(name, REQUIREMENTS, ExitCode.MISMATCH, f"sha256 {stated.sha256}", f"sha256 {found.sha256}", STATEMENT)


def _pinned(root: Path) -> Iterator[Mismatch]:
    """What requirements.lock pins is what is installed; what it pins for other platforms alone need not be."""
    if not (root / REQUIREMENTS).is_file():
        return
    pins: dict[str, list[str]] = {}
    conditional: set[str] = set()
    for name, pinned, marker in PIN.findall((root / REQUIREMENTS).read_text(encoding="utf-8")):
        pins.setdefault(name, []).append(pinned)
        if marker:
            conditional.add(name)
    for name, allowed in pins.items():
        found, expected = installed(name), f"version {' or '.join(allowed)}"
        if found is None and name not in conditional:
            yield Mismatch("environment", name, ExitCode.MISSING, expected, "no such package installed", REQUIREMENTS)
        elif found is not None and not {found, found.partition("+")[0]} & {*allowed}:  # +cpu is another build of the version
            yield Mismatch("environment", name, ExitCode.MISMATCH, expected, f"version {found}", REQUIREMENTS)


def _installed(subject: Subject) -> Iterator[Mismatch]:
    """The installed files of the packages that the stages loaded are those of their wheels."""
    names = sorted({package for statement in subject.statements.values() for package in statement.packages})
    for package in names:
        if installed(package) is None:
            continue
        for path, expected, found in changed_files(package):
            kind = ExitCode.MISSING if found is None else ExitCode.MISMATCH
            actual = "no file" if found is None else f"sha256 {found}"
            yield Mismatch("environment", f"{package}: {path}", kind, f"sha256 {expected}", actual, WHEEL)


def installed(package: str) -> str | None:
    """The version of an installed package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
