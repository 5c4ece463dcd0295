"""What dvc.yaml says that changes what a record proves, and files beside the outputs that no stage writes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flows.git import git_or_none
from flows.lineage.lock import as_locked
from flows.lineage.statement import statement_path
from flows.lineage.verification.outcome import ExitCode, Mismatch, Note
from flows.lineage.verification.subject import Subject, as_json
from flows.repository import PIPELINE_FILE
from tasks.contracts.statement import FOLDER as STATEMENTS

READ = {"cmd", "deps", "params", "outs", "metrics", "plots", "desc", "meta"}
TOLD = {
    "frozen": "DVC does not run the stage again, whatever changes; what it was made from is compared all the same",
    "always_changed": "DVC runs the stage every time; its result is compared with that of the last time",
}
TOP = {"stages", "plots", "artifacts", "metrics", "params", "datasets"}
LEFT = {".gitignore", ".dvcignore", "journal.jsonl"}


def check_pipeline(subject: Subject) -> Iterator[Mismatch]:
    """Keys of dvc.yaml that goodfit does not read, statements that DVC does not keep, metrics that no stage writes."""
    for key in sorted(subject.pipeline.keys() - TOP):
        yield _refused(PIPELINE_FILE, key, subject.pipeline[key])
    for name in subject.chain:
        stage: dict[str, Any] = subject.pipeline["stages"][name]
        for key in sorted(stage.keys() - READ):
            if key not in TOLD:
                yield _refused(name, f"{PIPELINE_FILE}: {key}", stage[key])
            elif stage[key]:
                subject.notes.append(Note(f"{PIPELINE_FILE}: {name}: {key}", TOLD[key]))
        own, declared = statement_path(name).as_posix(), subject.declarations[name]
        if own in declared.uncached:
            yield Mismatch(
                name, own, ExitCode.MISMATCH, "cache: false", "a statement, which DVC must keep with its outputs", PIPELINE_FILE
            )
    if subject.whole:
        yield from _unwritten(subject)
    subject.notes += _unkept(subject)
    subject.notes += _left_out(subject)


def _refused(stage: str, key: str, value: Any) -> Mismatch:
    return Mismatch(stage, key, ExitCode.MISMATCH, as_json(value), "a key that goodfit does not read: remove it", PIPELINE_FILE)


def _unwritten(subject: Subject) -> Iterator[Mismatch]:
    """Files where stages write: a metric that none of them writes is a number without a source, another file is told."""
    written = {as_locked(subject.root, out) for stage in subject.declarations.values() for out in stage.outs}
    metrics = {str(Path(as_locked(subject.root, path)).parent) for path in _metrics(subject)}
    others: list[str] = []
    for folder in sorted({str(Path(out).parent) for out in written} | metrics):
        if Path(folder).is_absolute() or ".." in Path(folder).parts:
            continue  # other files outside of the repository are not ours to judge
        for path in sorted((subject.root / folder).glob("*")):
            name = path.relative_to(subject.root).as_posix()
            hidden = path.name in LEFT or path.name.endswith(".partial")
            if hidden or any(name == out or out.startswith(f"{name}/") for out in written):
                continue
            if folder in metrics:
                yield Mismatch(
                    name, name, ExitCode.MISMATCH, "no stage that writes it", "a metric that nothing proves", PIPELINE_FILE
                )
            elif path.is_file():
                others.append(name)
    listed = subject.pipeline.get("metrics")
    for name in listed if isinstance(listed, list) else []:
        if isinstance(name, str) and name not in written and str(Path(name).parent) not in metrics:
            yield Mismatch(
                name, name, ExitCode.MISMATCH, "no stage that writes it", "a metric that nothing proves", PIPELINE_FILE
            )
    subject.notes += [Note(name, "no stage writes it: nothing is known of it") for name in others]


def _metrics(subject: Subject) -> Iterator[str]:
    for name in subject.chain:
        for item in subject.pipeline["stages"][name].get("metrics") or []:
            yield item if isinstance(item, str) else next(iter(item))


def _unkept(subject: Subject) -> Iterator[Note]:
    """Outputs that neither DVC's cache nor Git keeps."""
    uncached = [path for name in subject.chain for path in subject.declarations[name].uncached]
    if not uncached:
        return
    listed = git_or_none(subject.root, "ls-files", "-z", "--", *uncached)
    if listed is None:  # no Git repository
        return
    kept = set(listed.decode(errors="surrogateescape").split("\0"))
    for path in uncached:
        if not any(file == path or file.startswith(f"{path}/") for file in kept):
            yield Note(path, "is `cache: false` in dvc.yaml and not in Git: nothing keeps a copy")


def _left_out(subject: Subject) -> Iterator[Note]:
    """Files in folders of data that .dvcignore leaves out: they are in no record."""
    folders = {path for name in subject.chain for path in _data(subject, name)}
    for folder in sorted(folders):
        for path in subject.files.left_out.get(folder, []):
            yield Note(path, ".dvcignore leaves it out of the data that are hashed and recorded")


def _data(subject: Subject, name: str) -> Iterator[str]:
    declared = subject.declarations[name]
    yield from declared.outs
    yield from (path for path in declared.deps if not path.startswith(("tasks/", "flows/")) and path != STATEMENTS.as_posix())
