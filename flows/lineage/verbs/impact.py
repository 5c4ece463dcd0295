"""`goodfit lineage impact`: what depends on a file or a row."""

import argparse
import json
import sys
from pathlib import Path

from flows.lineage.arguments import given
from tasks.core.errors import UnknownNameError

TEXT = (
    "List every recorded result that depends on a file or on a row of the source. Through the chain of stages.\n\n"
    "The file is known by its bytes, as they are now or by --digest: a data file, a file within a folder of images, or code.\n"
    "A row has its number in the source's own order; a result depends on it if its train, val or test split has the row.\n\n"
    "exit codes: 0 something depends on it; 1 nothing does; 2 could not look: no such file, no Git repository; also a usage\n"
    "error"
)
EXAMPLE = (
    "  goodfit lineage impact data/source/cats/0001.png      every model that saw this picture\n"
    "  goodfit lineage impact data/raw:17                    every result of row 17"
)
FAILURE = 2  # 1 is an answer


def add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("path", metavar="PATH[:ROW]", nargs="?", type=given, help="a file or folder, or a row of it")
    command.add_argument("--digest", metavar="HEX", type=given, help="the MD5 or SHA-256 of the file instead")
    command.add_argument("--row", metavar="N", type=int, help="this row (default of PATH: data/raw as recorded last)")
    command.add_argument("--json", action="store_true", help="print JSON")


def call(options: argparse.Namespace, root: Path) -> int:
    """List what depends on it; exit code 1 where nothing does."""
    from flows.lineage.paths import relative_path
    from flows.lineage.printed import escaped, print_rich
    from flows.lineage.reading.find import digests_of, parsed_digest
    from flows.lineage.reading.impact import as_json, as_table, impact, impact_of_row

    path, row = _asked(options)
    wanted = parsed_digest(options.digest) if options.digest else digests_of(Path(path)) if path else None
    if row is not None:
        found = impact_of_row(root, row, wanted)
    elif wanted is not None:
        found = impact(root, wanted, relative_path(path, root) if path else None)
    else:
        raise UnknownNameError("nothing to look for; expected PATH, --digest or --row")
    if options.json:
        print(json.dumps(as_json(found), indent=2))
        return int(not found.results)
    what = escaped(path or options.digest or "the source recorded last") + (f", row {row}" if row is not None else "")
    if found.results:
        print(f"{len(found.results)} of {found.searched} recorded runs depend on {what}")
        print_rich(as_table(found))
    else:
        print(f"none of {found.searched} recorded runs depends on {what}")
    if found.other_bytes:
        print(f"{found.other_bytes} runs had other bytes there; --digest finds those that depend on them", file=sys.stderr)
    for sentence in found.not_seen:
        print(escaped(sentence), file=sys.stderr)
    return int(not found.results)


def _asked(options: argparse.Namespace) -> tuple[str | None, int | None]:
    """The path and the row; a file may have a colon in its name."""
    path, row = options.path, options.row
    if path and row is None and not Path(path).exists():
        before, colon, number = path.rpartition(":")
        if colon and number.isdecimal():
            if not before.strip():
                raise UnknownNameError(
                    f"found '{path}', a row without a path; expected PATH:ROW (is a variable of the shell unset?), or --row {number}"
                )
            return before, int(number)
    return path, row
