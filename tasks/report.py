"""Stage `report`: all results on one self-contained HTML page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from tasks.contracts.compressed import COMPRESSION, read_compression
from tasks.contracts.explanations import EXPLANATIONS, HEAT_MAPS, read_explanations
from tasks.contracts.findings import DIAGNOSIS, read_diagnosis
from tasks.contracts.results import CALIBRATION, EVALUATION, PER_CLASS, PREDICTIONS, read_table
from tasks.contracts.splits import FOLDER, ROWS, read_dataset, read_rows
from tasks.contracts.statement import FOLDER as LINEAGE
from tasks.contracts.statement import Statement, read_statements, upstream
from tasks.contracts.trained import DYNAMICS, HISTORY, MODEL, read_description, read_history, read_margins, read_range_test
from tasks.core.errors import ArtifactError
from tasks.core.files import missing, read_json, repair, whole
from tasks.core.settings import Section
from tasks.core.tensors import read_arrays

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tasks.charts.page import Results

REPORT = Path("report/index.html")
TEST, TRAIN = FOLDER / "test.safetensors", FOLDER / "train.safetensors"
# What the page is made from, and the stage that writes it; the lineage of these files is shown.
SOURCES = {
    FOLDER / "dataset.json": "preprocess",
    ROWS: "preprocess",
    TEST: "preprocess",
    TRAIN: "preprocess",
    MODEL: "train",
    HISTORY: "train",
    DYNAMICS: "train",
    EVALUATION: "evaluate",
    PREDICTIONS: "evaluate",
    PER_CLASS: "evaluate",
    CALIBRATION: "evaluate",
    EXPLANATIONS: "explain",
    HEAT_MAPS: "explain",
    DIAGNOSIS: "diagnose",
    COMPRESSION: "compress",
}


class Report(Section):
    """What the page shows."""

    most_wrong: int = Field(ge=0, le=200, default=24)  # pictures of the misclassified test images with the largest loss


class Params(Section):
    report: Report = Report()


def report(params: Params, root: Path = Path()) -> None:
    """Write `report/index.html` from the results of the other stages.

    Raises:
        ArtifactError: a result is missing, damaged, or from another run than the rest.
    """
    from tasks.charts.page import render

    page = render(read_results(root, params.report.most_wrong))
    with whole(root / REPORT) as temporary:
        temporary.write_text(page, encoding="utf-8")


def read_results(root: Path, most_wrong: int) -> "Results":
    """Read every result, and the test images of the `most_wrong` misclassified predictions with the largest loss."""
    from tasks.charts.page import Results
    from tasks.charts.sheets import leaks, suspects, training_candidates

    statements = _statements(root)
    dataset = read_dataset(root)
    per_class = read_table(root, PER_CLASS, "evaluate")
    if len(per_class) != len(dataset.classes):
        raise ArtifactError(
            f"{root / PER_CLASS} has {len(per_class)} classes and the dataset {len(dataset.classes)}: they come from different runs; "
            f"{repair('evaluate')}"
        )
    predictions = read_table(root, PREDICTIONS, "evaluate")
    wrong = predictions[predictions["label"] != predictions["predicted"]]
    wrong = wrong.sort_values(["loss", "row"], ascending=[False, True], kind="stable").head(most_wrong)
    explanations, heat_maps = read_explanations(root)
    diagnosis = read_diagnosis(root)
    suspicious, leaked = suspects(diagnosis), leaks(diagnosis)
    recorded, margins = read_margins(root)
    near = [leak.train_row for leak in leaked if leak.train_row is not None]
    return Results(
        dataset=dataset,
        model=read_description(root),
        evaluation=read_json(root / EVALUATION, "evaluate"),
        diagnosis=diagnosis,
        compression=read_compression(root),
        history=read_history(root),
        range_test=read_range_test(root),
        margins=margins,
        candidates=_recorded(root, recorded, training_candidates(diagnosis)),
        predictions=predictions,
        per_class=per_class,
        calibration=read_table(root, CALIBRATION, "evaluate"),
        most_wrong=wrong,
        images=_images(root / TEST, wrong["row"].tolist(), "evaluate"),
        suspects=suspicious,
        suspect_images=_images(root / TEST, [suspect.row for suspect in suspicious], "diagnose"),
        leaks=leaked,
        leaked_images=_images(root / TEST, [leak.row for leak in leaked], "diagnose"),
        near_images=_images(root / TRAIN, near, "diagnose"),
        explanations=explanations,
        heat_maps=heat_maps,
        paths=read_rows(root).set_index(["split", "row"])["path"],
        explained=_images(root / TEST, [image.row for image in explanations.images], "explain"),
        params=_resolved(statements),
        statements=statements,
    )


def _statements(root: Path) -> list[Statement]:
    """The statements of every stage that the page's sources come from, each after those whose outputs it reads.

    Raises:
        ArtifactError: a statement is damaged, or there is none for a source.
    """
    statements = read_statements(root)
    known = {name for statement in statements for name in statement.outputs}
    for path, stage in SOURCES.items():
        if path.as_posix() not in known:
            raise missing(root / LINEAGE / f"{stage}.json", stage)
    return upstream(statements, (path.as_posix() for path in SOURCES))


def _resolved(statements: Sequence[Statement]) -> dict[str, Any]:
    """The parameters that the stages were run with, defaults included."""
    used: dict[str, Any] = {}
    for statement in statements:
        used = _merged(used, statement.resolved)
    return used


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Both mappings in one, nested ones too; two stages may read different parts of a section."""
    both = {**one, **other}
    nested = {key for key in one.keys() & other.keys() if isinstance(one[key], Mapping) and isinstance(other[key], Mapping)}
    return {key: _merged(one[key], other[key]) if key in nested else value for key, value in both.items()}


def _recorded(root: Path, positions: "NDArray[np.int64]", rows: Sequence[int]) -> "NDArray[np.intp]":
    """Places of these rows of train among the recorded ones, whose positions in train are given."""
    import numpy as np

    numbers = read_arrays(root / TRAIN, "preprocess", ("rows",))["rows"]
    try:
        return np.flatnonzero(np.isin(numbers[positions], rows))
    except IndexError:
        raise ArtifactError(
            f"{root / DYNAMICS} records more images than {root / TRAIN} has: they come from different runs; {repair('train')}"
        ) from None


def _images(path: Path, rows: Sequence[int], stage: str) -> "NDArray[np.uint8]":
    """The images (M, C, H, W) uint8 of the split at `path` with the row numbers that `stage` names, read one by one; none for no rows.

    With numpy instead of `read_split`, because importing torch would take longer than everything else here.
    """
    import numpy as np
    from safetensors import SafetensorError, safe_open

    if not rows:
        return np.empty((0, 1, 1, 1), np.uint8)
    if not path.exists():
        raise missing(path, "preprocess")
    try:
        with safe_open(path, framework="np") as file:
            positions = {int(row): position for position, row in enumerate(file.get_tensor("rows"))}
            images = file.get_slice("images")
            return np.stack([images[positions[row]] for row in rows])
    except SafetensorError as error:
        raise ArtifactError(f"{path} is damaged ({error}): {repair('preprocess')}") from None
    except KeyError as error:
        raise ArtifactError(
            f"{path} has no row {error}, which the stage '{stage}' names: they come from different runs; {repair(stage)}"
        ) from None
