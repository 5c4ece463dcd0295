"""Show: the tree from a model, a metric or the report back to raw data, code, parameters and environment."""

from pathlib import Path
from typing import Any

from flows.declaration import Declaration, producer, read_declarations, upstream, writer
from flows.lineage.statement import flat, shown
from tasks.contracts.statement import Statement, read_statement

SHORT = 12  # hex digits of a digest on the screen; --json has them all


def show(root: Path, path: str) -> dict[str, Any]:
    """What made `path`, and what made that: nested, each stage once, its later mentions by name only.

    Raises:
        DeclarationError: no stage writes `path`.
        ArtifactError: a statement is missing or damaged.
    """
    declarations = read_declarations(root)
    stage = writer(declarations, path)
    statements = {name: read_statement(root, name) for name in upstream(declarations, stage)}
    return _node(stage, declarations, statements, set())


def _node(stage: str, declarations: dict[str, Declaration], statements: dict[str, Statement], seen: set[str]) -> dict[str, Any]:
    if stage in seen:
        return {"stage": stage, "shown_above": True}
    seen.add(stage)
    statement = statements[stage]
    inputs: dict[str, Any] = {name: digest.sha256 for name, digest in statement.inputs.items()}
    made = {name: producer(declarations, name) for name in inputs}
    written = {
        name: statements[maker].outputs[name] for name, maker in made.items() if maker and name in statements[maker].outputs
    }
    before = sorted({name for name in made.values() if name}, key=list(declarations).index, reverse=True)
    return {
        "stage": stage,
        "command": statement.command,
        "outputs": {name: digest.sha256 for name, digest in statement.outputs.items()},
        "parameters": statement.params,
        "environment": statement.environment | {name: uri.rpartition("@")[2] for name, uri in statement.packages.items()},
        "code": {name: sha256 for name, sha256 in inputs.items() if name.endswith(".py")},
        "data": {name: sha256 for name, sha256 in inputs.items() if not name.endswith(".py")},
        "written_since": {name: digest.sha256 for name, digest in written.items() if digest.sha256 != inputs[name]},
        "made_by": [_node(name, declarations, statements, seen) for name in before],
    }


def render(node: dict[str, Any]) -> Any:
    """The tree for a terminal (a rich.tree.Tree)."""
    from rich.markup import escape
    from rich.tree import Tree

    if node.get("shown_above"):
        return Tree(f"[bold]{node['stage']}[/] [dim](above)[/]")
    tree = Tree(f"[bold]{node['stage']}[/]  [dim]{escape(node['command'])}[/]")
    for title in ("outputs", "data", "code"):
        branch = tree.add(f"{title} [dim]({len(node[title])} files)[/]" if title == "code" else title)
        for name, sha256 in node[title].items():
            since = node["written_since"].get(name)
            newer = f"  [yellow]out of date: since written anew, {since[:SHORT]}[/]" if since else ""
            branch.add(f"{escape(name)}  [dim]sha256 {sha256[:SHORT]}[/]{newer}")
    if node["parameters"]:
        branch = tree.add("parameters")
        for key, value in flat(node["parameters"]).items():
            branch.add(f"{escape(key)}: {escape(shown(value))}")
    tree.add("environment  [dim]" + escape(", ".join(f"{key} {value}" for key, value in node["environment"].items())) + "[/]")
    for before in node["made_by"]:
        tree.add(render(before))
    return tree
