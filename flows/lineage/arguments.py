"""What a person gives a verb on the command line."""

import argparse
from pathlib import Path


def given(text: str) -> str:
    """A path, revision or name as it was given, for argparse.

    Raises:
        argparse.ArgumentTypeError: it is empty, as a variable of a script that was not set. Without the argument, the verb would look
            at something else, and say so of what was not asked for.
    """
    if not text.strip():
        raise argparse.ArgumentTypeError(
            f"found {text!r}; expected a text that is not empty (is a variable of the shell unset?), or no such argument"
        )
    return text


def given_path(text: str) -> Path:
    """As `given`, a path: the empty one would be the current folder.

    Raises:
        argparse.ArgumentTypeError: it is empty.
    """
    return Path(given(text))
