"""What a diagnosis of someone's own numbers may lack: reading a missing part ends the check that needs it, and no other.

No check has to declare what it needs. It reads the parts of `tasks.diagnostics.measured.Measured` as if all were there; where one was
not given, reading it raises `MissingPartError`, and `tasks.diagnostics.verdict.examine` turns that into a finding `not_run`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

Read = TypeVar("Read")
Otherwise = TypeVar("Otherwise")


@dataclass(frozen=True)
class Missing:
    """Stands for a part that was not given; `what` is a sentence that names it, for the user."""

    what: str


class MissingPartError(Exception):
    """A check read a part that was not given; the message is `Missing.what`."""


def missing(what: str) -> Any:
    """A `Missing`, to be passed where an array is expected; its holder must be a `Parts`."""
    return Missing(what)


def known(read: Callable[[], Read], otherwise: Otherwise) -> Read | Otherwise:
    """What `read` returns, or `otherwise` where it reads a part that was not given: for what a check can do without."""
    try:
        return read()
    except MissingPartError:
        return otherwise


class Parts:
    """A base in front of a dataclass some of whose fields may hold a `Missing`: `class Some(Parts, Whole)`."""

    def __getattribute__(self, name: str) -> Any:
        """The field.

        Raises:
            MissingPartError: it was not given.
        """
        found = object.__getattribute__(self, name)
        if isinstance(found, Missing):
            raise MissingPartError(found.what)
        return found
