"""The training flow: download → preprocess → train → evaluate ∥ diagnose → report, each through the gate.

DVC decides what has to run; Prefect orders, retries, schedules and watches.
"""

import ctypes
import logging
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prefect import Task, flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.exceptions import TerminationSignal
from prefect.futures import wait
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner

from flows.declaration import DeclarationError, read_declarations, upstream
from flows.gate import pass_gate
from flows.lineage.journal import Outcome, journaled
from flows.overrides import overridden_params, override_params
from tasks.contracts.errors import GoodfitError
from tasks.contracts.files import read_json
from tasks.contracts.findings import Diagnosis, read_diagnosis
from tasks.contracts.params import PARAMS_FILE
from tasks.contracts.params.pipeline import check_params
from tasks.contracts.results import EVALUATION
from tasks.datasets.fetching import DownloadError

# The flow: a stage and the stages that it waits for. dvc.yaml says which files it reads from them; a test compares the two.
AFTER: dict[str, tuple[str, ...]] = {
    "download": (),
    "preprocess": ("download",),
    "train": ("preprocess",),
    "evaluate": ("train",),
    "diagnose": ("train",),
    "report": ("evaluate", "diagnose"),
}
DOWNLOAD_RETRY_SECONDS = [10.0, 30.0, 90.0]
STATES: dict[Outcome, str] = {"ran": "Ran", "restored": "Restored", "unchanged": "Unchanged"}
TELL_AGAIN_SECONDS = 5.0


class StageThreads:
    """The threads in which stages run. Ctrl-C and SIGTERM reach only the main thread, and Prefect would wait for the others."""

    def __init__(self) -> None:
        self._running: set[int] = set()
        self._ending = False
        self._lock = threading.Lock()

    @contextmanager
    def one(self) -> Iterator[None]:
        """The current thread runs a stage in this block, which `interrupt` ends with KeyboardInterrupt."""
        thread = threading.get_ident()
        with self._lock:
            if self._ending:
                raise KeyboardInterrupt
            self._running.add(thread)
        try:
            yield
        finally:
            with self._lock:
                self._running.discard(thread)

    def interrupt(self) -> None:
        """Raise KeyboardInterrupt in every thread that runs a stage, as soon as it is in Python code; none begins another."""
        with self._lock:
            self._ending = True
            for thread in self._running:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(KeyboardInterrupt))


threads = StageThreads()


def run_name() -> str:
    """What was asked for, in the run's name: `all stages`, `train (forced): train.epochs=3`."""
    asked = flow_run.parameters
    name = ", ".join(asked.get("stages") or ["all stages"]) + (" (forced)" if asked.get("force") else "")
    return ": ".join([name, *([" ".join(asked["overrides"])] if asked.get("overrides") else [])])


@flow(
    name="training",
    flow_run_name=run_name,
    task_runner=ThreadPoolTaskRunner(max_workers=2),  # type: ignore[arg-type]  # Prefect's own runner, narrower than it declares
    log_prints=True,
    persist_result=False,
)
def training(stages: list[str] | None = None, force: bool = False, overrides: list[str] = []) -> State[Any]:  # noqa: B006 (shown in Prefect's form, never changed)
    """Bring the pipeline in the current folder up to date; only what changed runs.

    Args:
        stages: these and what they depend on, as `dvc repro STAGE` does; null for all.
        force: run them though nothing changed.
        overrides: changes of params.yaml, as `dvc exp run -S` takes them: `train.optimizer.learning_rate=0.01`.
    """
    root = Path.cwd()
    try:
        chosen = with_upstream(root, stages)
        override_params(root, overrides)
        check_params(root / PARAMS_FILE)
    except (GoodfitError, OSError) as error:
        return Failed(message=str(error))

    runs: dict[str, Any] = {}
    try:
        for name in chosen:
            earlier = [runs[before] for before in AFTER[name]]
            runs[name] = stage_task(name).submit(name, force, wait_for=earlier, return_state=False)
        wait(list(runs.values()))
    except KeyboardInterrupt:
        end_stages(runs)
        return Cancelled(message="interrupted")
    except TerminationSignal:  # of a worker or of `kill`: Prefect knows what it means
        end_stages(runs)
        raise
    states = {name: run.state for name, run in runs.items()}
    publish(root, [name for name, state in states.items() if state.is_completed()])
    return conclusion(states)


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="{name}")
def stage(name: str, force: bool) -> State[Any]:
    """One stage through the gate. The state says what was done: Unchanged, Restored, Ran, or Failed with the stage's message."""
    from dvc.exceptions import DvcException

    _calm_logs()
    root = Path.cwd()
    try:
        with journaled(root, name, door="flow", **_origin()) as entry, threads.one():
            entry.outcome = pass_gate(name, root, force=force, say=get_run_logger().info)
    except (GoodfitError, DvcException, OSError) as error:
        message = str(error)
        return Failed(message=message if message.startswith(f"{name}:") else f"{name}: {message}", data=error)
    except KeyboardInterrupt:
        return Cancelled(message=f"{name}: interrupted")
    return Completed(name=STATES[entry.outcome])


def stage_task(name: str) -> Task[[str, bool], State[Any]]:
    """The task of a stage carries its name; only a network mends itself, so only download is tried again."""
    named = stage.with_options(name=name)
    if name != "download":
        return named
    return named.with_options(
        retries=len(DOWNLOAD_RETRY_SECONDS),
        retry_delay_seconds=DOWNLOAD_RETRY_SECONDS,
        retry_jitter_factor=0.3,
        retry_condition_fn=worth_a_retry,
    )


def worth_a_retry(_: object, __: object, state: State[Any]) -> bool:
    """Whether the network failed; a parameter or a folder that is wrong stays wrong."""
    return isinstance(state.data, DownloadError)


def with_upstream(root: Path, stages: Sequence[str] | None) -> list[str]:
    """The stages and all that they depend on, in the pipeline's order.

    Raises:
        DeclarationError: there is no such stage.
    """
    if stages is None:
        return list(AFTER)
    unknown = [name for name in stages if name not in AFTER]
    if unknown:
        raise DeclarationError(f"unknown stage '{unknown[0]}'; the flow has {', '.join(AFTER)}")

    return upstream(read_declarations(root), *stages)


def end_stages(runs: dict[str, Any]) -> None:
    """End the stages that run, which removes their outputs, and wait for them; a second Ctrl-C leaves at once."""
    previous = signal.signal(signal.SIGINT, _leave)
    get_run_logger().warning("interrupted; ending the stages that run (Ctrl-C again leaves at once)")
    left = [run.wrapped_future for run in runs.values()]
    while left:
        threads.interrupt()  # told again while a library's import swallows it
        left = list(futures.wait(left, TELL_AGAIN_SECONDS).not_done)
    wait(list(runs.values()))
    signal.signal(signal.SIGINT, previous)


def _leave(*_: object) -> None:
    """Without waiting for any thread: a stage may be in a long call outside Python, a download asleep until it is tried again."""
    from prefect.server.api.server import SubprocessASGIServer

    SubprocessASGIServer().stop()
    os._exit(130)


def conclusion(states: dict[str, State[Any]]) -> State[Any]:
    """The flow's final state: the messages of the stages that failed, or what was done."""
    outcomes = {name: outcome(state) for name, state in states.items()}
    failures = [str(state.message) for state in states.values() if state.is_failed() or state.is_crashed()]
    if all(state.is_completed() for state in states.values()):
        counts = Counter(outcomes.values())
        return Completed(message=", ".join(f"{count} {done}" for done, count in counts.items()), data=outcomes)
    return Failed(message="\n".join(failures) or "not every stage was run", data=outcomes)


def outcome(state: State[Any]) -> str:
    """`ran`, `restored`, `unchanged`, `failed`, or `not run` for a stage behind a failed one."""
    return "not run" if state.is_pending() else str(state.name).lower()


def publish(root: Path, completed: Sequence[str]) -> None:
    """Show the results on Prefect's page; those of a stage that did not complete may be an earlier run's, and are left out."""
    evaluation = read_json(root / EVALUATION, "evaluate") if "evaluate" in completed else None
    if evaluation:
        rows = [{"metric": key, "value": value} for key, value in evaluation.items()]
        create_table_artifact(rows, key="metrics", description="On the test set (metrics/evaluation.json)")
    if "diagnose" in completed:
        diagnosis = read_diagnosis(root)
        create_markdown_artifact(
            verdict_page(diagnosis, evaluation), key="verdict", description="What the diagnosis says of the model"
        )
        create_table_artifact(finding_rows(diagnosis), key="findings", description="The checks behind the verdict")


def verdict_page(diagnosis: Diagnosis, evaluation: dict[str, float] | None) -> str:
    """The verdict in Markdown, with the accuracy and its interval where they are known."""
    lines = [f"# {diagnosis.verdict.replace('_', ' ')}", diagnosis.headline]
    if evaluation:
        low, high = evaluation["accuracy_ci_low"], evaluation["accuracy_ci_high"]
        lines.append(f"**Accuracy** {evaluation['accuracy']:.4f} [{low:.4f}, {high:.4f}] on {evaluation['n']} test examples")
    lines.append("**Flags** " + (", ".join(diagnosis.flags) or "none"))
    remedies = [finding.remedy.action for finding in diagnosis.findings if finding.status == "flag" and finding.remedy]
    if remedies:
        lines.append("**What helps**\n\n" + "\n".join(f"- {action}" for action in remedies))
    return "\n\n".join(lines)


def finding_rows(diagnosis: Diagnosis) -> list[dict[str, Any]]:
    """A row a check."""
    return [
        {
            "check": finding.code,
            "question": finding.title,
            "status": finding.status.replace("_", " "),
            "estimate": _rounded(finding.estimate),
            "interval": " to ".join(filter(None, (_rounded(finding.ci_low), _rounded(finding.ci_high)))),
        }
        for finding in diagnosis.findings
    ]


def _rounded(number: float | None) -> str:
    return "" if number is None else f"{number:.4f}"


def run(stages: Sequence[str] | None = None, force: bool = False, overrides: Sequence[str] = ()) -> int:
    """Run the flow in this terminal: 0 when every stage is up to date, 1 with the reason when not, 130 after Ctrl-C.

    Raises:
        GoodfitError: an unknown stage, parameters that are not valid, or no server at PREFECT_API_URL; nothing was started.
    """
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


def _origin() -> dict[str, str | None]:
    """Which flow run this is, and for when a schedule wanted it."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return {}
    wanted = context.flow_run.expected_start_time if context.flow_run.auto_scheduled else None
    return {"flow_run_id": str(context.flow_run.id), "scheduled": wanted.isoformat() if wanted else None}


def _calm_logs() -> None:
    """The task's state says what was done: DVC need not say on two handlers that it updates its lock, nor Prefect each failure twice.

    After DVC's import, which sets its own level.
    """
    dvc = logging.getLogger("dvc")
    dvc.propagate = False
    dvc.setLevel(logging.WARNING)
    logging.getLogger("prefect.task_runs").addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    return record.levelno < logging.ERROR or not record.getMessage().startswith("Task run failed with state")


def main() -> int:
    """The command: the whole pipeline; `goodfit run` has the options."""
    try:
        return run()
    except (GoodfitError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
