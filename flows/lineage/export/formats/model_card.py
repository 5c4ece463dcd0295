"""Hugging Face's model card: a README.md with YAML front matter, whose model-index holds the metrics.

The format: https://github.com/huggingface/hub-docs/blob/main/modelcard.md. It has no field for an interval, so that each end of one is
a metric of its own.
"""

from io import StringIO
from typing import TYPE_CHECKING, Any

from flows.lineage.export.write import put

if TYPE_CHECKING:
    from flows.lineage.export.recorded import Recorded

TEXT = "Hugging Face's model card, a README.md with YAML front matter"
TASK = "image-classification"


def export(recorded: "Recorded", output: str | None) -> None:
    """Write the card; its sections are those of Hugging Face's template."""
    lines = [
        f"---\n{_yaml(front_matter(recorded))}---\n",
        *_model(recorded),
        *_uses(recorded),
        *_training(recorded),
        *_evaluation(recorded),
        *_provenance(recorded),
    ]
    put("\n".join(lines), output)


def front_matter(recorded: "Recorded") -> dict[str, Any]:
    """What the Hub indexes. The license is left out, since the record does not know it."""
    from flows.lineage.export.sections import metric_names

    kind = recorded.model["model"]["name"]
    return {
        "tags": [TASK, "goodfit", "safetensors", kind],
        "pipeline_tag": TASK,
        "datasets": [recorded.dataset["name"]],
        "metrics": metric_names(recorded),
        "model-index": [{"name": recorded.name, "results": [_results(recorded)]}],
    }


def _results(recorded: "Recorded") -> dict[str, Any]:
    of = "" if recorded.scores_the_model else f" of {recorded.scored}"
    return {
        "task": {"type": TASK, "name": "Image classification"},
        "dataset": {"type": recorded.dataset["name"], "name": recorded.dataset["name"], "split": "test"},
        "metrics": [
            {"type": name, "value": value, "name": f"{_spoken(name, recorded.confidence)}{of}"}
            for name, value in recorded.evaluation.items()
        ],
    }


def _spoken(name: str, confidence: float) -> str:
    from tasks.diagnostics.words import level

    for ending, end in (("_ci_low", "Lower"), ("_ci_high", "Upper")):
        if name.endswith(ending):
            return f"{end} end of the {level(confidence)} confidence interval of {name.removesuffix(ending).replace('_', ' ')}"
    return "Number of test images" if name == "n" else f"Test {name.replace('_', ' ')}"


def _yaml(document: dict[str, Any]) -> str:
    from ruamel.yaml import YAML

    yaml = YAML()  # keeps the order of keys
    yaml.default_flow_style = False
    yaml.width = 4096  # no value is broken over lines
    text = StringIO()
    yaml.dump(document, text)
    return text.getvalue()


def _model(recorded: "Recorded") -> list[str]:
    from flows.lineage.export.markdown import code, plain, table
    from flows.lineage.statement import shown
    from tasks.contracts.trained import WEIGHTS

    model, verdict = recorded.model, recorded.diagnosis
    rows = [
        ("task", "image classification"),
        ("architecture", plain(model["model"]["name"])),
        *((f"option {code(key)}", code(shown(value))) for key, value in model["model"].items() if key != "name"),
        ("input", f"uint8 images (channels, height, width): {', '.join(map(str, model['shape']))}"),
        ("classes", ", ".join(map(plain, model["classes"]))),
        ("saved epoch", f"{model['chosen_epoch']} of {model['epochs']}, by {plain(model['chosen_by'])}"),
        ("weights", f"{code(WEIGHTS.as_posix())}, SHA-256 {code(recorded.weights.sha256)}"),
        ("license", "not recorded"),
    ]
    return [
        f"# {plain(recorded.name)}\n",
        f"**Verdict: {plain(verdict.verdict.replace('_', ' '))}.** {plain(verdict.headline)}\n",
        "Every number on this page is from the lineage of the run, whose digests are at its end.\n",
        "## Model details\n",
        *table(("what", "value"), rows),
        "",
    ]


def _uses(recorded: "Recorded") -> list[str]:
    from flows.lineage.export.sections import checks

    return [
        "## Uses\n",
        "The record does not say what the model is intended for. Its folder is all that is needed to classify images:\n",
        "```sh\ngoodfit predict models image.png\n```\n",
        "## Bias, risks, and limitations\n",
        "What the diagnosis looked for and found; what is not in this table was not looked for.\n",
        *checks(recorded),
        "",
    ]


def _training(recorded: "Recorded") -> list[str]:
    from flows.lineage.export.markdown import code
    from flows.lineage.export.sections import environment, parameters, sources, splits

    return [
        "## Training details\n",
        "### Training data\n",
        f"{code(recorded.dataset['name'])}, as it was downloaded:\n",
        *sources(recorded),
        "\nThe images of each class, and the digests of the splits:\n",
        *splits(recorded),
        "\n### Training procedure\n",
        *parameters(recorded, "train"),
        "\n### Environment\n",
        *environment(recorded),
        "",
    ]


def _evaluation(recorded: "Recorded") -> list[str]:
    from flows.lineage.export.markdown import code
    from flows.lineage.export.sections import metrics

    return [
        "## Evaluation\n",
        f"{code(recorded.scored)}, on {recorded.evaluation['n']} test images:\n",
        *metrics(recorded),
        "",
    ]


def _provenance(recorded: "Recorded") -> list[str]:
    from flows.lineage.export.sections import builders, commit, statements, undeclared

    return [
        "## Provenance\n",
        f"{commit(recorded)} `goodfit lineage verify` hashes every file again and compares it with these statements, and\n"
        "`goodfit lineage show` prints the tree behind the model.\n",
        *statements(recorded),
        "",
        *builders(recorded),
        "",
        *undeclared(recorded),
    ]
