"""The kinds of tampering: what is done, which exit code follows, and what has to be said of it.

A kind names the file whose digests before and after must stand in one line, or texts that must stand in one line together.
"""

import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from flows.lineage.verify import Checks, ExitCode
from tests.tampering.world import World, remove, rename_run_entry

RAW = "data/raw/digits.csv.gz"
MODEL, METRIC, PREDICTIONS = "models/model.safetensors", "metrics/evaluation.json", "results/predictions.parquet"
PLAIN, DEEP, ENVIRONMENT = Checks(), Checks(deep=True), Checks(environment=True)
MISMATCH, MISSING, NO_STATEMENT, FINE = ExitCode.MISMATCH, ExitCode.MISSING, ExitCode.NO_STATEMENT, ExitCode.CONSISTENT


@dataclass(frozen=True)
class Kind:
    """One kind of tampering."""

    name: str
    tamper: Callable[[World], object]
    code: ExitCode = MISMATCH
    file: str = ""  # both of its digests stand in one line
    told: tuple[str, ...] = ()  # these stand in one line
    path: str | None = None  # what is verified; None: everything
    checks: Checks = PLAIN
    outcome: str = ""  # where the exit code leaves it open
    summary: str = ""  # stands in the first line


def every_kind() -> list[Kind]:
    """All of them."""
    groups = (
        bytes_of_files,
        values,
        places,
        folders,
        code,
        parameters,
        pipeline,
        lock,
        statements,
        cache,
        run_cache,
        forgeries,
        git,
    )
    return [kind for group in groups for kind in group()]


FLIPPED = (
    RAW,
    "data/processed/dataset.json",
    "data/processed/rows.csv",
    "data/processed/train.safetensors",
    "data/processed/val.safetensors",
    "data/processed/test.safetensors",
    "models/model.json",
    MODEL,
    "models/calibration.json",
    "results/history.csv",
    "results/dynamics.safetensors",
    PREDICTIONS,
    "results/per_class.csv",
    "results/confusion.csv",
    "results/calibration.csv",
    "results/diagnosis.json",
    "results/explanations.json",
    "results/explanations.safetensors",
    "results/compression.json",
    "results/gates.json",
    METRIC,
    "metrics/diagnosis.json",
    "report/index.html",
    "data/source/README.md",
    "tasks/train.py",
    "tasks/core/files.py",
)


def bytes_of_files() -> Iterator[Kind]:
    """A bit, with size and mtime kept."""
    for file in FLIPPED:
        yield Kind(f"a bit of {file}", lambda world, file=file: world.flip(file), file=file)  # type: ignore[misc]
    yield Kind("the first bit of the model", lambda world: world.flip(MODEL, 0.0), file=MODEL)
    yield Kind("the last byte of the model", lambda world: world.flip(MODEL, 0.99999), file=MODEL)


def values() -> Iterator[Kind]:
    """What a forger would want to say."""
    yield Kind("a better accuracy", lambda world: world.json(METRIC, lambda found: found.update(accuracy=0.99)), file=METRIC)
    yield Kind(
        "another verdict",
        lambda world: world.json("metrics/diagnosis.json", lambda found: found.update(verdict="good_fit")),
        file="metrics/diagnosis.json",
    )
    yield Kind("a label of the test images", _relabel, file="data/processed/test.safetensors")
    yield Kind("weights with another sign", negate, file=MODEL)
    yield Kind("predictions in another order", _reorder, file=PREDICTIONS)
    yield Kind(
        "an epoch less in the history", lambda world: _drop_last_line(world, "results/history.csv"), file="results/history.csv"
    )
    yield Kind(
        "a class renamed",
        lambda world: world.json("data/processed/dataset.json", lambda found: found["classes"].__setitem__(0, "zero")),
        file="data/processed/dataset.json",
    )
    yield Kind(
        "a number of the report", lambda world: world.replace("report/index.html", "0.9", "1.0"), file="report/index.html"
    )


def places() -> Iterator[Kind]:
    """Something else where a file was."""
    yield Kind("a line end appended", lambda world: world.write(METRIC, world.text(METRIC) + "\n"), file=METRIC)
    yield Kind("a file cut short", lambda world: world.write(MODEL, (world.root / MODEL).read_bytes()[:-1]), file=MODEL)
    yield Kind("an empty file", lambda world: world.write("results/history.csv", ""), file="results/history.csv")
    yield Kind(
        "a file gone", lambda world: remove(world.root / PREDICTIONS), MISSING, told=(PREDICTIONS, "no file: `dvc checkout`")
    )
    yield Kind("a metric gone", lambda world: remove(world.root / METRIC), MISSING, told=(METRIC, "no file: `git checkout"))
    yield Kind(
        "two files swapped",
        lambda world: _swap(world, "data/processed/val.safetensors", "data/processed/test.safetensors"),
        file="data/processed/test.safetensors",
    )
    yield Kind("a link to another file", lambda world: _link(world, MODEL, "../results/dynamics.safetensors"), file=MODEL)
    yield Kind("a link that leads nowhere", lambda world: _link(world, MODEL, "nowhere"), MISSING, told=(MODEL, "no file"))
    yield Kind("a link to itself", lambda world: _link(world, MODEL, "model.safetensors"), told=(MODEL, "cannot be read"))
    yield Kind("a folder in place of a file", lambda world: _folder(world, METRIC), told=(METRIC, "a folder"))
    yield Kind("a FIFO", lambda world: _fifo(world, MODEL), told=(MODEL, "a FIFO"))
    yield Kind("a FIFO in a folder of data", lambda world: _fifo(world, "data/raw/more"), told=("data/raw/more", "a FIFO"))
    yield Kind(
        "a FIFO in place of a statement",
        lambda world: _fifo(world, "lineage/train.json"),
        told=("lineage/train.json", "a FIFO"),
    )
    yield Kind("a socket", _socket, told=(MODEL, "a socket"))
    yield Kind("a device", lambda world: _link(world, MODEL, "/dev/zero"), told=(MODEL, "a character device"))


def folders() -> Iterator[Kind]:
    """A folder of data."""
    yield Kind(
        "a file more", lambda world: world.write("data/raw/more.csv", "1"), told=("data/raw/more.csv", "no such file", "sha256")
    )
    yield Kind("a file less", lambda world: remove(world.root / RAW), MISSING, told=(RAW, "no file"))
    yield Kind(
        "a file renamed",
        lambda world: (world.root / RAW).rename(world.root / "data/raw/other.csv.gz"),
        told=("data/raw/other.csv.gz", "no such file"),
    )
    yield Kind("the folder gone", lambda world: remove(world.root / "data/raw"), MISSING, told=("data/raw: ", "no file"))
    yield Kind(
        "a file in a new subfolder",
        lambda world: world.write("data/raw/deep/more.csv", "1"),
        told=("data/raw/deep/more.csv", "no such"),
    )
    yield Kind(
        "a file that .dvcignore leaves out",
        lambda world: world.write("data/raw/hidden.pyc", "1"),
        FINE,
        told=("data/raw/hidden.pyc", ".dvcignore leaves it out"),
    )
    yield Kind(
        "a folder that leads back to itself",
        _loop,
        told=("data/raw/one", "a folder"),
    )
    yield Kind(
        "a name that clears the screen",
        lambda world: world.write("data/raw/\x1b[2Jproven: all.csv", "1"),
        told=(r"data/raw/\x1b[2Jproven: all.csv", "no such file"),
    )
    yield Kind(
        "a name that fakes a line",
        lambda world: world.write("data/raw/a\nproven: 9 files", "1"),
        told=(r"data/raw/a\nproven: 9 files", "no such file"),
    )


def code() -> Iterator[Kind]:
    """The code that computed, and what decides which code is hashed."""
    yield Kind(
        "a comment in a component",
        lambda world: world.write("tasks/models/mlp.py", world.text("tasks/models/mlp.py") + "# x\n"),
        file="tasks/models/mlp.py",
    )
    yield Kind("a package's own file", lambda world: world.write("tasks/__init__.py", "x = 1\n"), file="tasks/__init__.py")
    yield Kind(
        "a contract's own file",
        lambda world: world.write("tasks/contracts/__init__.py", "x = 1\n"),
        file="tasks/contracts/__init__.py",
    )
    yield Kind(
        "a module more", lambda world: world.write("tasks/core/more.py", "x = 1\n"), told=("tasks/core/more.py", "no such file")
    )
    yield Kind(
        "a module gone",
        lambda world: remove(world.root / "tasks/core/hints.py"),
        MISSING,
        told=("tasks/core/hints.py", "no file"),
    )
    yield Kind(
        "a rule more in .dvcignore",
        lambda world: world.write(".dvcignore", world.text(".dvcignore") + "*.tmp\n"),
        file=".dvcignore",
    )
    yield Kind("code hidden by .dvcignore", _hide_code, file=".dvcignore")
    yield Kind("recorded code hidden by .dvcignore", _hide_recorded, told=("tasks/core/hints.py", "left out by .dvcignore"))
    yield Kind(
        "no .dvcignore", lambda world: remove(world.root / ".dvcignore"), MISSING, told=(".dvcignore", "no file", "sha256")
    )
    yield Kind(
        "a .dvcignore of a folder",
        lambda world: world.write("tasks/.dvcignore", "*.x\n"),
        told=("tasks/.dvcignore", "no such file"),
    )
    yield Kind(
        "goodfit's own code",
        lambda world: world.write("flows/stage.py", world.text("flows/stage.py") + "# x\n"),
        FINE,
        told=("flows/stage.py", "has been edited since"),
    )
    yield Kind(
        "a file that shadows a library",
        lambda world: world.write("torch.py", "x = 1\n"),
        FINE,
        told=("torch.py", "in place of the installed torch"),
    )


def parameters() -> Iterator[Kind]:
    """params.yaml."""
    for name, old, new, told in (
        ("a value", "seed: 0 ", "seed: 1 ", ("params.yaml: seed", "has 0, found 1")),
        ("false for 0", "seed: 0 ", "seed: false ", ("params.yaml: seed", "has 0, found false")),
        ("a float for an integer", "epochs: 3 ", "epochs: 3.0 ", ("params.yaml: train.epochs", "has 3, found 3.0")),
        ("a text for a number", "epochs: 3 ", "epochs: '3' ", ("params.yaml: train.epochs", "params.yaml")),
        (
            "another model",
            "{name: mlp, hidden: [64]}",
            "{name: mlp, hidden: [65]}",
            ("train.model.hidden", "has [64], found [65]"),
        ),
        ("a list's integer as a float", "hidden: [64]", "hidden: [64.0]", ("train.model.hidden", "has [64], found [64.0]")),
        ("a key that says nothing", "\ntrain:\n", "\ntrain:\n  more: null\n", ("train.more", "no such key, found null")),
        ("a key gone", "  shuffle: true ", "  # shuffle: true ", ("train.shuffle", "has true, found no such key")),
    ):
        yield Kind(f"parameter: {name}", lambda world, old=old, new=new: world.replace("params.yaml", old, new), told=told)  # type: ignore[misc]


def pipeline() -> Iterator[Kind]:
    """dvc.yaml."""

    def stage(change: Callable[[dict[str, Any]], object], name: str = "train") -> Callable[[World], object]:
        return lambda world: world.pipeline(lambda document: change(document["stages"][name]))

    yield Kind("another command", stage(lambda found: found.update(cmd="echo")), told=("dvc.yaml: cmd", "found 'echo'"))
    yield Kind(
        "an input undeclared",
        stage(lambda found: found["deps"].remove("tasks/train.py")),
        told=("tasks/train.py", "no such input"),
    )
    yield Kind(
        "an input declared", stage(lambda found: found["deps"].append("README.md")), told=("README.md", "it as an input")
    )
    yield Kind(
        "an output undeclared",
        stage(lambda found: found["outs"].remove("results/history.csv")),
        told=("results/history.csv", "no such output"),
    )
    yield Kind(
        "a parameter undeclared", stage(lambda found: found["params"].remove("seed")), told=("params.yaml: seed", "no such key")
    )
    yield Kind("wdir", stage(lambda found: found.update(wdir="tasks")), told=("dvc.yaml: wdir", "goodfit does not read"))
    yield Kind("an unknown key", stage(lambda found: found.update(more=1)), told=("dvc.yaml: more", "goodfit does not read"))
    yield Kind(
        "vars",
        lambda world: world.pipeline(lambda found: found.update(vars=[{"x": 1}])),
        told=("vars", "goodfit does not read"),
    )
    yield Kind(
        "frozen", stage(lambda found: found.update(frozen=True)), FINE, told=("train: frozen", "does not run the stage again")
    )
    yield Kind(
        "always_changed",
        stage(lambda found: found.update(always_changed=True)),
        FINE,
        told=("always_changed", "runs the stage every time"),
    )
    yield Kind(
        "a statement that DVC does not keep",
        stage(lambda found: _uncache(found, "lineage/train.json")),
        told=("lineage/train.json", "cache: false"),
    )
    yield Kind(
        "an output that nothing keeps", stage(lambda found: _uncache(found, MODEL)), FINE, told=(MODEL, "nothing keeps a copy")
    )
    yield from _producers()


def _producers() -> Iterator[Kind]:
    """Results that no stage of dvc.yaml writes."""
    yield Kind(
        "a stage gone, its record and metric still there",
        lambda world: world.pipeline(_without_evaluate),
        told=("evaluate", "no such stage"),
    )
    yield Kind(
        "a metric without a producer",
        lambda world: world.write("metrics/better.json", '{"accuracy": 1.0}'),
        told=("metrics/better.json", "no stage that writes it"),
    )
    yield Kind(
        "a listed metric without a producer",
        lambda world: world.pipeline(lambda found: found.update(metrics=["better.json"])),
        told=("better.json", "no stage that writes it"),
    )
    yield Kind(
        "a result without a producer",
        lambda world: world.write("results/better.json", "{}"),
        FINE,
        told=("results/better.json", "no stage writes it"),
    )


def _in_entry(change: Callable[[dict[str, Any]], object], name: str = "train") -> Callable[[World], object]:
    """A change of a stage's entry in dvc.lock."""
    return lambda world: world.lock(lambda document: change(document["stages"][name]))


def lock() -> Iterator[Kind]:
    """dvc.lock: the digests and fields of files."""

    def item(path: str, kind: str = "outs", name: str = "train", **fields: Any) -> Callable[[World], object]:
        return _in_entry(lambda found: next(one for one in found[kind] if one["path"] == path).update(fields), name)

    other = "0" * 32
    yield Kind("an output's digest", item(MODEL, md5=other), told=(MODEL, f"dvc.lock has md5 {other}, found md5 "))
    yield Kind(
        "an input's digest", item("tasks/train.py", "deps", md5=other), told=("tasks/train.py", f"has md5 {other}, found md5 ")
    )
    yield Kind(
        "a folder's digest",
        item("data/raw", name="download", md5=f"{other}.dir"),
        told=("data/raw", f"has md5 {other}.dir, found md5"),
    )
    yield Kind(
        "a statement's digest",
        item("lineage/train.json", md5=other),
        told=("lineage/train.json", f"has md5 {other}, found md5"),
    )
    yield Kind("a metric's digest", item(METRIC, name="evaluate", md5=other), told=(METRIC, f"has md5 {other}, found md5"))
    yield Kind("a size", item(MODEL, size=1), told=(f"{MODEL}: size", "dvc.lock has 1, found"))
    yield Kind("a size as a text", item(MODEL, size="1"), told=(f"{MODEL}: size", 'has "1", found'))
    yield Kind("a folder's size", item("data/raw", name="download", size=1), told=("data/raw: size", "has 1, found"))
    yield Kind("a folder's count", item("data/raw", name="download", nfiles=7), told=("data/raw: nfiles", "has 7, found 1"))
    yield Kind("a count of a file", item(MODEL, nfiles=1), told=(f"{MODEL}: nfiles", "has 1, found no such field"))
    yield Kind("a hash's name", item(MODEL, hash="sha1"), told=(f"{MODEL}: hash", 'has "sha1", found "md5"'))
    yield Kind("isexec", item(MODEL, isexec=True), told=(f"{MODEL}: isexec", "has true, found no such field"))
    yield Kind("an unknown field", item(MODEL, etag="x"), told=(f"{MODEL}: etag", 'has "x"'))
    yield Kind(
        "schema", lambda world: world.lock(lambda found: found.update(schema="1.0")), told=("schema", 'has "1.0", found "2.0"')
    )
    yield Kind("no schema", lambda world: world.lock(lambda found: found.pop("schema")), told=("schema", "has no such field"))
    yield from _lock_entries()


def _lock_entries() -> Iterator[Kind]:
    """dvc.lock: commands, parameters, and which stages and files it lists."""
    other = "0" * 32
    yield Kind("an unknown key of an entry", _in_entry(lambda found: found.update(more=1)), told=("train: more", "has 1"))
    yield Kind(
        "an unknown key at the top", lambda world: world.lock(lambda found: found.update(more=1)), told=("more", "has 1")
    )
    yield Kind(
        "a recorded command", _in_entry(lambda found: found.update(cmd="echo")), told=("dvc.yaml: cmd", "dvc.lock has 'echo'")
    )
    yield Kind(
        "a recorded parameter",
        _in_entry(lambda found: found["params"]["params.yaml"].update(seed=7)),
        told=("seed", "dvc.lock has 7, found 0"),
    )
    yield Kind(
        "a recorded type",
        _in_entry(lambda found: found["params"]["params.yaml"].update(seed=False)),
        told=("seed", "dvc.lock has false, found 0"),
    )
    yield Kind(
        "another file of parameters",
        _in_entry(lambda found: found["params"].update({"other.yaml": {"a": 1}})),
        told=("train: params: other.yaml", '{"a": 1}'),
    )
    yield Kind(
        "a ghost stage",
        lambda world: world.lock(lambda found: found["stages"].update(ghost={"cmd": "echo"})),
        told=("ghost", "no such stage"),
    )
    yield Kind(
        "an entry gone",
        lambda world: world.lock(lambda found: found["stages"].pop("train")),
        MISSING,
        told=("train: dvc.lock", "an entry"),
    )
    yield Kind("an output unlisted", _in_entry(lambda found: _drop(found["outs"], MODEL)), told=(MODEL, "it as an output"))
    yield Kind(
        "an input unlisted",
        _in_entry(lambda found: _drop(found["deps"], "tasks/train.py")),
        told=("tasks/train.py", "it as an input"),
    )
    yield Kind(
        "an output listed too much",
        _in_entry(lambda found: found["outs"].append({"path": "x", "hash": "md5", "md5": other, "size": 1})),
        told=("x", "no such output", other),
    )
    yield Kind(
        "an input listed too much",
        _in_entry(lambda found: found["deps"].append({"path": "x", "hash": "md5", "md5": other, "size": 1})),
        told=("x", "no such input", other),
    )
    yield Kind(
        "a lock without stages",
        lambda world: world.lock(lambda found: found.update(stages={})),
        MISSING,
        told=("dvc.lock", "an entry"),
    )
    yield Kind("no lock", lambda world: remove(world.root / "dvc.lock"), MISSING, told=("dvc.lock", "an entry"))


def statements() -> Iterator[Kind]:
    """lineage/*.json: whole files."""
    own = "lineage/train.json"
    yield Kind(
        "a statement gone",
        lambda world: remove(world.root / "lineage/gates.json"),
        NO_STATEMENT,
        told=("lineage/gates.json", "a statement"),
    )
    yield Kind("an empty statement", lambda world: world.write(own, ""), told=(own, "not an in-toto statement"))
    yield Kind(
        "half a statement", lambda world: world.write(own, world.text(own)[:900]), told=(own, "not an in-toto statement")
    )
    yield Kind(
        "another stage's statement",
        lambda world: world.write(own, world.text("lineage/evaluate.json")),
        told=(own, "the statement of stage 'evaluate'"),
    )
    yield Kind(
        "statements swapped",
        lambda world: _swap(world, own, "lineage/evaluate.json"),
        told=(own, "the statement of stage 'evaluate'"),
    )
    yield Kind("a blank more in a statement", lambda world: world.write(own, world.text(own) + " "), file=own)
    yield Kind("a stated package", lambda world: world.replace(own, "pkg:pypi/torch@", "pkg:pypi/torch@9"), file=own)
    yield Kind("a stated version of goodfit", lambda world: world.replace(own, '"goodfit": "', '"goodfit": "9'), file=own)
    yield from _statement_fields(own)


def _statement_fields(own: str) -> Iterator[Kind]:
    """lineage/*.json: what one of them says."""

    def stated(change: Callable[[dict[str, Any]], object]) -> Callable[[World], object]:
        return lambda world: world.json(own, change)

    def definition(statement: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = statement["predicate"]["buildDefinition"]
        return found

    def entry(statement: dict[str, Any], name: str) -> dict[str, Any]:
        entries = [*statement["subject"], *definition(statement)["resolvedDependencies"]]
        return next(one for one in entries if one["name"] == name)

    none = "0" * 64
    yield Kind(
        "a stated parameter",
        stated(lambda found: definition(found)["externalParameters"]["parameters"].update(seed=9)),
        told=("params.yaml: seed", "statement has 9, found 0"),
    )
    yield Kind(
        "a stated command",
        stated(lambda found: definition(found)["externalParameters"].update(command="echo")),
        told=("dvc.yaml: cmd", "statement has 'echo'"),
    )
    yield Kind(
        "a stated SHA-256",
        stated(lambda found: entry(found, MODEL)["digest"].update(sha256=none)),
        told=(MODEL, f"statement has sha256 {none}, found sha256"),
    )
    yield Kind(
        "a stated MD5",
        stated(lambda found: entry(found, MODEL)["digest"].update(md5="0" * 32)),
        told=(MODEL, f"statement has md5 {'0' * 32}, found md5"),
    )
    yield Kind(
        "a stated input's SHA-256",
        stated(lambda found: entry(found, "tasks/train.py")["digest"].update(sha256=none)),
        told=("tasks/train.py", f"statement has sha256 {none}, found sha256"),
    )
    yield Kind(
        "an output unstated", stated(lambda found: found["subject"].pop()), told=("statement has no such file", "sha256")
    )
    yield Kind(
        "an input unstated",
        stated(lambda found: definition(found)["resolvedDependencies"].pop(0)),
        told=("statement has no such file",),
    )
    yield Kind(
        "an output more",
        stated(lambda found: found["subject"].append({"name": "x", "digest": {"sha256": none, "md5": "0" * 32}})),
        MISMATCH,
        told=("x", none, "no file"),
    )
    yield Kind(
        "a stated version of Python",
        stated(lambda found: definition(found)["internalParameters"].update(python="2.7")),
        file=own,
    )


def cache() -> Iterator[Kind]:
    """DVC's cache."""

    def of(name: str, act: Callable[[World, str], object]) -> Callable[[World], object]:
        return lambda world: act(world, world.object(name))

    damaged = "is damaged"
    yield Kind(
        "a bit of an object, size and mtime kept",
        of(MODEL, lambda world, file: world.flip(file)),
        told=(".dvc/cache/files/md5/", MODEL, damaged),
    )
    yield Kind(
        "an object made longer",
        of(MODEL, lambda world, file: world.write(file, b"x" + (world.root / file).read_bytes())),
        told=(".dvc/cache/files/md5/", MODEL, damaged),
    )
    yield Kind(
        "an object replaced by another",
        lambda world: world.write(world.object(MODEL), (world.root / PREDICTIONS).read_bytes()),
        told=(".dvc/cache/files/md5/", MODEL, damaged),
    )
    yield Kind(
        "a statement's object",
        of("lineage/train.json", lambda world, file: world.flip(file)),
        told=("lineage/train.json", damaged),
    )
    yield Kind("an object of a folder's file", of(RAW, lambda world, file: world.flip(file)), told=(RAW, damaged))
    yield Kind("a folder's listing", of("data/raw", lambda world, file: world.flip(file)), told=("data/raw", damaged))
    yield Kind(
        "a folder's listing emptied", of("data/raw", lambda world, file: world.write(file, "[]")), told=("data/raw", damaged)
    )
    yield Kind(
        "an object gone",
        of(MODEL, lambda world, file: remove(world.root / file)),
        FINE,
        told=(".dvc/cache", MODEL, "could not bring back"),
    )
    yield Kind(
        "a folder's listing gone",
        of("data/raw", lambda world, file: remove(world.root / file)),
        FINE,
        told=("data/raw", "could not bring back"),
    )
    yield Kind(
        "an object of a folder's file gone",
        of(RAW, lambda world, file: remove(world.root / file)),
        FINE,
        told=(RAW, "could not bring back"),
    )
    yield Kind(
        "an object and its output gone",
        of(MODEL, lambda world, file: world.remove(file, MODEL)),
        MISSING,
        told=(".dvc/cache", MODEL, "no object", "md5"),
    )
    yield Kind(
        "the whole cache gone", lambda world: remove(world.root / ".dvc/cache"), FINE, told=(MODEL, "could not bring back")
    )
    yield Kind("a FIFO in place of an object", of(MODEL, _fifo), told=(".dvc/cache", MODEL, "a FIFO"))
    yield Kind("an object and its output flipped together, one file under two names", _flip_linked, file=MODEL)


def run_cache() -> Iterator[Kind]:
    """DVC's run-cache: what a later run would bring back instead of training."""
    names = (".dvc/cache/runs/", "the run-cache")

    def edited(change: Callable[[dict[str, Any]], object]) -> Callable[[World], object]:
        def tamper(world: World) -> None:
            entry = world.run_entry("train")
            world.write(entry, json.dumps(_changed(world, entry, change)))

        return tamper

    def better(found: dict[str, Any]) -> None:
        next(one for one in found["outs"] if one["path"] == MODEL).update(md5="0" * 32)

    yield Kind("an output of an entry", edited(better), told=(*names, "not as DVC wrote it"))
    yield Kind(
        "a parameter of an entry",
        edited(lambda found: found["params"]["params.yaml"].update(seed=7)),
        told=(*names, "not as DVC wrote it"),
    )
    yield Kind("an entry under another name", _rename_entry, told=(*names, "not as DVC wrote it"))
    yield Kind("another stage's entry", _swap_entries, told=(*names, "not as DVC wrote it"))
    yield Kind(
        "an output of an entry, under the right names",
        lambda world: rename_run_entry(world, "train", better),
        told=(*names, f"md5 {'0' * 32} of output {MODEL}", "in the statement"),
    )
    yield Kind(
        "an input of an entry, under the right names",
        lambda world: rename_run_entry(world, "train", lambda found: found["deps"][0].update(md5="0" * 32)),
        told=(*names, "of input", "in the statement"),
    )
    yield Kind(
        "a parameter of an entry, under the right names",
        lambda world: rename_run_entry(world, "train", lambda found: found["params"]["params.yaml"].update(seed=7)),
        told=(*names, "7 of parameter seed", "0 in the statement"),
    )
    yield Kind(
        "half an entry",
        lambda world: world.write(world.run_entry("train"), "cmd: x\n"),
        FINE,
        told=("not a whole entry", ".dvc/cache/runs"),
    )


def forged(act: Callable[[World], object]) -> Callable[[World], object]:
    """What is done to outputs, with statement, dvc.lock and cache written anew for it."""
    return lambda world: [act(world), world.reseal()]


def forgeries() -> Iterator[Kind]:
    """Output, statement, dvc.lock and cache forged together: consistent, and found only by what is computed again."""
    again, stored = "the recomputation from the stored inputs", "the recomputation from the stored predictions"

    better = forged(lambda world: world.json(METRIC, lambda found: found.update(accuracy=0.99)))
    yield Kind("forged together: a metric", better, FINE, outcome="consistent", summary="dvc.lock is not committed")
    yield Kind(
        "forged together: a metric, computed again",
        better,
        path=METRIC,
        checks=DEEP,
        told=(f"{METRIC}: accuracy", stored, "found 0.99"),
    )
    yield Kind("forged together: predictions", forged(_reorder), FINE, outcome="consistent")
    yield Kind(
        "forged together: predictions, computed again", forged(_reorder), path=METRIC, checks=DEEP, told=(PREDICTIONS, again)
    )
    yield Kind(
        "forged together: predictions and the metrics that follow, computed again",
        forged(_flatter),
        path=METRIC,
        checks=DEEP,
        told=(f"{PREDICTIONS}: predicted of row", again),
    )
    yield Kind("forged together: a model", forged(negate), FINE, outcome="consistent", summary="dvc.lock is not committed")
    yield Kind(
        "forged together: a model, computed again",
        forged(negate),
        path=METRIC,
        checks=DEEP,
        told=(f"{PREDICTIONS}: predicted of row", again),
    )
    yield Kind(
        "forged together: a test label, computed again",
        forged(_relabel),
        path=METRIC,
        checks=DEEP,
        told=("data/processed/test.safetensors: labels[0]", again),
    )
    yield from _forged_words(again)


def _forged_words(again: str) -> Iterator[Kind]:
    """Of the diagnosis, the history and the environment."""
    verdict = forged(lambda world: world.json("metrics/diagnosis.json", lambda found: found.update(verdict="good_fit")))
    yield Kind("forged together: a verdict", verdict, FINE, outcome="consistent")
    yield Kind(
        "forged together: a verdict, computed again",
        verdict,
        path="metrics/diagnosis.json",
        checks=DEEP,
        told=("metrics/diagnosis.json: verdict", again, 'found "good_fit"'),
    )
    history = forged(lambda world: _drop_last_line(world, "results/history.csv"))
    yield Kind(
        "forged together: the history, which only training again finds",
        history,
        FINE,
        outcome="consistent",
        summary="dvc.lock is not committed: it is not that of",
    )
    yield Kind(
        "forged together: packages in the environment",
        forged(_other_package),
        path="data/processed/dataset.json",
        checks=ENVIRONMENT,
        told=("version", "statement has", "found version"),
    )


def git() -> Iterator[Kind]:
    """The commit that holds dvc.lock."""
    yield Kind(
        "a lock that is not the committed one",
        lambda world: world.write("dvc.lock", world.text("dvc.lock") + "\n"),
        FINE,
        outcome="consistent",
        summary="dvc.lock is not committed: it is not that of",
    )
    yield Kind(
        "no repository of Git",
        lambda world: remove(world.root / ".git"),
        FINE,
        outcome="consistent",
        summary="there is no Git repository",
    )
    yield Kind("a lock rolled back", _roll_back, FINE, outcome="consistent", summary="dvc.lock is that of commit ")


# What the kinds do


def _relabel(world: World) -> None:
    import numpy as np
    from safetensors.numpy import load_file, save_file

    file = world.path("data/processed/test.safetensors")
    tensors = load_file(file)
    tensors["labels"] = np.ascontiguousarray(
        np.where(np.arange(len(tensors["labels"])) == 0, (tensors["labels"] + 1) % 10, tensors["labels"])
    )
    save_file(tensors, file)


def negate(world: World) -> None:
    """Turn the sign of every matrix of weights."""
    from safetensors.numpy import load_file, save_file

    file = world.path(MODEL)
    save_file({name: -tensor if tensor.ndim > 1 else tensor for name, tensor in load_file(file).items()}, file)


def _reorder(world: World) -> None:
    import pandas as pd

    file = world.path(PREDICTIONS)
    pd.read_parquet(file).iloc[::-1].to_parquet(file, index=False)


def _flatter(world: World) -> None:
    """Turn wrong predictions into right ones, and the accuracy and its interval with them, as evaluate would."""
    import pandas as pd

    from tasks.evaluate import per_class
    from tasks.statistics.intervals import wilson

    file = world.path(PREDICTIONS)
    table = pd.read_parquet(file)
    table["predicted"] = table["label"]
    table.to_parquet(file, index=False)
    low, high = wilson(len(table), len(table), 0.95)
    world.json(METRIC, lambda found: found.update(accuracy=1.0, accuracy_ci_low=low, accuracy_ci_high=high, macro_f1=1.0))
    labels, classes = table["label"].to_numpy(), json.loads(world.text("models/model.json"))["classes"]
    per_class(classes, labels, labels, 0.95).to_csv(world.path("results/per_class.csv"), index=False, lineterminator="\n")


def _other_package(world: World) -> None:
    statement = json.loads(world.text("lineage/preprocess.json"))
    uri = next(entry["uri"] for entry in statement["predicate"]["buildDefinition"]["resolvedDependencies"] if "uri" in entry)
    world.replace("lineage/preprocess.json", uri, f"{uri}9")


def _drop_last_line(world: World, name: str) -> None:
    world.write(name, "".join(world.text(name).splitlines(keepends=True)[:-1]))


def _swap(world: World, one: str, other: str) -> None:
    first, second = (world.root / one).read_bytes(), (world.root / other).read_bytes()
    world.write(one, second)
    world.write(other, first)


def _link(world: World, name: str, target: str) -> None:
    remove(world.root / name)
    (world.root / name).symlink_to(target)


def _loop(world: World) -> None:
    for name in ("one", "two"):  # each leads to both
        _link(world, f"data/raw/{name}", ".")


def _folder(world: World, name: str) -> None:
    remove(world.root / name)
    (world.root / name).mkdir()


def _fifo(world: World, name: str) -> None:
    remove(world.root / name)
    os.mkfifo(world.root / name)


def _socket(world: World) -> None:
    remove(world.root / MODEL)
    here = os.getcwd()  # noqa: PTH109 - the path of a socket may have 107 bytes
    os.chdir(world.root)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(MODEL)
    finally:
        os.chdir(here)


def _hide_code(world: World) -> None:
    world.write("tasks/core/more.py", "x = 1\n")
    world.write(".dvcignore", world.text(".dvcignore") + "tasks/core/more.py\n")


def _hide_recorded(world: World) -> None:
    world.write(".dvcignore", world.text(".dvcignore") + "tasks/core/hints.py\n")


def _uncache(stage: dict[str, Any], name: str) -> None:
    stage["outs"] = [{name: {"cache": False}} if out == name else out for out in stage["outs"]]


def _without_evaluate(document: dict[str, Any]) -> None:
    del document["stages"]["evaluate"]


def _drop(items: list[dict[str, Any]], path: str) -> None:
    items[:] = [item for item in items if item["path"] != path]


def _flip_linked(world: World) -> None:
    remove(world.root / MODEL)
    os.link(world.root / world.object(MODEL), world.root / MODEL)
    world.flip(MODEL)


def _changed(world: World, entry: str, change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    from tasks.core.settings import load_yaml

    content = load_yaml(world.root / entry)
    change(content)
    return content


def _rename_entry(world: World) -> None:
    entry = world.root / world.run_entry("train")
    entry.rename(entry.with_name("0" * 64))


def _swap_entries(world: World) -> None:
    shutil.copy(world.root / world.run_entry("evaluate"), world.root / world.run_entry("train"))


def _roll_back(world: World) -> None:
    """The lock of the run stays, and the newest commit has another one: that of a later run."""
    text = world.text("dvc.lock")
    world.write("dvc.lock", text + "# a later run\n")
    world.run("git", "commit", "-qam", "A later run")
    world.write("dvc.lock", text)
