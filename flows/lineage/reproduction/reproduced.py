"""What is said of a reproduction."""

from dataclasses import asdict
from typing import Any

from flows.lineage.printed import escaped
from flows.lineage.reproduction.compare import FileResult
from flows.lineage.reproduction.reproduce import WORDS, Outcome, Reproduction

SHOWN = 10  # files, and differences of one


def as_text(found: Reproduction) -> str:
    """The outcome in the first line; then what differs, in the order of the pipeline, and what may explain it."""
    lines = [_headline(found)]
    if found.failed:
        lines.append(f"{escaped(found.failed)} failed after that, so that it and later stages were not compared")
    shown = sorted(found.differing, key=lambda one: one != found.first)[:SHOWN]
    for file in shown:
        lines += _file(file, judged=not found.accepts(file))
    if len(found.differing) > len(shown):
        lines.append(f"  and {len(found.differing) - len(shown)} more; --json lists them all")
    lines += [f"the environment differs: {escaped(str(other))}" for other in found.surroundings]
    lines += [f"not from Git: {escaped(one.path)} ({one.origin}, {one.files} files)" for one in found.brought]
    lines += [escaped(note) for note in found.notes]
    return "\n".join([*lines, f"kept: {found.folder}"] if found.folder else lines)


def _headline(found: Reproduction) -> str:
    made = f"{found.files} files of {len(found.stages)} stages made again from {found.commit[:12]}"
    if found.outcome is Outcome.IDENTICAL:
        return f"bit-identical: {made} have the recorded bytes"
    if found.outcome is Outcome.WITHIN_TOLERANCE:
        same = all(one.kind == "statement" for one in found.differing)
        less = (
            "only statements differ, which name the environment and goodfit's own code"
            if same
            else f"no number differs by more than {found.tolerance:g}"
        )
        return f"within tolerance: {made}, {len(found.differing)} with other bytes; {less}"
    first = found.first
    where = (
        f"{escaped(first.stage)}: {escaped(first.path)} is the first file that differs"
        if first
        else f"{escaped(found.failed)} failed"
    )
    return f"diverged: {where} ({made}, {len(found.differing)} with other bytes)"


def _file(file: FileResult, *, judged: bool) -> list[str]:
    what = (
        "differs"
        if judged
        else {"statement": "differs, and is not judged", "page": "differs, and is not judged"}.get(
            file.kind, "within tolerance"
        )
    )
    note = f" ({escaped(file.note)})" if file.note else ""
    lines = [f"  {escaped(file.stage)}: {escaped(file.path)} {what}: recorded md5 {file.recorded}, found {file.found}{note}"]
    if file.kind == "statement":
        return lines
    listed = file.differences or []
    lines += [f"    {escaped(one.name)}: {escaped(one.what)}" for one in listed[:SHOWN]]
    return [*lines, f"    and {len(listed) - SHOWN} more"] if len(listed) > SHOWN else lines


def as_json(found: Reproduction) -> dict[str, Any]:
    """All of it, the outcome first."""
    document = asdict(found)
    for file, told in zip(found.differing, document["differing"], strict=True):
        told["accepted"] = found.accepts(file)
    first = found.first
    return {
        "outcome": WORDS[found.outcome],
        "first_divergence": {"stage": first.stage, "path": first.path} if first else None,
        **document,
    }
