"""Names of files as they are printed: a file may be called so that it clears the screen, or fakes a line of the output."""


def printable(text: str) -> str:
    """The text in one line, with every character that a terminal could obey or hide written as Python's escape (`\\x1b`, `\\n`).

    A backslash is doubled, so that two names never look the same.
    """
    plain = text.replace("\\", "\\\\")
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in plain)


def printable_lines(text: str) -> str:
    """A message of several lines, each of them `printable`."""
    return "\n".join(map(printable, text.split("\n")))
