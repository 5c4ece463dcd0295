"""The `goodfit` command without a process of its own."""

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from flows.cli import main

InProcess = Callable[..., CompletedProcess[bytes]]


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> InProcess:
    """`goodfit ARGUMENTS` in a folder, in this process: starting another one and importing torch there takes seconds.

    What depends on a process, such as what is imported and what goes into a pipe, needs a real one.
    """

    def call(folder: Path, *arguments: str) -> CompletedProcess[bytes]:
        with monkeypatch.context() as patch:
            patch.chdir(folder)
            try:
                code = main(list(arguments))
            except SystemExit as ended:  # argparse, after a usage error or the help
                code = int(ended.code or 0)
        return CompletedProcess(arguments, code, *capfdbinary.readouterr())

    return call
