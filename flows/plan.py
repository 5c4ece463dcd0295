"""What a run would do: `goodfit run --dry-run`. Nothing is changed."""

from collections.abc import Sequence
from pathlib import Path

from flows.lineage.reading.forecast import Forecast, forecast
from flows.parameters.overrides import overridden_params
from flows.selection import chosen_stages, pipeline


def plan(root: Path, stages: Sequence[str] | None, force: bool, overrides: Sequence[str]) -> list[Forecast]:
    """Each stage that was asked for, with those it depends on, in the order in which they would run.

    Raises:
        GoodfitError: there is no such stage, or the parameters are not valid.
    """
    graph = pipeline(root)
    params = overridden_params(root, overrides) if overrides else None
    return list(forecast(root, graph, chosen_stages(graph, stages), force, params).values())
