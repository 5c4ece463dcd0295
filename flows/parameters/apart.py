"""Check all parameters in a process of its own: to check a stage's parameters is to run that stage's code.

A stage's process must run no other code of `tasks` than what the stage declares. A fork costs some milliseconds.
"""

import multiprocessing
import warnings
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from flows.parameters.checking import check_params
from tasks.core.errors import GoodfitError


def check_params_apart(root: Path, document: dict[str, Any]) -> None:
    """As `check_params` with a document, which leaves what it imports in the other process.

    Raises:
        ParamsError: a key is unknown or missing, or a value is not allowed; all offences are named at once.
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
        found = receiver.recv()
    except EOFError:  # an error of another kind, such as one in the code of a component: it is raised here
        check_params(root, document)
        return
    finally:
        process.join()
    if found is not None:
        raise found


def _check(sender: Connection, root: Path, document: dict[str, Any]) -> None:
    try:
        check_params(root, document)
    except GoodfitError as error:
        sender.send(error)
    except BaseException:
        return
    else:
        sender.send(None)
