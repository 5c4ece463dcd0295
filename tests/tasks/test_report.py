"""The report: written whole from the other stages' files, the same bytes each time, and readable in a browser."""

import copy
import json
import shutil
from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tasks.contracts.compressed import Compression, Difference, Entry, write_compression
from tasks.contracts.explanations import Explanations, write_explanations
from tasks.contracts.findings import Diagnosis, Finding, Remedy, write_diagnosis
from tasks.contracts.results import CALIBRATION, EVALUATION, PER_CLASS, PREDICTIONS, write_table
from tasks.contracts.splits import Dataset, Split, write_dataset, write_rows, write_split
from tasks.contracts.trained import Dynamics, Epoch, TrainedModel, write_dynamics, write_history, write_model
from tasks.core.components import Component
from tasks.core.errors import ArtifactError
from tasks.core.files import write_json
from tasks.report import REPORT, Params, Report, report

DIGITS = [str(digit) for digit in range(10)]
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "$\\frac{",
    "{{ 7 * 7 }}",
    "猫",
    "NA",
    "a\x01b",
    "&amp;",
    "x" * 200,
    " ",
]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None)
ARGS = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update"


def write_results(
    root: Path,
    classes: Sequence[str] = DIGITS,
    *,
    validation: bool = True,
    tests: int = 360,
    smaller: bool = False,
    automatic: bool = False,
    suspicious: bool = False,
    files: bool = False,
) -> Path:
    """Plausible results of a whole run, written as the stages write them; about 9 % of the test images are misclassified."""
    random = np.random.default_rng(0)
    labels = np.arange(tests) % len(classes)
    predicted = np.where(random.random(tests) < 0.09, (labels + random.integers(1, len(classes), tests)) % len(classes), labels)
    root.mkdir(exist_ok=True, parents=True)
    write_data(root, classes, labels, random, validation=validation)
    write_rows(root, named_rows(tests) if files else [])
    write_training(root, classes, validation=validation)
    write_recorded(root, automatic=automatic)
    write_evaluation(root, classes, labels, predicted, random)
    write_explained(root, random)
    write_diagnosis(root, suspicious_diagnosis(tests) if suspicious else diagnosis(tests))
    write_compression(root, compression(smaller=smaller))
    for stage, inputs, outputs in CHAIN:
        write_json(root / f"lineage/{stage}.json", statement(stage, inputs, outputs))
    return root


PARAMS = {
    "seed": 0,
    "threads": 2,
    "download": {"dataset": {"name": "digits"}, "path": "data/source"},
    "preprocess": {"val_fraction": 0.2, "test_fraction": 0.2},
    "train": {
        "epochs": 30,
        "model": {"name": "mlp", "hidden": [64]},
        "loss": {"name": "cross_entropy"},
        "optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9},
        "early_stopping": {"enabled": False, "patience": 5, "min_delta": 0.0},
    },
    "evaluate": {"confidence": 0.95, "calibration_bins": 15},
    "explain": {"images": 3, "methods": [{"name": "saliency"}, {"name": "occlusion", "window": 0.25}]},
}


def write_data(root: Path, classes: Sequence[str], labels: Any, random: np.random.Generator, *, validation: bool) -> None:
    def counts(total: int) -> list[int]:
        return [len(range(first, total, len(classes))) for first in range(len(classes))]

    splits = {"train": counts(1150), "val": counts(287 if validation else 0), "test": counts(len(labels))}
    shape = (1, 8, 8)
    dataset = {"name": "digits", "classes": classes, "shape": shape, "mean": [0.305], "deviation": [0.376], "counts": splits}
    write_dataset(root, Dataset.model_validate({**dataset, "rows": "rows of the source file, from 0"}))
    images = torch.from_numpy(random.integers(0, 255, (len(labels), *shape), np.uint8))
    write_split(root, "test", Split(images, torch.from_numpy(labels), torch.arange(len(labels)) * 3 + 7))
    some = torch.from_numpy(random.integers(0, 255, (10, *shape), np.uint8))
    write_split(root, "train", Split(some, torch.zeros(10, dtype=torch.int64), torch.arange(10)))


def named_rows(tests: int) -> list[tuple[str | int, ...]]:
    """Of a source that numbers the rows of each split from 0, with names that a page could stumble over."""
    test = [("test", 3 * position + 7, f"held out/<b>{3 * position + 7}.png", "") for position in range(tests)]
    return [*(("train", row, f"a-long-folder-without-a-space/{row}.png", "") for row in range(10)), *test]


def write_training(root: Path, classes: Sequence[str], *, validation: bool) -> None:
    def epoch(number: int) -> Epoch:
        train, val = 1.9 * 0.8**number + 0.004, 1.9 * 0.8**number + 0.11 + 0.004 * number
        held_out = (val, 1 - val / 4) if validation else (None, None)
        return Epoch(number, number * 36, 0.1, train, train, 1 - train / 4, *held_out)

    write_history(root, [epoch(number) for number in range(1, 31)])
    chosen = (
        {"chosen_epoch": 18, "chosen_by": "lowest val_loss"} if validation else {"chosen_epoch": 30, "chosen_by": "last epoch"}
    )
    described = {"classes": classes, "mean": [0.305], "deviation": [0.376], "epochs": 30, **chosen}
    choice = Component("tasks.models").choose({"name": "mlp", "hidden": [64]})
    model = TrainedModel.model_validate({**described, "model": choice, "shape": (1, 8, 8)})
    write_model(root, model, {"weight": torch.zeros(1)})


def write_recorded(root: Path, *, automatic: bool) -> None:
    """What the report reads of the dynamics: margins of the ten training images over 30 epochs, and a range test that explodes."""
    nothing = torch.zeros(0)
    margins = torch.arange(30)[:, None] / 10 + torch.arange(10) - 3
    found: dict[str, torch.Tensor] = {}
    if automatic:
        rates, progress = torch.logspace(-7, 0, 300, dtype=torch.float64), torch.arange(300, dtype=torch.float64) / 300
        losses = 2.3 - 2 * torch.sigmoid(30 * (progress - 0.7)) + 1e-3 * torch.exp(60 * (progress - 0.85))
        found = {"range_test_rates": rates, "range_test_losses": losses, "range_test_chosen": torch.tensor([0.00123]).double()}
    write_dynamics(root, Dynamics(torch.arange(10), margins.half(), *[nothing] * 6, **found))


def write_evaluation(root: Path, classes: Sequence[str], labels: Any, predicted: Any, random: np.random.Generator) -> None:
    right, total = labels == predicted, len(labels)
    confidence = np.clip(np.where(right, 1 - random.exponential(0.05, total), random.uniform(0.4, 0.95, total)), 0.3, 0.999)
    loss = np.where(right, -np.log(confidence), random.uniform(1, 6, total))
    table = pd.DataFrame(
        {"row": np.arange(total) * 3 + 7, "label": labels, "predicted": predicted, "confidence": confidence, "loss": loss}
    )
    others = (1 - confidence) / max(len(classes) - 1, 1)
    each = {f"probability_{number}": np.where(predicted == number, confidence, others) for number in range(len(classes))}
    write_table(root, PREDICTIONS, pd.concat([table, pd.DataFrame(each)], axis=1))
    accuracy = {"accuracy": float(right.mean()), "accuracy_ci_low": 0.9123, "accuracy_ci_high": 0.9617}
    log_loss = {"log_loss": 0.2314, "log_loss_ci_low": 0.1712, "log_loss_ci_high": 0.2988}
    write_json(root / EVALUATION, {"n": total, **accuracy, "macro_f1": 0.9413, **log_loss, "ece": 0.0437})
    rows = []
    for number, name in enumerate(classes):
        mine = labels == number
        recall = float(right[mine].mean())
        bounds = (max(0.0, recall - 0.09), min(1.0, recall + 0.05))
        rows.append((name, int(mine.sum()), int(right[mine].sum()), 0.95, recall, *bounds))
    columns = ["class", "n", "correct", "precision", "recall", "recall_ci_low", "recall_ci_high"]
    write_table(root, PER_CLASS, pd.DataFrame(rows, columns=columns))
    write_table(root, CALIBRATION, bins(confidence, right))


def write_explained(root: Path, random: np.random.Generator) -> None:
    """The first four predictions: two of them most certain, one least certain, and one that is both that and most wrong."""
    table = pd.read_parquet(root / PREDICTIONS, columns=["row", "label", "predicted", "confidence", "loss"]).head(4)
    similarity = {"rank_correlation": 0.12, "rank_correlation_absolute": 0.34, "ssim": 0.56, "pairs": 12}
    methods = [
        {"name": name, "settings": {}, "meaning": f"what {name} means", "signed": name != "saliency", "similarity": similarity,
         "status": status, "summary": f"The check of {name} says this."}
        for name, status in (("saliency", "pass"), ("integrated_gradients", "fail"), ("occlusion", "not_run"))
    ]  # fmt: skip
    explanations = {
        "images": table.to_dict("records"),
        "groups": {"most certain": [0, 1], "least certain": [2, 3], "most wrong": [3]},
        "methods": methods,
        "randomisations": 3,
        "max_similarity": 0.5,
    }
    maps = {str(method["name"]): random.normal(size=(4, 8, 8)).astype(np.float32) for method in methods}
    write_explanations(root, Explanations.model_validate(explanations), maps)


def bins(confidence: Any, right: Any) -> pd.DataFrame:
    table = pd.DataFrame({"bin": np.minimum(confidence * 10 // 1, 9), "confidence": confidence, "right": right})
    grouped = (
        table.groupby("bin")
        .agg(n=("right", "size"), confidence=("confidence", "mean"), accuracy=("right", "mean"))
        .reset_index()
    )
    spread = 0.9 / np.sqrt(grouped["n"])
    return pd.DataFrame({
        "bin_low": grouped["bin"] / 10, "bin_high": grouped["bin"] / 10 + 0.1, "n": grouped["n"], "confidence": grouped["confidence"],
        "accuracy": grouped["accuracy"], "accuracy_ci_low": (grouped["accuracy"] - spread).clip(0),
        "accuracy_ci_high": (grouped["accuracy"] + spread).clip(upper=1),
    })  # fmt: skip


def finding(code: str, title: str, status: str, **more: Any) -> Finding:
    empty = dict.fromkeys(("estimate", "ci_low", "ci_high", "p_value", "p_holm", "mde", "remedy"))
    words = {
        "definition": f"What {title.lower()} means.",
        "unit": "nats",
        "summary": f"What {title.lower()} says.",
        "estimand": "Mean paired difference in log-loss.",
        "method": "Paired bootstrap",
    }
    return Finding.model_validate(
        {"code": code, "title": title, **words, **empty, "n": 287, "evidence": {}, "status": status, **more}
    )


def diagnosis(tests: int) -> Diagnosis:
    early = Remedy(
        action="Stop early: restore epoch 18",
        expected_gain=0.042,
        ci=(0.019, 0.066),
        unit="nats",
        basis="records",
        source="Cross-fitted difference.",
    )
    return Diagnosis(
        verdict="overtrained",
        headline="Training past epoch 18 cost 0.042 nats of log-loss on held-out data; stopping there would give it back.",
        flags=["overtrained", "overconfident"],
        answered=["leakage", "underfit", "overtrained"],
        confidence=0.95,
        findings=[
            finding("integrity", "Leakage between splits", "pass", estimate=0, ci_low=0.0, ci_high=0.0083, n=tests, unit="fraction",
                    evidence={"rows": [1, 2]}),
            finding("performance", "Test performance", "pass", estimate=0.9417, ci_low=0.9123, ci_high=0.9617, n=tests, mde=0.02,
                    unit="fraction"),
            finding("overtrained", "Trained past the optimum", "flag", estimate=0.042, ci_low=0.019, ci_high=0.066, p_value=0.0004,
                    p_holm=0.002, mde=0.021, remedy=early, verdict="overtrained", reference=0.05,
                    reference_name="smallest that matters", evidence={"chosen_epoch": 18, "last_epoch": 30}),
            finding("gap", "Generalization gap", "info", estimate=-0.0031, ci_low=-0.019, ci_high=0.0128, mde=0.045),
            finding("data_limited", "Would more data help?", "not_run", n=0),
        ],
    )  # fmt: skip


def suspicious_diagnosis(tests: int) -> Diagnosis:
    """Leaked images, an exact copy and two near duplicates, and wrong labels; every check has a picture to show."""
    keep = Remedy(
        action="Keep copies in one split.", expected_gain=None, ci=None, unit=None, basis="literature", source="Distances."
    )
    candidates = {"rows": [7, 10, 13], "given_classes": [0, 1, 1], "suggested_classes": [1, 0, 0], "margin": [-9.5, -1.25, 0.5]}
    found = diagnosis(tests)
    return found.model_copy(update={
        "verdict": "leakage", "flags": ["leakage", "label_noise"],
        "headline": "Images leaked. Fix: keep copies in one split.\nAlso flagged: label noise.",
        "findings": [
            finding("integrity", "Exact duplicates", "flag", n=tests, unit="fraction", estimate=0.003, verdict="leakage", minor=True,
                    remedy=keep, evidence={"leaked_test_rows": [19]}),
            finding("near_duplicates", "Near duplicates", "flag", n=tests, unit="fraction", estimate=0.006, verdict="leakage",
                    remedy=keep, evidence={"leaked_test_rows": [10, 16], "training_rows_they_are_near_to": [3, 9]}),
            finding("label_noise", "Wrong labels", "flag", n=tests, unit="fraction", estimate=0.1, ci_low=0.07, ci_high=0.13,
                    reference=0.02, reference_name="smallest that matters", verdict="label_noise",
                    evidence={f"test_candidate_{name}": values for name, values in candidates.items()}
                    | {"train_candidate_rows": [2, 5]}),
            finding("calibration", "Calibration", "flag", estimate=0.07, ci_low=0.03, ci_high=0.16, reference=0.05,
                    reference_name="smallest that matters", verdict="overconfident", evidence={"temperature": 2.5}),
            finding("membership", "Membership inference", "pass", estimate=0.55, ci_low=0.5, ci_high=0.6, unit="fraction",
                    evidence={"roc_false_positive_rates": [0.0, 0.5, 1.0], "roc_true_positive_rates": [0.0, 0.7, 1.0]}),
            *found.findings[1:],
        ],
    })  # fmt: skip


def compression(*, smaller: bool) -> Compression:
    """Nothing that was asked for; or the original, a model that is as good, one that may not be, and one that is worse."""
    found = Compression(confidence=0.95, margin_accuracy=0.02, margin_nats=0.05, n=360)

    def entry(name: str, high: float | None = None, low: float = -0.005) -> Entry:
        errors = None if high is None else Difference(estimate=0.004, low=low, high=high, within_margin=high < 0.02)
        nats = None if high is None else Difference(estimate=0.01, low=-0.01, high=0.03, within_margin=True)
        sizes = {"model.onnx": 20_604, "model.pt2": 36_295} if high is None else {"model.onnx": 9_599}
        return Entry(
            name=name, options={"amount": 0.5}, bytes=sizes, deflated_bytes=8_123, parameters=4_810, nonzero=4_777, multiply_adds=4_736,
            largest_difference=dict.fromkeys(sizes, 1.2e-5), accuracy=0.9417, log_loss=0.2314, error_difference=errors,
            log_loss_difference=nats, words="" if high is None else f"What is said of {name}.",
        )  # fmt: skip

    models = [entry("original"), entry("quantize", 0.011), entry("prune", 0.024), entry("distill", 0.06, 0.003)]
    return found.model_copy(update={"models": models if smaller else []})


CHAIN = (
    ("download", ["tasks/download.py"], ["data/raw/digits.npz"]),
    (
        "preprocess",
        ["data/raw/digits.npz", "tasks/preprocess.py"],
        [f"data/processed/{name}" for name in ("train.safetensors", "test.safetensors", "dataset.json", "rows.csv")],
    ),
    (
        "train",
        ["data/processed/train.safetensors", "tasks/train.py"],
        ["models/model.json", "models/model.safetensors", "results/dynamics.safetensors", "results/history.csv"],
    ),
    (
        "evaluate",
        ["models/model.safetensors", "data/processed/test.safetensors"],
        ["metrics/evaluation.json", "results/predictions.parquet", "results/per_class.csv", "results/calibration.csv"],
    ),
    (
        "explain",
        ["models/model.safetensors", "results/predictions.parquet"],
        ["results/explanations.json", "results/explanations.safetensors"],
    ),
    ("diagnose", ["models/model.safetensors", "requirements.lock"], ["results/diagnosis.json"]),
    ("compress", ["models/model.safetensors"], ["results/compression.json", "models/compressed/models.json"]),
)
STAGES = [stage for stage, _, _ in CHAIN]


def statement(stage: str, inputs: Sequence[str], outputs: Sequence[str]) -> dict[str, Any]:
    def described(names: Sequence[str]) -> list[dict[str, Any]]:
        return [{"name": name, "digest": {"sha256": sha256(name.encode()).hexdigest(), "md5": "0" * 32}} for name in names]

    environment = {"python": "3.11.2", "torch": "2.15.0", "platform": "linux-x86_64", "threads": 2}
    params = {key: value for key, value in PARAMS.items() if key in (stage, "seed", "threads")}
    resolved: Any = copy.deepcopy(params)
    if stage == "train":
        resolved["train"]["model"]["dropout"] = 0.0  # a default
    external = {"stage": stage, "command": f"run {stage}", "parameters": params}
    build = {
        "buildType": "x",
        "externalParameters": external,
        "internalParameters": environment | {"resolvedParameters": resolved},
        "resolvedDependencies": described(inputs),
    }
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": described(outputs),
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {"buildDefinition": build},
    }


def page(root: Path, most_wrong: int = 24) -> str:
    report(Params(report=Report(most_wrong=most_wrong)), root)
    return (root / REPORT).read_text(encoding="utf-8")


def test_leads_with_the_verdict_and_the_numbers_with_their_intervals(tmp_path: Path) -> None:
    text = page(write_results(tmp_path))
    top = text[: text.index('<section id="findings">')]
    assert "</span> Overtrained</h1>" in top
    assert "Training past epoch 18 cost 0.042 nats" in top
    assert "91.2 to 96.2\u202f%" in top
    assert "0.231" in top
    assert "0.171 to 0.299 nats" in top
    assert "<strong>360</strong>" in top
    assert "<dt>Macro-F1</dt><dd><strong>0.941</strong>" in top
    assert "<dt>Majority-class baseline</dt><dd><strong>10.0\u202f%</strong>" in top


def test_shows_findings_with_status_estimate_and_remedy(tmp_path: Path) -> None:
    text = page(write_results(tmp_path))
    for part in (
        "Flag",
        "Info",
        "Not run",
        "0.042\u202fnats",
        "0.019 to 0.066",
        "94.2\u202f%",
        "2.0\u202fpoints",
        "−0.0031\u202fnats",
        "−0.0190 to 0.0128",
        "Stop early: restore epoch 18",
        "Expected gain: 0.042\u202fnats (0.019 to 0.066). Basis: the records of this run. Cross-fitted difference.",
        "smallest that matters: 0.050\u202fnats",
    ):
        assert part in text


def test_says_what_to_do_next_and_each_flag_once_at_the_top(tmp_path: Path) -> None:
    text = page(write_results(tmp_path, suspicious=True))
    top = text[: text.index('<section id="findings">')]
    assert top.count("Keep copies in one split") == 1
    assert "Fix:" not in text
    assert "Basis: the literature. Distances." in top
    assert "Also flagged:" not in text
    assert '<a class="chip" href="#check-label_noise">' in top
    assert 'class="chip" href="#check-near_duplicates"' not in top, "the verdict stands above"


def test_shows_suspicious_labels_and_leaked_images_with_their_training_image(tmp_path: Path) -> None:
    text = page(write_results(tmp_path, suspicious=True))
    labels = text[text.index('<section id="labels">') : text.index('<section id="leaks">')]
    assert [part.partition("<")[0] for part in labels.split(">row ")[1:]] == ["7", "10", "13"]
    assert "margin −9.50" in labels
    assert "<details>" not in labels
    leaked = text[text.index('<section id="leaks">') : text.index('<section id="explanations">')]
    assert [part.partition("<")[0] for part in leaked.split(">test row ")[1:]] == ["19", "10", "16"]
    assert [part.partition("<")[0] for part in leaked.split(">train row ")[1:]] == ["3", "9"]
    assert (leaked.count("Exact copy</"), leaked.count("Near duplicate</")) == (1, 2)
    assert '<a href="#leaks">See the images</a>' in text
    plain = page(write_results(tmp_path / "plain"))
    assert '<section id="labels">' not in plain
    assert '<section id="leaks">' not in plain


def test_draws_the_margins_the_attack_and_the_calibration_after_scaling(tmp_path: Path) -> None:
    text = page(write_results(tmp_path, suspicious=True))
    assert "of 10 training images after each epoch" in text
    assert "as thin lines the 2 whose labels are the most suspicious" in text
    assert "Line chart of the margins of 10 training images over 30 epochs" in text
    assert "ROC curve of the attack by the loss; area 0.550" in text
    assert "Roc false positive rates" not in text
    assert (
        "after temperature scaling with T = 2.50, which was fitted on validation and is kept in <code>models/calibration.json</code>"
        in text
    )
    plain = page(write_results(tmp_path / "plain"))
    assert "Line chart of the margins" in plain
    assert all(words not in plain for words in ("thin lines", "ROC curve", "Triangles"))


def test_the_temperature_of_the_trained_model_is_not_applied_to_an_exported_one(tmp_path: Path) -> None:
    root = write_results(tmp_path, suspicious=True)
    path = root / "lineage/evaluate.json"
    known = json.loads(path.read_text())
    resolved = known["predicate"]["buildDefinition"]["internalParameters"]["resolvedParameters"]
    resolved["evaluate"]["model"] = "models/compressed/quantize/model.onnx"
    path.write_text(json.dumps(known))
    assert "Triangles" not in page(root)


def test_margins_of_another_run_than_the_data_are_refused(tmp_path: Path) -> None:
    root = write_results(tmp_path)
    write_dynamics(root, Dynamics(torch.arange(11), torch.zeros(2, 11).half(), *[torch.zeros(0)] * 6))
    with pytest.raises(ArtifactError, match=r"records more images than .*train\.safetensors has.*'train'"):
        page(root)


def test_names_the_file_of_each_picture_where_the_source_has_files(tmp_path: Path) -> None:
    text = page(write_results(tmp_path, suspicious=True, files=True))
    for shown in ("pictures", "labels", "explanations"):
        section = text[text.index(f'<section id="{shown}">') :].partition("</section>")[0]
        rows = [part.partition("<")[0] for part in section.split(">row ")[1:]]
        assert rows
        assert [part.partition("<")[0] for part in section.split('file">')[1:]] == [
            f"held out/&lt;b&gt;{row}.png" for row in rows
        ]
    leaked = text[text.index('<section id="leaks">') :].partition("</section>")[0]
    named = [part.partition("<")[0] for part in leaked.split('file">')[1:]]
    assert named == [
        *("held out/&lt;b&gt;19.png", "held out/&lt;b&gt;10.png", "a-long-folder-without-a-space/3.png"),
        *("held out/&lt;b&gt;16.png", "a-long-folder-without-a-space/9.png"),
    ]
    assert 'file">' not in page(write_results(tmp_path / "plain", suspicious=True))


@pytest.mark.parametrize("split", ["test", "train"])
def test_names_the_diagnosis_whose_rows_are_not_in_the_data(tmp_path: Path, split: str) -> None:
    path = write_results(tmp_path, suspicious=True) / "results/diagnosis.json"
    document = json.loads(path.read_text())
    found = document["findings"][0 if split == "test" else 1]["evidence"]
    found["leaked_test_rows" if split == "test" else "training_rows_they_are_near_to"][0] = 5000
    path.write_text(json.dumps(document))
    with pytest.raises(ArtifactError, match=f"{split}.safetensors has no row 5000, which the stage 'diagnose' names"):
        page(tmp_path)


def test_a_descriptive_finding_is_never_shown_as_passed(tmp_path: Path) -> None:
    text = page(write_results(tmp_path))
    gap = text[: text.index("Generalization gap")].rindex('<span class="status ')
    assert text[gap:].startswith('<span class="status info">')


def test_defines_the_terms_that_a_newcomer_does_not_know(tmp_path: Path) -> None:
    text = page(write_results(tmp_path))
    terms = text[text.index('<section id="terms">') : text.index('<section id="learning">')]
    for term in ("Saved epoch", "nats", "Detectable", "Majority-class baseline", "Row"):
        assert term in terms
    assert '<a href="#terms">' in text[: text.index('<section id="findings">')]


def test_writes_the_same_bytes_twice(tmp_path: Path) -> None:
    assert page(write_results(tmp_path / "one")) == page(write_results(tmp_path / "two"))


def test_refers_to_nothing_outside_itself(tmp_path: Path) -> None:
    text = page(write_results(tmp_path))
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in text
    for outside in ("http://", "https://", "url(http", "@import", "<script", "<link", str(tmp_path)):
        assert outside not in text


def test_shows_the_parameters_that_have_an_effect_and_all_options_of_the_model(tmp_path: Path) -> None:
    text = page(write_results(tmp_path))
    parameters = text[text.index('<section id="parameters">') : text.index('<section id="data">')]
    assert "momentum" in parameters
    assert "dropout" in parameters  # a default, which params.yaml does not state
    assert "patience" not in parameters  # early stopping is off


def test_a_further_stage_appears_without_an_edit(tmp_path: Path) -> None:
    """Between preprocess and train; its place follows from what it reads and writes."""
    write_results(tmp_path)
    write_json(tmp_path / "lineage/augment.json", statement("augment", ["data/processed/train.safetensors"], ["data/more"]))
    train = statement("train", ["data/more"], next(outputs for stage, _, outputs in CHAIN if stage == "train"))
    write_json(tmp_path / "lineage/train.json", train)
    write_json(tmp_path / "lineage/unrelated.json", statement("unrelated", ["models/model.json"], ["other"]))
    text = page(tmp_path)
    lineage = text[text.index('<ol class="chain">') :]
    stages = ["download", "preprocess", "augment", "train", "compress", "diagnose", "evaluate", "explain"]
    assert [part.partition("</h3>")[0] for part in lineage.split("<li><h3>")[1:]] == stages


def test_traces_each_input_to_the_stage_that_wrote_it(tmp_path: Path) -> None:
    text = page(write_results(tmp_path))
    assert f'title="{sha256(b"data/raw/digits.npz").hexdigest()}"' in text
    assert "from download" in text
    assert "goodfit lineage verify" in text
    assert "differs from" not in text


def test_says_when_an_input_is_not_what_its_stage_wrote(tmp_path: Path) -> None:
    path = write_results(tmp_path) / "lineage/download.json"
    path.write_text(path.read_text("utf-8").replace(sha256(b"data/raw/digits.npz").hexdigest(), "f" * 64), encoding="utf-8")
    assert "differs from what download wrote" in page(tmp_path)


def test_says_that_there_is_no_validation_set(tmp_path: Path) -> None:
    assert "There is no validation set" in page(write_results(tmp_path, validation=False))
    assert "There is no validation set" not in page(write_results(tmp_path))


def test_shows_smaller_models_only_where_some_were_asked_for_and_says_which_are_as_good(tmp_path: Path) -> None:
    assert "Smaller models" not in page(write_results(tmp_path / "none"))
    text = page(write_results(tmp_path, smaller=True))
    section = text[text.index('<section id="smaller">') : text.index('<section id="parameters">')]
    rows = section.split("<tbody ")[1:]
    expected = (("original", "Original"), ("quantize", "As good"), ("prune", "Not shown"), ("distill", "Worse"))
    for row, (name, word) in zip(rows, expected, strict=True):
        assert f"<strong>{name}</strong>" in row
        assert f"</span>{word}</span>" in row
    assert "What is said of quantize." in rows[1]
    for part in ("20.6\u202fkB", "4\u202f777 not zero", "47\u202f%"):
        assert part in section
    assert "2 percentage points of accuracy and 0.05 nats" in section


def test_says_when_the_figures_are_those_of_a_smaller_model(tmp_path: Path) -> None:
    path = write_results(tmp_path) / "lineage/evaluate.json"
    assert "These figures" not in page(tmp_path)
    document = json.loads(path.read_text())
    resolved = document["predicate"]["buildDefinition"]["internalParameters"]["resolvedParameters"]
    resolved["evaluate"]["model"] = "models/compressed/prune/model.onnx"
    write_json(path, document)
    assert "calibration are those of <code>models/compressed/prune/model.onnx</code>" in page(tmp_path)


def test_says_where_the_gain_of_a_faster_step_is_measured(tmp_path: Path) -> None:
    write_results(tmp_path)
    assert "step_gain.csv" not in page(tmp_path)
    document = json.loads((tmp_path / "lineage/train.json").read_text())
    resolved = document["predicate"]["buildDefinition"]["internalParameters"]["resolvedParameters"]
    resolved["train"] |= {"precision": "bf16-mixed", "channels_last": False, "compile": True}
    write_json(tmp_path / "lineage/train.json", document)
    text = page(tmp_path)
    assert "Trained with bf16-mixed, compile. How much faster" in text
    assert "<code>results/step_gain.csv</code>" in text


def test_escapes_hostile_class_names(tmp_path: Path) -> None:
    text = page(write_results(tmp_path, HOSTILE))
    assert "<script" not in text
    assert "<img src=x" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "{{ 7 * 7 }}" in text


def test_shows_the_range_test_and_the_chosen_rate_where_there_was_one(tmp_path: Path) -> None:
    text = page(write_results(tmp_path / "auto", automatic=True))
    training = text[text.index('<section id="learning">') : text.index('<section id="errors">')]
    assert "took 300 steps with ever higher rates; 0.00123, a tenth of the rate" in training
    assert ">chosen: 0.00123<" in training
    assert "ever higher rates" not in page(write_results(tmp_path / "number"))


@pytest.mark.parametrize("classes", [2, 20, 21, 100])
def test_shows_any_number_of_classes(tmp_path: Path, classes: int) -> None:
    text = page(write_results(tmp_path, [f"class {number}" for number in range(classes)]))
    assert f"Confusion matrix of {classes} classes" in text
    assert ("Numbers count test images" in text) == (classes <= 20)


def test_leaves_the_pictures_out_when_none_are_asked_for(tmp_path: Path) -> None:
    assert '<section id="pictures">' in page(write_results(tmp_path))
    assert '<section id="pictures">' not in page(tmp_path, most_wrong=0)


def test_shows_the_misclassified_images_with_the_largest_loss_first_and_their_loss(tmp_path: Path) -> None:
    text = page(write_results(tmp_path))
    table = pd.read_parquet(tmp_path / PREDICTIONS)
    worst = table[table["label"] != table["predicted"]].sort_values("loss", ascending=False).head(24)
    rows = [text.index(f">row {row}<") for row in worst["row"]]
    assert rows == sorted(rows)
    assert all(f">loss {loss:.2f}<" in text for loss in worst["loss"])
    assert text.count("data:image/png;base64,") == 24 + 5 * 4 + 1  # those explained, and the confusion matrix


def test_shows_the_explained_images_by_kind_with_a_picture_for_each_method(tmp_path: Path) -> None:
    text = page(write_results(tmp_path))
    section = text[text.index('<section id="explanations">') : text.index('<section id="parameters">')]
    rows = pd.read_parquet(tmp_path / PREDICTIONS)["row"].tolist()
    kinds = section.split('<h3 class="kind">')[1:]
    assert [kind.partition("</h3>")[0] for kind in kinds] == ["Most certain", "Least certain", "Most wrong"]
    for kind, places in zip(kinds, ([0, 1], [2, 3], [3]), strict=True):
        found = [part.partition("<")[0] for part in kind.split(">row ")[1:]]
        assert found == [str(rows[place]) for place in places]
    for name in ("Image", "Saliency", "Integrated gradients", "Occlusion"):
        assert section.count(f'alt="{name} of row ') == 5


def test_shows_the_sanity_check_of_each_method(tmp_path: Path) -> None:
    text = page(write_results(tmp_path))
    section = text[text.index('<section id="explanations">') : text.index('<section id="parameters">')]
    cards = section.split('<div class="card">')[1:]
    for card, name, word in zip(
        cards, ("saliency", "integrated_gradients", "occlusion"), ("Passes", "Fails", "Not run"), strict=True
    ):
        assert f"</span>{word}</span> The check of {name} says this." in card
        assert all(number in card for number in ("0.12", "0.56"))
        assert ("0.34" in card) == (name != "saliency"), "saliency is its own absolute value"
    assert "saliency shows strength only" in section


def test_without_a_method_the_page_has_no_explanations(tmp_path: Path) -> None:
    write_explanations(write_results(tmp_path), Explanations(randomisations=3, max_similarity=0.5), {})
    text = page(tmp_path)
    assert 'id="explanations"' not in text
    assert "#explanations" not in text


def test_a_kind_without_an_image_is_left_out(tmp_path: Path) -> None:
    path = write_results(tmp_path) / "results/explanations.json"
    document = json.loads(path.read_text())
    document["groups"]["most wrong"] = []
    path.write_text(json.dumps(document))
    text = page(tmp_path)
    assert '<h3 class="kind">Least certain</h3>' in text
    assert '<h3 class="kind">Most wrong</h3>' not in text


def test_an_image_that_is_right_is_not_among_the_most_wrong_however_large_its_loss(tmp_path: Path) -> None:
    path = write_results(tmp_path) / PREDICTIONS
    table = pd.read_parquet(path)
    right = (table["label"] == table["predicted"]).idxmax()
    table.loc[right, "loss"] = 99.0
    table.to_parquet(path)
    assert "loss 99.00" not in page(tmp_path)


@pytest.mark.parametrize(
    ("path", "stage"),
    [
        ("data/processed/dataset.json", "preprocess"), ("data/processed/rows.csv", "preprocess"),
        ("data/processed/test.safetensors", "preprocess"),
        ("results/explanations.json", "explain"), ("results/explanations.safetensors", "explain"),
        ("results/diagnosis.json", "diagnose"), ("metrics/evaluation.json", "evaluate"), ("models/model.json", "train"),
        ("results/compression.json", "compress"), ("results/calibration.csv", "evaluate"),
        ("results/history.csv", "train"), ("results/dynamics.safetensors", "train"), ("results/per_class.csv", "evaluate"),
        ("results/predictions.parquet", "evaluate"), *((f"lineage/{stage}.json", stage) for stage in STAGES[1:]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("damage", ["missing", "damaged"])
def test_names_the_stage_whose_file_is_missing_or_damaged(tmp_path: Path, path: str, stage: str, damage: str) -> None:
    file = write_results(tmp_path) / path
    file.unlink()
    if damage == "damaged":
        file.write_bytes(b"")
    with pytest.raises(ArtifactError, match=f"run the stage '{stage}' again") as caught:
        page(tmp_path)
    assert path in str(caught.value)
    assert not (tmp_path / REPORT).exists()


def test_rejects_predictions_of_another_split(tmp_path: Path) -> None:
    path = write_results(tmp_path) / PREDICTIONS
    pd.read_parquet(path).assign(row=1).to_parquet(path)
    with pytest.raises(ArtifactError, match="no row 1, which the stage 'evaluate' names"):
        page(tmp_path)


def test_names_a_number_that_the_evaluation_lacks(tmp_path: Path) -> None:
    write_json(write_results(tmp_path) / EVALUATION, {"accuracy": 0.9})
    with pytest.raises(ArtifactError, match="no number 'log_loss'"):
        page(tmp_path)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on PATH: install one to see the report as a reader does")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=[*ARGS.split(), "--disable-sync"])
        yield chromium
        chromium.close()


CASES: dict[str, dict[str, Any]] = {
    "digits": {},
    "hostile": {"classes": HOSTILE},
    "hundred": {"classes": [f"a rather long name {number}" for number in range(100)]},
    "no validation": {"validation": False},
    "two": {"classes": ["cat", "dog"]},
    "smaller models": {"smaller": True},
    "automatic learning rate": {"automatic": True},
    "suspicious images": {"suspicious": True, "files": True},
}


SIZES = {"desktop": (1280, 900), "phone": (390, 844)}


@pytest.mark.parametrize("case", CASES)
def test_reads_well_in_a_browser(browser: Any, tmp_path: Path, case: str) -> None:
    page(write_results(tmp_path, **CASES[case]))
    for scheme, (device, size) in product(("light", "dark"), SIZES.items()):
        look(
            browser,
            (tmp_path / REPORT).as_uri(),
            f"{scheme} on a {device}",
            scheme,
            size,
            suspicious=case == "suspicious images",
        )


def look(browser: Any, address: str, where: str, scheme: str, size: tuple[int, int], *, suspicious: bool) -> None:
    """Open the page, unfold all of it, and see that it fits and that everything is there without another request."""
    requests: list[str] = []
    complaints: list[str] = []
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    try:
        tab = context.new_page()
        tab.on("request", lambda request: requests.append(request.url))
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.goto(address)
        tab.wait_for_load_state()
        assert [url for url in requests if not url.startswith("data:")] == [address], where
        assert complaints == [], where
        for seen in (".headline", ".figures"):
            box = tab.locator(seen).first.bounding_box()
            assert box["y"] + box["height"] <= size[1], where
        tab.eval_on_selector_all("details", "all => all.forEach(one => one.open = true)")
        assert tab.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), where
        tables = tab.eval_on_selector_all(".scroll", "all => all.map(one => one.scrollWidth <= one.clientWidth)")
        assert all(tables), f"{where}: a table is cut off at its right end"
        widths = tab.eval_on_selector_all("img", "all => all.map(one => one.naturalWidth)")
        assert len(widths) == 24 + 5 * 4 + (3 + 3 + 2 if suspicious else 0), where
        assert min(widths) > 0, where
    finally:
        context.close()


def test_has_headings_in_order_and_a_name_for_every_picture_and_chart(browser: Any, tmp_path: Path) -> None:
    page(write_results(tmp_path))
    context = browser.new_context()
    try:
        tab = context.new_page()
        tab.goto((tmp_path / REPORT).as_uri())
        levels = tab.eval_on_selector_all("h1, h2, h3, h4, h5, h6", "all => all.map(one => Number(one.tagName[1]))")
        assert levels[0] == 1
        assert all(after <= before + 1 for before, after in pairwise(levels))
        assert tab.evaluate("document.documentElement.lang") == "en"
        assert "Overtrained" in tab.title()
        assert tab.locator("img:not([alt])").count() == 0
        assert tab.locator("svg[role=img][aria-label]").count() == tab.locator("svg").count() == 5
        ids = tab.eval_on_selector_all("[id]", "all => all.map(one => one.id)")
        assert len(ids) == len(set(ids))
    finally:
        context.close()


def test_prints_all_of_its_content_on_white_whatever_the_screen_shows(browser: Any, tmp_path: Path) -> None:
    page(write_results(tmp_path, [f"class {number}" for number in range(40)], suspicious=True, smaller=True))
    context = browser.new_context(viewport={"width": 718, "height": 1000}, color_scheme="dark")  # the width of A4 with margins
    try:
        tab = context.new_page()
        tab.goto((tmp_path / REPORT).as_uri())
        seen = "all => all.filter(one => one.checkVisibility({contentVisibilityAuto: true, opacityProperty: true})).length"
        folded = tab.locator("details > *:not(summary)").count()
        assert tab.eval_on_selector_all("details > *:not(summary)", seen) == 0 < folded
        tab.emulate_media(media="print")
        assert tab.eval_on_selector_all("details > *:not(summary)", seen) == folded
        for part in ("section", ".card", ".finding", "table", "svg", "img"):
            assert tab.eval_on_selector_all(part, seen) == tab.locator(part).count() > 0, part
        white = "all => all.filter(one => getComputedStyle(one).backgroundColor != 'rgb(255, 255, 255)').length"
        assert tab.eval_on_selector_all("body, .card:not(.plain), .top", white) == 0
        assert tab.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
        cut = "all => all.filter(one => one.scrollHeight > one.clientHeight || one.scrollWidth > one.clientWidth).length"
        assert tab.eval_on_selector_all(".scroll", cut) == 0
        assert not tab.locator("nav").is_visible()
    finally:
        context.close()


def test_is_cheap_to_import() -> None:
    import subprocess
    import sys

    heavy = ("torch", "pandas", "matplotlib", "jinja2", "numpy", "PIL")
    code = f"import json, sys, tasks.report; print(json.dumps([name for name in {heavy!r} if name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_needs_no_torch(tmp_path: Path) -> None:
    import subprocess
    import sys

    write_results(tmp_path)
    code = (
        "import sys, pathlib; from tasks.report import Params, report\n"
        "report(Params(), pathlib.Path(sys.argv[1])); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
