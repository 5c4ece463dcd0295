"""`goodfit lineage gc`: free space in DVC's cache, and know what is lost."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flows.lineage.cleaning.gc import Garbage

TEXT = (
    "Remove unreachable objects from DVC's cache: those that no commit, tag, branch, stash, experiment or signature names.\n\n"
    "First it lists what each object was and which claims would lose their proof, then it asks. Everything that `dvc gc\n"
    "--all-commits --all-experiments` keeps is kept, and also what only a reflog, the index or a signed statement names."
)
EXAMPLE = "  goodfit lineage gc --dry-run      only say what would be removed"
LINES = 40  # objects on the terminal


def add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("-n", "--dry-run", action="store_true", help="remove nothing")
    command.add_argument("-f", "--force", action="store_true", help="do not ask")
    command.add_argument(
        "--no-reflogs",
        dest="reflogs",
        action="store_false",
        help="also remove what only a Git reflog still names, such as a removed experiment (Git itself forgets it after some weeks)",
    )
    command.add_argument("--json", action="store_true", help="print JSON and ask nothing; needs --dry-run or --force")


def call(options: argparse.Namespace, root: Path) -> int:
    """List the unreachable objects, and remove them on confirmation."""
    from dataclasses import asdict

    from flows.lineage.cleaning.gc import find_garbage, remove_garbage

    if options.json and not (options.dry_run or options.force):
        print("error: with --json nothing can be asked; expected --dry-run or --force as well", file=sys.stderr)
        return 2
    garbage = find_garbage(root, reflogs=options.reflogs)
    if not options.json:
        print(as_text(garbage))
    removed: list[str] = []
    if garbage.objects and not options.dry_run and (options.force or _confirmed(len(garbage.objects))):
        removed = remove_garbage(root, garbage, reflogs=options.reflogs)
    if options.json:
        print(json.dumps({**asdict(garbage), "removed": removed}, indent=2))
    elif removed:
        print(f"removed {_counted(len(removed))}")
    elif garbage.objects:
        print("nothing was removed")
    return 0


def _confirmed(count: int) -> bool:
    from tasks.core.errors import GoodfitError

    if not sys.stdin.isatty():
        raise GoodfitError(
            f"nothing was removed: there is no terminal to ask whether {_counted(count)} may go; --force does not ask"
        )
    these = "this object" if count == 1 else f"these {count} objects"
    return input(f"remove {these} for good? [y/N] ").strip().lower() in {"y", "yes"}


def as_text(garbage: "Garbage") -> str:
    """The sum in the first line, each object with its size and names, and the claims that lose their proof."""
    from flows.lineage.printed import escaped, file_size

    if not garbage.objects:
        every = "the one object" if garbage.kept == 1 else f"each of the {garbage.kept} objects"
        return f"nothing to remove: something reaches {every} of DVC's cache"
    reached, kept = ("is" if count == 1 else "are" for count in (len(garbage.objects), garbage.kept))
    lines = [
        f"{_counted(len(garbage.objects))} ({file_size(garbage.size)}) {reached} reached by nothing; {garbage.kept} {kept} kept:"
    ]
    for one in garbage.objects[:LINES]:
        names = ", ".join(map(escaped, one.names)) or "no name is known"
        lines.append(f"  {file_size(one.size):>9}  {one.md5[:12]}{'.dir' if one.md5.endswith('.dir') else ''}  {names}")
    lines += [f"  and {len(garbage.objects) - LINES} more; --json lists them all"] if len(garbage.objects) > LINES else []
    by: dict[str, set[str]] = {}
    for claim in sorted({claim for one in garbage.objects for claim in one.claims}):
        by.setdefault(f"{claim.stage}: {claim.output}", set()).add(claim.by)
    lost = [f"{claim}, says {' and '.join(sorted(witnesses))}" for claim, witnesses in by.items()]
    lines += ["what could no longer be proven:"] if lost else []
    lines += [f"  {escaped(claim)}" for claim in lost[:LINES]]
    lines += [f"  and {len(lost) - LINES} more; --json lists them all"] if len(lost) > LINES else []
    if garbage.lost:
        lines.append(
            f"the lists of {len(garbage.lost)} recorded folders are not in the cache, so that files that were in them cannot be told "
            "from others: `dvc fetch --all-commits` brings the lists from a remote"
        )
    return "\n".join(lines)


def _counted(count: int) -> str:
    return f"{count} object" if count == 1 else f"{count} objects"
