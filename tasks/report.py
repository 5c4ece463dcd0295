"""Stage `report`: all results on one page that can be mailed, printed and kept."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from tasks.contracts.findings import read_diagnosis
from tasks.contracts.results import CALIBRATION, EVALUATION, PER_CLASS, PREDICTIONS, read_table
from tasks.contracts.splits import FOLDER, read_dataset
from tasks.contracts.trained import read_description, read_history
from tasks.core.errors import ArtifactError
from tasks.core.files import missing, read_json, repair, whole
from tasks.core.settings import Section

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tasks.charts.page import Results

REPORT = Path("report/index.html")
OWN_DATA = ("image_folder", "arrays")  # the datasets that read `download.path`
STAGES = ("download", "preprocess", "train", "evaluate", "diagnose")


class Report(Section):
    most_wrong: int = Field(ge=0, le=200, default=24)  # pictures of the test images with the largest loss


class Params(Section):
    report: Report = Report()


def report(params: Params, root: Path = Path()) -> None:
    """Write `report/index.html` from what the other stages wrote.

    Raises:
        ArtifactError: a result is missing, damaged, or of another run than the rest.
    """
    from tasks.charts.page import render

    page = render(read_results(root, params.report.most_wrong))
    with whole(root / REPORT) as temporary:
        temporary.write_text(page, encoding="utf-8")


def read_results(root: Path, most_wrong: int) -> "Results":
    """Read every result; of the test images only those of the `most_wrong` predictions."""
    from tasks.charts.page import Results

    statements = {stage: _statement(root, stage) for stage in STAGES}
    dataset = read_dataset(root)
    per_class = read_table(root, PER_CLASS, "evaluate")
    if len(per_class) != len(dataset.classes):
        raise ArtifactError(
            f"{root / PER_CLASS} has {len(per_class)} classes and the dataset {len(dataset.classes)}: they are of different runs; "
            f"{repair('evaluate')}"
        )
    predictions = read_table(root, PREDICTIONS, "evaluate")
    wrong = predictions.sort_values(["loss", "row"], ascending=[False, True], kind="stable").head(most_wrong)
    return Results(
        dataset=dataset,
        model=read_description(root),
        evaluation=read_json(root / EVALUATION, "evaluate"),
        diagnosis=read_diagnosis(root),
        history=read_history(root),
        predictions=predictions,
        per_class=per_class,
        calibration=read_table(root, CALIBRATION, "evaluate"),
        most_wrong=wrong,
        images=_test_images(root, wrong["row"].to_numpy()),
        params=_used_params(statements),
        statements=statements,
    )


def _used_params(statements: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that the stages were really run with, as their statements have them."""
    used: dict[str, Any] = {}
    for statement in statements.values():
        used |= statement["predicate"]["buildDefinition"]["externalParameters"]["parameters"]
    if used["download"]["dataset"] not in OWN_DATA:
        used["download"] = {key: value for key, value in used["download"].items() if key != "path"}
    return used


def _statement(root: Path, stage: str) -> Any:
    """The lineage statement of a stage."""
    path = root / "lineage" / f"{stage}.json"
    statement = read_json(path, stage)
    try:
        _ = statement["subject"], statement["predicate"]["buildDefinition"]["externalParameters"]["parameters"]
    except (KeyError, TypeError):
        raise ArtifactError(f"{path} is no in-toto statement with SLSA provenance: {repair(stage)}") from None
    return statement


def _test_images(root: Path, rows: "NDArray[np.int64]") -> "NDArray[np.uint8]":
    """The test images (M, C, H, W) uint8 of these rows of the source, read one by one.

    Through numpy, not `read_split`: importing torch would take longer than all the rest.
    """
    import numpy as np
    from safetensors import SafetensorError, safe_open

    path = root / FOLDER / "test.safetensors"
    if not path.exists():
        raise missing(path, "preprocess")
    try:
        with safe_open(path, framework="np") as file:
            positions = {int(row): position for position, row in enumerate(file.get_tensor("rows"))}
            images = file.get_slice("images")
            found = [images[positions[int(row)]] for row in rows]
            return np.stack(found) if found else np.empty((0, *images.get_shape()[1:]), np.uint8)
    except SafetensorError as error:
        raise ArtifactError(f"{path} is damaged ({error}): {repair('preprocess')}") from None
    except KeyError as error:
        raise ArtifactError(
            f"{path} has no row {error}, which is predicted: they are of different runs; {repair('evaluate')}"
        ) from None
