"""Show: the tree from a model, a metric or the report back to raw data, code, parameters and environment."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from flows.declaration import producer, read_declarations, upstream, writer
from flows.lineage.digest import directory_md5, list_digest
from flows.lineage.history import lock_at
from flows.lineage.listing import FOLDER
from flows.lineage.lock import LOCK_FILE, Locked, read_lock
from flows.lineage.named import require_file, require_named
from flows.lineage.objects import Objects
from flows.lineage.printed import cell, escaped
from flows.lineage.reading.chain import writer as locked_writer
from flows.lineage.statement import flat, shown, statement_path
from tasks.contracts.statement import Digest, Statement, read_statement
from tasks.core.errors import GoodfitError

SHORT = 12  # hex digits of a digest on the screen; --json has them all
MANY = 10  # files of a folder that are listed; more are one line


@dataclass(frozen=True)
class Source:
    """Where the tree is read from: the working tree, or a revision."""

    statements: dict[str, Statement]  # in the order of the pipeline
    lock: dict[str, Locked]
    made_by: Callable[[str], str | None]


def show(root: Path, path: str, revision: str | None = None) -> dict[str, Any]:
    """What made `path`, and what made that: nested, each stage once, its later mentions by name only.

    Args:
        root: the repository.
        path: what a stage writes.
        revision: a commit, branch, tag or one of DVC's experiments, whose statements are in DVC's cache; None for the working tree.

    Raises:
        DeclarationError: no stage writes `path`.
        ArtifactError: a statement is missing or damaged.
        GoodfitError: there is no such file or no such revision, or DVC's cache lacks its statements.
    """
    source, stage = _recorded(root, path, revision) if revision is not None else _here(root, path)
    return _node(stage, source, set())


def _here(root: Path, path: str) -> tuple[Source, str]:
    declarations = read_declarations(root)
    stage = writer(declarations, path)
    statements = {name: read_statement(root, name) for name in upstream(declarations, stage)}
    lock = read_lock(root)
    require_file(root, path, declarations[stage], lock.get(stage), statements[stage])
    return Source(statements, lock, lambda name: producer(declarations, name)), stage


def _recorded(root: Path, path: str, revision: str) -> tuple[Source, str]:
    lock, objects = lock_at(root, revision), Objects(root)
    stage = locked_writer(lock, path)
    if stage is None:
        known = ", ".join(escaped(out) for entry in lock.values() for out in entry.outs)
        raise GoodfitError(f"no stage of {revision} wrote '{path}'; expected one of {known}")
    statements: dict[str, Statement] = {}

    def collect(name: str) -> None:
        own = statement_path(name).as_posix()
        md5 = lock[name].outs.get(own)
        if md5 is None:
            raise GoodfitError(f"{LOCK_FILE} of {revision} has no {own}: the stage '{name}' left no statement")
        objects.needed(md5, own)
        found = objects.statement(md5)
        if found is None:
            raise GoodfitError(
                f"{own} of {revision} is not a statement as goodfit reads it (MD5 {md5}): `dvc fetch --all-commits`"
            )
        for before in dict.fromkeys(maker for dep in lock[name].deps if (maker := locked_writer(lock, dep))):
            if before not in statements:
                collect(before)
        statements[name] = found

    collect(stage)
    require_named(objects, path, stage, lock[stage], statements[stage])
    return Source(statements, lock, lambda name: locked_writer(lock, name)), stage


def _node(stage: str, source: Source, seen: set[str]) -> dict[str, Any]:
    if stage in seen:
        return {"stage": stage, "shown_above": True}
    seen.add(stage)
    statement, statements = source.statements[stage], source.statements
    inputs: dict[str, Any] = {name: digest.sha256 for name, digest in statement.inputs.items()}
    made = {name: source.made_by(name) for name in inputs}
    written = {
        name: statements[maker].outputs[name]
        for name, maker in made.items()
        if maker in statements and name in statements[maker].outputs
    }
    order = list(statements)
    before = sorted({name for name in made.values() if name in statements}, key=order.index, reverse=True)
    return {
        "stage": stage,
        "command": statement.command,
        "outputs": {name: digest.sha256 for name, digest in statement.outputs.items()},
        "parameters": statement.params,
        "environment": statement.environment | {name: uri.rpartition("@")[2] for name, uri in statement.packages.items()},
        "code": {name: sha256 for name, sha256 in inputs.items() if name.endswith(".py")},
        "data": {name: sha256 for name, sha256 in inputs.items() if not name.endswith(".py")},
        "folders": _folders(source.lock.get(stage), statement.files),
        "written_since": {name: digest.sha256 for name, digest in written.items() if digest.sha256 != inputs[name]},
        "made_by": [_node(name, source, seen) for name in before],
    }


def _folders(entry: Locked | None, files: Mapping[str, Digest]) -> dict[str, str]:
    """The folders among a stage's inputs and outputs, with the MD5 that dvc.lock has for their content, computed anew."""
    paths = (
        {path for kind in (entry.deps, entry.outs) for path, md5 in kind.items() if md5.endswith(FOLDER)} if entry else set()
    )
    return {
        path: directory_md5(dict(files), path) for path in sorted(paths) if any(name.startswith(f"{path}/") for name in files)
    }


def render(node: dict[str, Any], every_file: bool = False) -> Any:
    """The tree for a terminal (a rich.tree.Tree): outputs, data and parameters; code and environment are those of `common`."""
    from rich.tree import Tree

    if node.get("shown_above"):
        return Tree(f"[bold]{cell(node['stage'])}[/] [dim](above)[/]")
    tree = Tree(f"[bold]{cell(node['stage'])}[/]  [dim]{cell(node['command'])}[/]")
    for title in ("outputs", "data"):
        branch = tree.add(title)
        for line in _files(node, title, every_file):
            branch.add(line)
    if node["parameters"]:
        branch = tree.add("parameters")
        for key, value in flat(_made(node["parameters"])).items():
            branch.add(f"{cell(key)}: {cell(shown(value))}")
    for before in node["made_by"]:
        tree.add(render(before, every_file))
    return tree


def _files(node: dict[str, Any], title: str, every_file: bool) -> Iterator[str]:
    """A line for each file; the files of a large folder are one, unless one of them was written anew since."""
    left = dict(node[title])
    for folder, md5 in node["folders"].items():
        inside = [name for name in left if name.startswith(f"{folder}/")]
        if not every_file and len(inside) > MANY and not node["written_since"].keys() & set(inside):
            left = {name: sha256 for name, sha256 in left.items() if not name.startswith(f"{folder}/")}
            yield f"{cell(folder)}/  [dim]{len(inside)} files, md5 {md5[:SHORT]}[/]"
    for name, sha256 in left.items():
        since = node["written_since"].get(name)
        newer = f"  [yellow]out of date: since written anew, {since[:SHORT]}[/]" if since else ""
        yield f"{cell(name)}  [dim]sha256 {sha256[:SHORT]}[/]{newer}"


def common(node: dict[str, Any], every_file: bool = False) -> Iterator[Any]:
    """Code and environment of all stages, each once (a rich.tree.Tree for code, then lines of text)."""
    from rich.markup import escape
    from rich.tree import Tree

    stages = list(_stages(node))
    code, environment = (_by_value(stages, kind) for kind in ("code", "environment"))
    tree = Tree(f"code [dim]({len(code)} files)[/]")
    folders: dict[str, list[str]] = {}
    for name in sorted(code, key=lambda name: PurePosixPath(name).parts):
        folders.setdefault(PurePosixPath(name).parent.as_posix(), []).append(name)
    for folder, names in folders.items():
        if not every_file and len(names) > MANY and all(len(code[name]) == 1 for name in names):
            digest = list_digest({name: next(iter(code[name])) for name in names})
            tree.add(f"{cell(folder)}/  [dim]{len(names)} files, sha256 of their list {digest[:SHORT]}[/]")
            continue
        for name in names:
            tree.add(f"{cell(name)}  [dim]sha256 {escape(_values(code[name], SHORT))}[/]")
    yield tree
    words = (f"{escaped(name)} {_values(values)}" for name, values in environment.items())
    yield "environment: " + escape(", ".join(words))


def _made(params: dict[str, Any]) -> dict[str, Any]:
    """Without the options of what is switched off."""
    if params.get("enabled") is False:
        return {"enabled": False}
    return {key: _made(value) if isinstance(value, dict) else value for key, value in params.items()}


def _stages(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if not node.get("shown_above"):
        yield node
        for before in node["made_by"]:
            yield from _stages(before)


def _by_value(stages: Iterable[dict[str, Any]], kind: str) -> dict[str, dict[str, list[str]]]:
    """By name, each value with the stages that have it."""
    found: dict[str, dict[str, list[str]]] = {}
    for stage in stages:
        for name, value in stage[kind].items():
            found.setdefault(name, {}).setdefault(str(value), []).append(stage["stage"])
    return found


def _values(values: Mapping[str, list[str]], digits: int | None = None) -> str:
    """The value; of several each with its stages, as one that ran before an upgrade may have another."""
    if len(values) == 1:
        return escaped(next(iter(values))[:digits])
    return ", ".join(f"{escaped(value[:digits])} ({', '.join(map(escaped, names))})" for value, names in values.items())
