"""`goodfit lineage explain`: why a stage ran, and why it would run."""

import argparse
import json
import sys
from pathlib import Path

from flows.lineage.arguments import given

TEXT = (
    "Explain why stages ran last and would run now. Old and new values, and what changed first.\n\n"
    "`last` compares the entry of dvc.lock with the one before it in Git's history, `now` with the files that are there:\n"
    "what `dvc repro` would do. Nothing is changed. With --rev, why the run that a commit records was made.\n\n"
    "exit codes: 0 done; 1 no Git repository, no such revision, or a file cannot be read; 2 usage error or unknown stage"
)
EXAMPLE = "  goodfit lineage explain evaluate\n  goodfit lineage explain --rev v1.0 train"


def add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("stages", metavar="STAGE", nargs="*", type=given, help="these stages (default: all)")
    command.add_argument("--rev", metavar="REV", type=given, help="explain the run of a commit, a tag or an experiment instead")
    command.add_argument("--json", action="store_true", help="print JSON")


def call(options: argparse.Namespace, root: Path) -> int:
    """Explain stages; what cannot be seen is said on stderr."""
    from flows.lineage.printed import escaped
    from flows.lineage.reading.explain import as_json, as_lines, explain
    from flows.lineage.statement import iso
    from flows.repository import require_dvc

    require_dvc(root)
    found = explain(root, options.stages, options.rev)
    if options.json:
        print(json.dumps(as_json(found), indent=2, default=iso))
        return 0
    print("\n".join(as_lines(found)))
    for sentence in found.not_seen:
        print(escaped(sentence), file=sys.stderr)
    return 0
