"""The training flow: every stage of dvc.yaml through the gate, in the order that dvc.yaml gives.

DVC decides what has to run; Prefect orders, schedules and shows it. Nothing here knows a stage by name: the flow runs any DVC pipeline.
"""

import logging
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect import Task, flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.exceptions import TerminationSignal
from prefect.futures import wait
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner

from flows.gate import allow_stages, end_stages, pass_gate
from flows.lineage.journal import Outcome, journaled
from flows.pages.metrics import previous_metrics
from flows.pages.progress import shown
from flows.pages.publishing import Run, add_tags, choice_tags, publish, results
from flows.pages.usage import usage_since
from flows.parameters.overrides import override_params
from flows.parameters.temporary import recover_params, temporary_overrides
from flows.processes.run_lock import RunLock, run_lock
from flows.processes.watch import end_with_parent
from flows.repository import require_project
from flows.selection import Graph, check_overrides, chosen_stages, direct, pipeline
from flows.unchanged import unchanged_stages
from tasks.core.errors import GoodfitError
from tasks.core.settings import PARAMS_FILE, load_yaml

STATES: dict[Outcome, str] = {"ran": "Ran", "restored": "Restored", "unchanged": "Unchanged"}
INTERRUPTED_EXIT_CODE = 130

_ending = threading.Event()


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
    """Bring the DVC pipeline in the current folder up to date; only what changed runs.

    Args:
        stages: these stages and those they depend on, as `dvc repro STAGE`; null or an empty list for all.
        force: run them even if nothing changed.
        overrides: changes of params.yaml, as `dvc exp run -S` takes them: `train.optimizer.learning_rate=0.01`. A scheduled run
            has them for itself: params.yaml is restored when it ends.
    """
    root = Path.cwd()
    if of_a_deployment():
        end_with_parent()
    try:
        require_project(root)
        with run_lock(root, overrides, say=_warn) as lock:
            return _run(root, stages, force, overrides, lock)
    except (GoodfitError, OSError) as error:
        return Failed(message=str(error))


def _run(root: Path, stages: list[str] | None, force: bool, overrides: list[str], lock: RunLock) -> State[Any]:
    """The run, while no other one may change params.yaml."""
    recovered = recover_params(root)
    if recovered:
        _warn(recovered)
    graph = pipeline(root, _warn)
    chosen = chosen_stages(graph, stages)
    check_overrides(root, overrides)
    previous, started = previous_metrics(root), datetime.now(UTC)
    with overridden(root, overrides, lock):
        params = read_params(root)
        tags = [*choice_tags(params or {}), *(["forced"] if force else []), *(["overrides"] if overrides else [])]
        _shown(add_tags, tags)
        unchanged = frozenset[str]() if force else unchanged_stages(root, graph, chosen, _warn)
        states = run_stages(graph, chosen, force, params, unchanged)
    if _ending.is_set():
        _ending.clear()
        return Cancelled(message="interrupted")
    outcomes = {name: outcome(state) for name, state in states.items()}
    run = Run(outcomes, usage_since(root, started), previous, note_on(overrides))
    found = results(root, run)
    _shown(publish, root, run, found)
    if found.diagnosis:
        _shown(add_tags, [*tags, f"verdict: {found.diagnosis.verdict.replace('_', ' ')}"])
    return conclusion(states, str(found))


def _warn(line: str) -> None:
    get_run_logger().warning(line)


def run_stages(
    graph: Graph, chosen: list[str], force: bool, params: Any, unchanged: frozenset[str] = frozenset()
) -> dict[str, State[Any]]:
    """Submit the stages, each to begin when those it waits for have completed, and wait for all. Some are known to be unchanged.

    After Ctrl-C the stages that run are ended, and the states returned. SIGTERM, of a worker or of `kill`, ends them too, and is then
    left to Prefect, which knows what was meant by it.
    """
    runs: dict[str, Any] = {}
    try:
        for name in chosen:
            earlier = [runs[before] for before in direct(graph, name)]
            runs[name] = stage_task(name).submit(name, force, params, name in unchanged, wait_for=earlier, return_state=False)
        wait(list(runs.values()))
    except KeyboardInterrupt:
        _end(runs)
    except TerminationSignal:
        _end(runs)
        _ending.clear()
        raise
    return {name: run.state for name, run in runs.items()}


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="{name}")
def stage(name: str, force: bool, params: Any, unchanged: bool = False) -> State[Any]:
    """One stage through the gate, unless it was found to be unchanged.

    The state says what was done: Unchanged, Restored, Ran, or Failed with the stage's message.

    `params` are those that the run began with: with others the stage would do what the run was not asked for.
    """
    from dvc.exceptions import DvcException

    _calm_logs()
    root, log = Path.cwd(), get_run_logger()
    try:
        if read_params(root) != params:
            raise GoodfitError(
                f"{name}: {PARAMS_FILE} changed after this run had started; the stages that had completed are kept: run it again"
            )
        with journaled(root, name, door="flow", **_origin()) as entry, shown(name) as progress:
            if unchanged:
                entry.outcome = "unchanged"
            else:
                entry.outcome = pass_gate(name, root, force=force, say=log.info, output=log.info, progress=progress)
    except (GoodfitError, DvcException, OSError) as error:
        if _ending.is_set():
            return Cancelled(message=f"{name}: interrupted")
        message = str(error)
        return Failed(message=message if message.startswith(f"{name}:") else f"{name}: {message}", data=error)
    except KeyboardInterrupt:
        return Cancelled(message=f"{name}: interrupted")
    return Completed(name=STATES[entry.outcome])


def stage_task(name: str) -> Task[[str, bool, Any, bool], State[Any]]:
    """The task of a stage, by the stage's name. A failed download is tried again by the stage itself, through either door."""
    return stage.with_options(name=name)


def read_params(root: Path) -> Any:
    """What params.yaml holds; None where a pipeline has no such file."""
    path = root / PARAMS_FILE
    return load_yaml(path) if path.exists() else None


def of_a_deployment() -> bool:
    """Whether a worker or a runner started this run, as it does each run of a deployment, and not a person."""
    context = FlowRunContext.get()
    return context is not None and context.flow_run is not None and context.flow_run.deployment_id is not None


@contextmanager
def overridden(root: Path, overrides: list[str], lock: RunLock) -> Iterator[None]:
    """Apply overrides: for this run where it was scheduled, and to keep where a person started it, as `dvc exp run -S` does."""
    if of_a_deployment():
        with temporary_overrides(root, overrides, _warn):
            yield
        if overrides:
            _warn(
                f"{PARAMS_FILE} was restored, but dvc.lock and the results are those of {', '.join(overrides)}; `dvc repro` brings "
                "the previous results back from the run-cache"
            )
    else:
        override_params(root, overrides)
        lock.tell_left(overrides)
        yield


def note_on(overrides: list[str]) -> str | None:
    """What the summary says of overrides."""
    if not overrides:
        return None
    scope = f"for this run only; {PARAMS_FILE} was restored" if of_a_deployment() else f"now in {PARAMS_FILE}"
    return f"{', '.join(f'`{override}`' for override in overrides)} ({scope})"


def conclusion(states: dict[str, State[Any]], found: str = "") -> State[Any]:
    """The flow's final state: the messages of the stages that failed, or what was done and found."""
    outcomes = {name: outcome(state) for name, state in states.items()}
    failures = [str(state.message) for state in states.values() if state.is_failed() or state.is_crashed()]
    if all(state.is_completed() for state in states.values()):
        done = ", ".join(f"{count} {done}" for done, count in Counter(outcomes.values()).items())
        return Completed(message="; ".join(filter(None, (done, found))), data=outcomes)
    return Failed(message="\n".join(failures) or "not every stage was run", data=outcomes)


def outcome(state: State[Any]) -> str:
    """`ran`, `restored`, `unchanged`, `failed`, or `not run` for a stage behind a failed one."""
    return "not run" if state.is_pending() else str(state.name).lower()


def _end(runs: dict[str, Any]) -> None:
    """End the stages that run, and wait until they have ended; a second Ctrl-C leaves at once."""
    _ending.set()
    get_run_logger().warning("interrupted; ending the stages that are running (press Ctrl-C again to leave at once)")
    previous = signal.signal(signal.SIGINT, _leave)
    try:
        end_stages()
        wait(list(runs.values()))
    finally:
        signal.signal(signal.SIGINT, previous)
        allow_stages()


def _leave(*_: object) -> None:
    """Without waiting for any thread; the stages and the temporary server end because their parent does."""
    os._exit(INTERRUPTED_EXIT_CODE)


def _shown(call: Callable[..., None], *arguments: Any) -> None:
    """What is shown on Prefect's pages may be missing there: an API that does not answer fails no run."""
    try:
        call(*arguments)
    except Exception as error:
        get_run_logger().warning(f"not shown on Prefect's pages: {error}")


def _origin() -> dict[str, str | None]:
    """Which flow run this is, and for when a schedule wanted it."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return {}
    wanted = context.flow_run.expected_start_time if context.flow_run.auto_scheduled else None
    return {"flow_run_id": str(context.flow_run.id), "scheduled": wanted.isoformat() if wanted else None}


def _calm_logs() -> None:
    """Keep out of the log what the states say: DVC's notes on its lock, and Prefect's two lines for each stage that failed or waits.

    DVC's own bars go too: one for each file that it looks at, among those of the stages. After DVC's import, which sets its level.
    """
    dvc = logging.getLogger("dvc")
    dvc.propagate = False
    dvc.setLevel(logging.WARNING)
    for bars in ("dvc.progress", "dvc_data.callbacks"):  # neither draws a bar where an error would not be logged
        logging.getLogger(bars).setLevel(logging.CRITICAL)
    logging.getLogger("prefect.task_runs").addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    return record.levelno < logging.ERROR or not record.getMessage().startswith(
        ("Task run failed with", "Finished in state NotReady")
    )


def main() -> int:
    """The command: the whole pipeline; `goodfit run` has the options."""
    from flows.terminal import run

    try:
        return run(lambda: training)
    except (GoodfitError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
