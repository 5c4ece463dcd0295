"""Check all parameters in a process of its own: to check a stage's parameters is to run that stage's code.

A stage's process must run no other code of `tasks` than what the stage declares. A fork costs some milliseconds, and on a second core
the two processes work at the same time.
"""

import multiprocessing
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from flows.parameters.checking import check_params
from tasks.core.errors import GoodfitError


@contextmanager
def params_checked_apart(root: Path, document: dict[str, Any]) -> Iterator[None]:
    """Begin what `check_params` does with a document in another process, and end it after the block.

    Raises:
        ParamsError: a key is unknown or missing, or a value is not allowed; all offences are named at once, in place of an error of the
            block, which sees some of them at most.
    """
    methods = multiprocessing.get_all_start_methods()
    context: Any = multiprocessing.get_context("fork" if "fork" in methods else "spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_check, args=(sender, root, document), daemon=True)
    with warnings.catch_warnings():
        # Python 3.12 warns of a fork beside other threads. Here that is one which looks whether the leader lives, and holds no lock.
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    sender.close()
    try:
        yield
    except Exception as error:
        _refuse(receiver, root, document, error)
        raise
    else:
        _refuse(receiver, root, document, None)
    finally:
        receiver.close()
        process.join()


def _refuse(receiver: Connection, root: Path, document: dict[str, Any], cause: Exception | None) -> None:
    """Raise what the other process found."""
    try:
        found = receiver.recv()
    except EOFError:  # an error of another kind, such as one in the code of a component: it is raised here
        check_params(root, document)
        return
    if found is not None:
        raise found from cause


def _check(sender: Connection, root: Path, document: dict[str, Any]) -> None:
    found: GoodfitError | None = None
    try:
        check_params(root, document)
    except GoodfitError as error:
        found = error
    except BaseException:
        return
    with suppress(OSError):  # nobody listens any more
        sender.send(found)
