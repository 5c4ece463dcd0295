"""Tables of a recorded run in Markdown, which several pages share. Each function gives the lines of one table."""

import csv
from io import StringIO

from flows.lineage.export.markdown import code, plain, table
from flows.lineage.export.recorded import Recorded
from flows.lineage.statement import flat, shown, statement_path
from tasks.contracts.results import PER_CLASS
from tasks.diagnostics.words import level

STATUS = {
    "pass": "passed",
    "flag": "flag raised",
    "inconclusive": "inconclusive",
    "not_run": "not run",
    "info": "describes only",
}


def metric_names(recorded: Recorded) -> list[str]:
    """The metrics of `evaluation`, without their number of images and the ends of their intervals."""
    return [name for name in recorded.evaluation if name != "n" and not name.endswith(("_ci_low", "_ci_high"))]


def metrics(recorded: Recorded) -> list[str]:
    """What was measured on the test images, with the interval where the record has one."""
    values = recorded.evaluation
    rows = []
    for name in metric_names(recorded):
        ends = [f"{name}_ci_{end}" for end in ("low", "high")]
        interval = " to ".join(number(values[end]) for end in ends) if values.keys() >= set(ends) else "not recorded"
        rows.append((plain(name.replace("_", " ")), number(values[name]), interval))
    return table(("metric", "value", f"{level(recorded.confidence)} confidence interval"), rows)


def classes(recorded: Recorded) -> list[str]:
    """How often the images of each class were recognised."""
    rows = []
    for row in csv.DictReader(StringIO(recorded.text(PER_CLASS, "evaluate"))):
        recall, *ends = (
            number(float(row[name]) if row[name] else None) for name in ("recall", "recall_ci_low", "recall_ci_high")
        )
        rows.append((plain(row["class"]), row["n"], recall, " to ".join(ends)))
    return table(("class", "test images", "recall", f"{level(recorded.confidence)} confidence interval"), rows)


def checks(recorded: Recorded) -> list[str]:
    """The diagnosis: every check, and what it found."""
    rows = []
    for finding in recorded.diagnosis.findings:
        found = "none" if finding.estimate is None else f"{number(finding.estimate)} {finding.unit}"
        bounded = finding.ci_low is not None and finding.ci_high is not None
        interval = f"{number(finding.ci_low)} to {number(finding.ci_high)}" if bounded else "none"
        rows.append((plain(finding.title), STATUS[finding.status], found, interval, plain(finding.summary)))
    confidence = level(recorded.diagnosis.confidence)
    return table(("check", "status", "estimate", f"{confidence} confidence interval", "summary"), rows)


def splits(recorded: Recorded) -> list[str]:
    """How many images of each class each split has, and the digest of its file."""
    counts, classes = recorded.dataset["counts"], recorded.dataset["classes"]
    digests = recorded.statement("preprocess").outputs
    names = [name for name in ("train", "val", "test") if name in counts]
    rows = [(plain(label), *(str(counts[name][index]) for name in names)) for index, label in enumerate(classes)]
    rows.append(("all", *(str(sum(counts[name])) for name in names)))
    rows.append(("SHA-256", *(code(digests[f"data/processed/{name}.safetensors"].sha256) for name in names)))
    return table(("class", *names), rows)


def sources(recorded: Recorded, most: int = 20) -> list[str]:
    """The data at the beginning: what the stage `download` holds, or the folder's first files and how many more there are."""
    found = recorded.statement("download").outputs
    lines = table(("file", "SHA-256"), [(code(path), code(digest.sha256)) for path, digest in list(found.items())[:most]])
    if len(found) > most:
        lines += ["", f"And {len(found) - most} more files, which {code(statement_path('download').as_posix())} lists."]
    return lines


def parameters(recorded: Recorded, stage: str) -> list[str]:
    """What a stage ran with, defaults included."""
    rows = [(code(key), code(shown(value))) for key, value in flat(recorded.statement(stage).resolved).items()]
    return table(("parameter", "value"), rows)


def environment(recorded: Recorded) -> list[str]:
    """Where the training computed, and the packages that the statements name."""
    train = recorded.statement("train")
    rows = [(plain(key.replace("_", " ")), plain(value)) for key, value in train.environment.items()]
    rows += [(plain(name), plain(version)) for name, version in recorded.packages]
    if train.requirements:
        rows.append(("requirements.lock", f"SHA-256 {code(train.requirements.sha256)}"))
    return table(("what", "version or value"), rows)


def statements(recorded: Recorded) -> list[str]:
    """The digest of each stage's statement."""
    rows = [(plain(name), code(statement_path(name).as_posix()), code(digest.sha256)) for name, digest in recorded.own.items()]
    return table(("stage", "statement", "SHA-256"), rows)


def builders(recorded: Recorded) -> list[str]:
    """What wrote the statements: one row for each set of goodfit's modules that ran."""
    rows = [
        (
            plain(builder.name),
            str(builder.files),
            code(builder.sha256) if builder.sha256 else "not recorded",
            ", ".join(map(plain, stages)),
        )
        for builder, stages in recorded.builders.items()
    ]
    return table(("written by", "files of its code", "SHA-256 of their list", "statements"), rows)


def undeclared(recorded: Recorded) -> list[str]:
    """What the stages read from outside of the repository, undeclared; or the sentence that there was nothing."""
    rows = [(code(file.path), code(file.sha256), ", ".join(map(plain, stages))) for file, stages in recorded.undeclared.items()]
    if not rows:
        return ["No stage read a file from outside of the repository, libraries aside, that `dvc.yaml` does not declare."]
    return [
        "Files from outside of the repository, libraries aside, that `dvc.yaml` does not declare:",
        "",
        *table(("file", "SHA-256", "read by"), rows),
    ]


def commit(recorded: Recorded) -> str:
    """A sentence on what anchors the record."""
    if recorded.commit is None:
        return "`dvc.lock` is not committed as it is, so that no commit anchors this record."
    return f"Git recorded it in commit {code(recorded.commit.id)} of {recorded.commit.date}."


def number(value: float | None) -> str:
    """Four digits after the point, or four that count where those would all be 0; whole numbers as they are."""
    if value is None:
        return "none"
    if isinstance(value, int):
        return str(value)
    return f"{value:.4f}" if abs(value) >= 0.001 or value == 0 else f"{value:.3e}"
