"""The model card, read back by Hugging Face's own library."""

import json
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from flows.lineage.export.formats import model_card
from flows.lineage.export.recorded import Recorded, read_recorded
from flows.lineage.statement import flat, shown
from tasks.contracts.statement import Statement
from tests.conftest import Project

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def card(recorded: Recorded, tmp_path_factory: pytest.TempPathFactory) -> Any:
    file = tmp_path_factory.mktemp("card") / "README.md"
    model_card.export(recorded, str(file))
    return ModelCard.load(file)  # raises where the front matter or the model-index is not as the Hub reads it


def test_the_hub_reads_every_metric_with_its_interval(recorded: Recorded, card: Any) -> None:
    evaluation = json.loads((recorded.root / "metrics/evaluation.json").read_text())
    results = card.data.eval_results
    assert {result.metric_type: result.metric_value for result in results} == evaluation
    assert {(result.task_type, result.dataset_name, result.dataset_split) for result in results} == {
        ("image-classification", "digits", "test")
    }
    names = {result.metric_type: result.metric_name for result in results}
    assert names["accuracy_ci_low"] == "Lower end of the 95 % confidence interval of accuracy"


def test_the_front_matter_states_what_is_known_and_no_license(card: Any) -> None:
    assert card.data.model_name == "mlp on digits"
    assert (card.data.datasets, card.data.pipeline_tag) == (["digits"], "image-classification")
    assert card.data.metrics == ["accuracy", "macro_f1", "log_loss", "ece"]
    assert card.data.license is None


def test_the_page_has_verdict_checks_parameters_data_and_environment(recorded: Recorded, card: Any) -> None:
    diagnosis = json.loads((recorded.root / "results/diagnosis.json").read_text())
    text = card.text
    assert f"**Verdict: {diagnosis['verdict'].replace('_', ' ')}.**" in text
    for finding in diagnosis["findings"]:
        assert f"| {finding['title']} | " in text
    for key, value in flat(recorded.stages["train"].resolved).items():
        assert f"| `{key}` | `{shown(value)}` |" in text
    for path, digest in {**recorded.stages["download"].outputs, **recorded.stages["preprocess"].outputs}.items():
        if path.endswith((".gz", ".safetensors")):
            assert f"`{digest.sha256}`" in text, path
    assert f"| torch | {dict(recorded.packages)['torch']} |" in text
    assert f"`{recorded.own['train'].sha256}`" in text
    assert recorded.commit is not None
    assert recorded.commit.id in text


def test_the_same_record_gives_the_same_bytes_in_another_folder(recorded: Recorded, ran: Project, tmp_path: Path) -> None:
    model_card.export(recorded, str(tmp_path / "here.md"))
    ran.run("goodfit", "lineage", "export", "--format", "model-card", "-o", str(tmp_path / "there.md"))
    assert (tmp_path / "here.md").read_bytes() == (tmp_path / "there.md").read_bytes()


def test_metrics_of_another_file_than_the_model_say_so(recorded: Recorded, tmp_path: Path) -> None:
    scored = "models/compressed/quantize/model.onnx"
    document = json.loads((recorded.root / "lineage/evaluate.json").read_text())
    document["predicate"]["buildDefinition"]["internalParameters"]["resolvedParameters"]["evaluate"]["model"] = scored
    evaluate = Statement.model_validate_json(json.dumps(document))
    model_card.export(
        Recorded(recorded.root, {**recorded.stages, "evaluate": evaluate}, recorded.own), str(tmp_path / "README.md")
    )
    card: Any = ModelCard.load(tmp_path / "README.md")
    assert all(result.metric_name.endswith(f" of {scored}") for result in card.data.eval_results)
    assert f"`{scored}`, on 539 test images:" in card.text


def test_a_record_that_is_not_committed_says_that_nothing_anchors_it(ran: Project, tmp_path: Path) -> None:
    with (ran.root / "dvc.lock").open("a") as lock:
        lock.write("\n")
    model_card.export(read_recorded(ran.root), str(tmp_path / "README.md"))
    assert "no commit anchors this record" in (tmp_path / "README.md").read_text()
