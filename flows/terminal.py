"""A flow in a terminal: refuse what cannot run, start a server if there is none, run, say what was done."""

import atexit
import logging
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flows.pages.progress import bars, console_handlers, duration
from flows.pages.usage import Usage, memory, usage_since
from flows.processes.leaving import collect_rarely
from flows.processes.run_lock import refuse_nested_run
from flows.selection import check_request
from tasks.core.errors import GoodfitError


def run(
    load_flow: Callable[[], Any], stages: Sequence[str] | None = None, force: bool = False, overrides: Sequence[str] = ()
) -> int:
    """Run the flow in this terminal: 0 when every stage is up to date, 1 with the reason when not, 130 after Ctrl-C.

    Args:
        load_flow: imports the flow, which takes a second: a request that cannot run is refused before.
        stages: these stages and those they depend on; None for all.
        force: run them even if nothing changed.
        overrides: changes of params.yaml.

    Raises:
        GoodfitError: an unknown stage, parameters that are not valid, no server at PREFECT_API_URL, or a run that a stage of another
            run started; nothing was started.
    """
    collect_rarely()
    root, started = Path.cwd(), datetime.now(UTC)
    check_request(root, stages, overrides, print)
    refuse_nested_run(root)
    signal.signal(signal.SIGTERM, _terminated)
    try:
        _ensure_server()
        flow = load_flow()
        with bars(), _said_once():
            state = flow(list(stages) if stages else None, force, list(overrides), return_state=True)
    except RuntimeError as error:
        if not str(error).startswith("Failed to reach API"):
            raise
        raise GoodfitError(
            f"{error}; start a server there (`make serve`), or unset PREFECT_API_URL for a temporary one"
        ) from None
    except KeyboardInterrupt:
        return _interrupted()
    if state.is_cancelled():
        return _interrupted()
    outcomes = state.result(raise_on_failure=False)
    _summarise(root, outcomes if isinstance(outcomes, dict) else {}, usage_since(root, started))
    if state.is_completed():
        return 0
    print(f"error: {state.message}", file=sys.stderr)
    return 1


@contextmanager
def _said_once() -> Iterator[None]:
    """Keep Prefect's own repetition of a failure out of the terminal: a stage says it where it fails, and the last line says it."""
    handlers = dict.fromkeys([*logging.root.handlers, *logging.getLogger("prefect").handlers, *console_handlers()])
    for handler in handlers:
        handler.addFilter(_is_said_here)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(_is_said_here)


def _is_said_here(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("Finished in state Failed(")


def _summarise(root: Path, outcomes: Mapping[str, str], usage: Mapping[str, Usage]) -> None:
    """One line per stage: the outcome, and for a stage that ran its runtime and peak memory; then the verdict, if there is one."""
    if outcomes:
        print()
    width = max((len(name) for name in outcomes), default=0)
    for name, done in outcomes.items():
        used = f"  {_used(usage[name])}" if done == "ran" and name in usage else ""
        print(f"{name:<{max(width, 12)}} {done:<9}{used}".rstrip())
    if outcomes.get("diagnose") in ("ran", "restored", "unchanged"):
        _print_verdict(root)


def _used(usage: Usage) -> str:
    peak = memory(usage.peak_memory_bytes)
    return f"{duration(usage.seconds):>10}" + (f"  {peak:>7} peak memory" if peak else "")


def _print_verdict(root: Path) -> None:
    from flows.parameters.checking import own_stages
    from tasks.contracts.findings import read_diagnosis

    if "diagnose" in own_stages(root):  # a stage of another pipeline may have the name too
        diagnosis = read_diagnosis(root)
        print(f"\nVerdict: {diagnosis.verdict.replace('_', ' ')}\n{diagnosis.headline}\nReport: report/index.html")


def _interrupted() -> int:
    print("interrupted; the stages that had completed are kept, and the next run continues from there", file=sys.stderr)
    return 130


def _terminated(*_: object) -> None:
    sys.exit(143)  # instead of the default, which would end this process without its exit handlers


def _ensure_server() -> None:
    """Start a temporary server where PREFECT_API_URL names none. It is stopped at exit, after Prefect has sent its last messages.

    Prefect would start one itself, but Ctrl-C would end that one before the run's last state is stored, and `kill -9` would leave it.
    """
    from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings

    from flows.server import TEMPORARY, prefect_server

    settings = get_current_settings()
    if settings.api.url or not settings.server.ephemeral.enabled:
        return
    print(
        "starting a temporary Prefect server (a few seconds; the first time longer); its pages close when the run ends, and "
        "`prefect server start` shows them again",
        file=sys.stderr,
    )
    resources = ExitStack()
    atexit.register(resources.close)
    url = resources.enter_context(prefect_server(options=TEMPORARY))
    resources.enter_context(temporary_settings({PREFECT_API_URL: url}))
