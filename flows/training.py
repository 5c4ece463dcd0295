"""The training flow: download → preprocess → train → evaluate ∥ diagnose → report, each through the gate.

DVC decides what has to run; Prefect orders, retries, schedules and watches.
"""

import logging
import sys
from collections import Counter
from collections.abc import Sequence
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

from flows.declaration import DeclarationError, read_declarations, upstream
from flows.gate import allow_stages, end_stages, pass_gate
from flows.lineage.journal import Outcome, journaled
from flows.overrides import override_params
from flows.params import check_params
from flows.publishing import publish
from tasks.core.errors import GoodfitError
from tasks.core.settings import PARAMS_FILE, load_yaml
from tasks.sources.fetching import DownloadError

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
        stages: these and what they depend on, as `dvc repro STAGE` does; null or none for all.
        force: run them though nothing changed.
        overrides: changes of params.yaml, as `dvc exp run -S` takes them: `train.optimizer.learning_rate=0.01`.
    """
    root = Path.cwd()
    try:
        chosen = with_upstream(root, stages)
        override_params(root, overrides)
        check_params(root)
        params = load_yaml(root / PARAMS_FILE)
    except (GoodfitError, OSError) as error:
        return Failed(message=str(error))

    runs: dict[str, Any] = {}
    try:
        for name in chosen:
            earlier = [runs[before] for before in AFTER[name]]
            runs[name] = stage_task(name).submit(name, force, params, wait_for=earlier, return_state=False)
        wait(list(runs.values()))
    except KeyboardInterrupt:
        end_stages()
        wait(list(runs.values()))
        allow_stages()
        return Cancelled(message="interrupted")
    except TerminationSignal:  # of a worker or of `kill`: Prefect knows what it means
        end_stages()
        wait(list(runs.values()))
        allow_stages()
        raise
    states = {name: run.state for name, run in runs.items()}
    publish(root, [name for name, state in states.items() if state.is_completed()])
    return conclusion(states)


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="{name}")
def stage(name: str, force: bool, params: dict[str, Any]) -> State[Any]:
    """One stage through the gate. The state says what was done: Unchanged, Restored, Ran, or Failed with the stage's message.

    `params` are those that the run began with: with others it would do what it was not asked for.
    """
    from dvc.exceptions import DvcException

    _calm_logs()
    root = Path.cwd()
    try:
        if load_yaml(root / PARAMS_FILE) != params:
            raise GoodfitError(f"{name}: {PARAMS_FILE} changed since this run began; what had finished is kept: run it again")
        with journaled(root, name, door="flow", **_origin()) as entry:
            entry.outcome = pass_gate(name, root, force=force, say=get_run_logger().info, output=get_run_logger().info)
    except (GoodfitError, DvcException, OSError) as error:
        message = str(error)
        return Failed(message=message if message.startswith(f"{name}:") else f"{name}: {message}", data=error)
    except KeyboardInterrupt:
        return Cancelled(message=f"{name}: interrupted")
    return Completed(name=STATES[entry.outcome])


def stage_task(name: str) -> Task[[str, bool, dict[str, Any]], State[Any]]:
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
    if not stages:
        return list(AFTER)
    unknown = [name for name in stages if name not in AFTER]
    if unknown:
        raise DeclarationError(f"unknown stage '{unknown[0]}'; the flow has {', '.join(AFTER)}")

    return upstream(read_declarations(root), *stages)


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


def _origin() -> dict[str, str | None]:
    """Which flow run this is, and for when a schedule wanted it."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return {}
    wanted = context.flow_run.expected_start_time if context.flow_run.auto_scheduled else None
    return {"flow_run_id": str(context.flow_run.id), "scheduled": wanted.isoformat() if wanted else None}


def _calm_logs() -> None:
    """The task's state says what was done: DVC need not say on two handlers that it updates its lock, nor Prefect each failure
    twice and once more for every stage behind it.

    After DVC's import, which sets its own level.
    """
    dvc = logging.getLogger("dvc")
    dvc.propagate = False
    dvc.setLevel(logging.WARNING)
    logging.getLogger("prefect.task_runs").addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    return record.levelno < logging.ERROR or not record.getMessage().startswith(
        ("Task run failed with", "Finished in state NotReady")
    )


def main() -> int:
    """The command: the whole pipeline; `goodfit run` has the options."""
    from flows.terminal import run

    try:
        return run()
    except (GoodfitError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
