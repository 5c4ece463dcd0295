"""Run a page of docs/ in a repository: write the files that it shows, run its commands, compare what they print.

A page is Markdown. What counts in it:

- a paragraph that holds only a name, such as "`tasks/models/tiny.py`:", before a block: the block is written to that file; with
  "append to" before the name it is appended;
- a `console` block: each line after `$ ` is run by bash (a backslash at its end continues it), and must end with exit code 0. The lines
  below it are what it prints, where a line `...` stands for any lines and `...` in a line for any text; the number of spaces between
  words does not count; without such lines any output is right;
- a `python` block without a name is run as a program;
- a `sh` block is not run: its commands need a network, another machine or files of the reader's own, do not end by themselves, or take
  long;
- every other block is only shown.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.conftest import Project

BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
NAME = re.compile(r"(?:\A|\n\n) *(append to )?`([^`\n]+)`:\s*\Z", re.IGNORECASE)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, the line where it begins, and the file that it is written to."""

    language: str
    text: str
    line: int
    file: str = ""
    append: bool = False


@dataclass
class Command:
    """A command of a `console` block, and the lines that it must print."""

    text: str
    expected: list[str] = field(default_factory=list)


def blocks(page: str) -> Iterator[Block]:
    """The fenced blocks of a page, in its order."""
    end = 0
    for match in BLOCK.finditer(page):
        indent, language, text = match.groups()
        named = NAME.search(page[end : match.start()])
        lines = [line.removeprefix(indent) for line in text.splitlines(keepends=True)]
        line = page.count("\n", 0, match.start()) + 1
        file, append = (named[2], bool(named[1])) if named else ("", False)
        yield Block(language, "".join(lines), line, file, append)
        end = match.end()


def commands(text: str) -> list[Command]:
    """The commands of a `console` block."""
    found: list[Command] = []
    continued = False
    for line in text.splitlines():
        if continued:
            found[-1].text += "\n" + line
        elif line.startswith("$ "):
            found.append(Command(line[2:]))
        elif found:
            found[-1].expected.append(line)
        else:
            raise ValueError(f"a console block begins with {line!r}; expected a command after '$ '")
        continued = (continued or line.startswith("$ ")) and line.endswith("\\")
    return found


def follow(page: Path, project: Project, **variables: str) -> list[str]:
    """Do what the page says, from top to bottom, with these variables in the environment; return one line for each difference."""
    complaints: list[str] = []
    variables = {"PYTHONPATH": str(project.root), "COLUMNS": "160"} | variables
    for block in blocks(page.read_text(encoding="utf-8")):
        place = f"{page.name}:{block.line}"
        if block.file:
            path = project.root / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text((path.read_text() if block.append else "") + block.text, encoding="utf-8")
        elif block.language == "python":
            done = project.run(sys.executable, "-c", block.text, check=False, **variables)
            if done.returncode:
                complaints.append(f"{place}: the program failed:\n{done.stdout}{done.stderr}")
        elif block.language == "console":
            for command in commands(block.text):
                done = project.run("bash", "-c", f"exec 2>&1; {command.text}", check=False, **variables)
                complaints += differences(place, command, done.returncode, done.stdout)
    return complaints


def differences(place: str, command: Command, code: int, printed: str) -> Iterator[str]:
    """What is wrong with a command that was run, if anything."""
    if code:
        yield f"{place}: exit code {code} of: {command.text}\n{printed}"
    if command.expected and not matches(command.expected, printed):
        expected = "\n".join(command.expected).strip()
        yield f"{place}: {command.text}\nexpected:\n{expected}\nprinted:\n{printed}"


def matches(expected: list[str], printed: str) -> bool:
    """Whether a command printed these lines; empty lines do not count."""
    pattern = "".join("(?:.*\n)*?" if line.strip() == "..." else rf"{_pattern(line)}\n" for line in expected if line.strip())
    found = "".join(f"{' '.join(line.split())}\n" for line in printed.splitlines() if line.strip())
    return re.fullmatch(pattern, found) is not None


def _pattern(line: str) -> str:
    """A regular expression for one expected line."""
    return ".*?".join(map(re.escape, " ".join(line.split()).split("...")))
