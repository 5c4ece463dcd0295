"""The flow in a terminal: refuse what cannot run, start a server if there is none, run, say what was done."""

import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from flows.overrides import overridden_params
from flows.process import collect_rarely
from flows.training import training, with_upstream
from tasks.contracts.findings import read_diagnosis
from tasks.core.errors import GoodfitError


def run(stages: Sequence[str] | None = None, force: bool = False, overrides: Sequence[str] = ()) -> int:
    """Run the flow in this terminal: 0 when every stage is up to date, 1 with the reason when not, 130 after Ctrl-C.

    Raises:
        GoodfitError: an unknown stage, parameters that are not valid, or no server at PREFECT_API_URL; nothing was started.
    """
    collect_rarely()
    root = Path.cwd()
    with_upstream(root, stages)  # these two before a server is waited for
    overridden_params(root, overrides)
    signal.signal(signal.SIGTERM, _terminated)
    try:
        _start_server()
        state = training(list(stages) if stages else None, force, list(overrides), return_state=True)
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
    _summarise(outcomes if isinstance(outcomes, dict) else {})
    if state.is_completed():
        return 0
    print(f"error: {state.message}", file=sys.stderr)
    return 1


def _summarise(outcomes: dict[str, str]) -> None:
    if outcomes:
        print()
    for name, done in outcomes.items():
        print(f"{name:<12} {done}")
    if outcomes.get("diagnose") in ("ran", "restored", "unchanged"):
        diagnosis = read_diagnosis(Path.cwd())
        print(f"\nVerdict: {diagnosis.verdict}\n{diagnosis.headline}")


def _interrupted() -> int:
    print("interrupted; what had finished is kept, the next run goes on from there", file=sys.stderr)
    return 130


def _terminated(*_: object) -> None:
    sys.exit(143)  # and not the default, which would leave the temporary server behind


def _start_server() -> None:
    """Start Prefect's temporary server where no other is named.

    Prefect would start it just so, but Ctrl-C reaches the whole process group: the server would end before the run's last state is
    told. It inherits the signals that are blocked in the thread that starts it; this one can be interrupted meanwhile.
    """
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    if settings.api.url or not settings.server.ephemeral.enabled:
        return
    print(
        "starting a temporary Prefect server (about 10 s, the first time 20 s); set PREFECT_API_URL to use a running one",
        file=sys.stderr,
    )

    def start() -> None:
        from prefect.server.api.server import SubprocessASGIServer

        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        SubprocessASGIServer().start()

    starting = threading.Thread(target=start, daemon=True)
    starting.start()
    starting.join()
