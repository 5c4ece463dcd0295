"""The metrics that dvc.yaml declares, and how they differ from those of the run before."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.git import git_or_none
from flows.repository import PIPELINE_FILE
from tasks.core.settings import load_yaml

Values = dict[str, Any]


@dataclass(frozen=True)
class Previous:
    """The metrics that a run is compared with, by file, and where they come from."""

    values: dict[str, Values]
    source: str  # in words: "the values before this run" or "the last commit"


@dataclass(frozen=True)
class Metric:
    """A metric with its interval, and its value in the run before; None where it is not known."""

    name: str
    value: float
    low: float | None
    high: float | None
    before: float | None

    @property
    def change(self) -> float | None:
        return None if self.before is None else self.value - self.before

    def __str__(self) -> str:
        """`accuracy 0.9629 (0.19 percentage points higher than before)`."""
        return f"{self.name} {self.value:.4f}" + (f" ({self.comparison})" if self.comparison else "")

    @property
    def comparison(self) -> str:
        """How it differs from the value before, with its unit; empty where there is none. Without an interval it is not judged."""
        if self.change is None:
            return ""
        unit = f"{abs(self.change) * 100:.2f} percentage points" if self.name == "accuracy" else f"{abs(self.change):.4f}"
        if not any(digit in unit for digit in "123456789"):
            return "as before"
        return f"{unit} {'higher' if self.change > 0 else 'lower'} than before"


def metric_files(root: Path) -> dict[str, str]:
    """Each JSON file that a stage of dvc.yaml declares as metrics, with the stage."""
    stages = load_yaml(root / PIPELINE_FILE).get("stages") or {}
    return {path: str(name) for name, stage in stages.items() if isinstance(stage, dict) for path in _declared(stage)}


def read_metrics(root: Path) -> dict[str, Values]:
    """The metrics in the working tree, by file; a file that is missing or damaged is left out."""
    found = {path: _parsed(_text(root / path)) for path in metric_files(root)}
    return {path: values for path, values in found.items() if values}


def previous_metrics(root: Path) -> Previous:
    """Call before the run: the metrics of the working tree, and those of the last commit for a file that is not there."""
    here = read_metrics(root)
    if here:
        return Previous(here, "the values before this run")
    committed = {path: _parsed(_committed(root, path)) for path in metric_files(root)}
    return Previous({path: values for path, values in committed.items() if values}, "the last commit")


def metrics(values: Values, before: Values) -> list[Metric]:
    """The numbers of one file; `accuracy_ci_low` and `accuracy_ci_high` are the interval of `accuracy`, and `n` is no metric."""
    parts = {f"{name}{end}" for name in values for end in ("_ci_low", "_ci_high")} | {"n"}
    return [
        Metric(
            name,
            value,
            _number(values.get(f"{name}_ci_low")),
            _number(values.get(f"{name}_ci_high")),
            _number(before.get(name)),
        )
        for name, value in values.items()
        if name not in parts and _number(value) is not None
    ]


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _declared(stage: dict[str, Any]) -> Iterator[str]:
    for item in stage.get("metrics") or []:
        path = next(iter(item)) if isinstance(item, dict) else item
        if isinstance(path, str) and path.endswith(".json"):
            yield path


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _committed(root: Path, path: str) -> str:
    return (git_or_none(root, "show", f"HEAD:./{path}") or b"").decode(errors="replace")


def _parsed(text: str) -> Values:
    try:
        values = json.loads(text)
    except ValueError:
        return {}
    return dict(_flat(values)) if isinstance(values, dict) else {}


def _flat(values: Values, before: str = "") -> Iterator[tuple[str, Any]]:
    """Nested values under dotted names, as `dvc metrics show` has them."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value
