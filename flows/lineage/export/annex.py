"""The points of Annex IV of the EU AI Act (Regulation (EU) 2024/1689): what a record knows of each, and what it does not.

The points are in the Annex's order and in our words; its own are at https://eur-lex.europa.eu/eli/reg/2024/1689/oj. A gap is what
somebody has to write who knows the system: no record of a training does.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from flows.lineage.export import sections
from flows.lineage.export.markdown import code, plain, table
from flows.lineage.export.recorded import Recorded, is_code
from flows.lineage.statement import shown
from tasks.contracts.findings import Finding
from tasks.core.errors import GoodfitError

MOST = 20  # commits of a list


@dataclass(frozen=True)
class Point:
    """A point of the Annex, what is missing, and what is known (lines of Markdown)."""

    number: str
    title: str
    gap: str
    known: list[str] = field(default_factory=list)


def points(recorded: Recorded) -> Iterator[Point]:
    """Every point, in the Annex's order."""
    for each in (_general, _elements, _validation, _control, _lifecycle):
        yield from each(recorded)


def _general(recorded: Recorded) -> Iterator[Point]:
    model = recorded.model
    weights = [f"{plain(recorded.name)}; SHA-256 of the weights: {code(recorded.weights.sha256)}.", sections.commit(recorded)]
    yield Point("1(a)", "Intended purpose, provider, version", "the intended purpose, and the name of the provider", weights)
    images = f"Input: uint8 images of shape {shown(model['shape'])} (channels, height, width). Output: one probability for each class: "
    yield Point(
        "1(b)",
        "Interaction with hardware and software that are not part of the system",
        "what the system is used with, other AI systems included",
        [images + ", ".join(map(plain, model["classes"])) + "."],
    )
    versions = [*sections.environment(recorded), "\nThe pipeline itself:\n", *sections.builders(recorded)]
    yield Point("1(c)", "Versions of software", "what has to be observed when a version is updated", versions)
    files = [(code(path), code(digest.sha256)) for path, digest in recorded.files.items() if path.startswith("models/")]
    yield Point(
        "1(d)",
        "Forms in which the system is placed on the market",
        "how it is placed on the market",
        table(("file", "SHA-256"), files),
    )
    trained = ", ".join(f"{plain(key)} {plain(value)}" for key, value in recorded.statement("train").environment.items())
    yield Point("1(e)", "Hardware", "the hardware that it is intended to run on", [f"It was trained on: {trained}."])
    yield Point(
        "1(f)",
        "Pictures of the products that it is a component of",
        "whether it is a component of products, and their pictures",
    )
    yield Point(
        "1(g)", "User interface", "the interface that the deployer is given", ["The command `goodfit predict` prints a table."]
    )
    call = ["`goodfit predict models IMAGE` classifies an image with the files of 1(d) alone."]
    yield Point("1(h)", "Instructions for use", "instructions for the deployer", call)


def _elements(recorded: Recorded) -> Iterator[Point]:
    train = recorded.statement("train")
    inputs = ", ".join(code(path) for path in sorted(train.inputs) if not is_code(path))
    steps = [
        (plain(name), code(each.command), str(len(each.inputs)), str(len(each.outputs)))
        for name, each in recorded.stages.items()
    ]
    yield Point(
        "2(a)",
        "Methods and steps of the development, pre-trained systems and tools of third parties",
        "tools of third parties beyond the packages of 1(c), and how they were changed",
        [
            *table(("stage", "command", "files read", "files written"), steps),
            "",
            f"Besides code, the training read: {inputs}.",
            "",
            *sections.undeclared(recorded),
        ],
    )
    yield Point(
        "2(b)",
        "Design specifications: logic, choices, what it is optimised for",
        "the reasons for these choices, the assumptions about the persons concerned, and the trade-offs",
        sections.parameters(recorded, "train"),
    )
    yield Point(
        "2(c)",
        "Architecture, and computational resources",
        "the resources of trials that are not part of this record",
        _architecture(recorded),
    )
    data = [
        f"The data set {code(recorded.dataset['name'])}, as it was downloaded:",
        "",
        *sections.sources(recorded),
        "\nThe images of each class in each split:\n",
        *sections.splits(recorded),
        "\nHow it was downloaded and divided:\n",
        *sections.parameters(recorded, "preprocess"),
        *_found(recorded, "\nWhat the diagnosis says of the data:\n", ("integrity", "near_duplicates", "shift", "label_noise")),
    ]
    missing = "where the data come from, how they were obtained, selected, labelled and cleaned, and whom they represent"
    yield Point("2(d)", "Data", missing, data)
    heat_maps = [code(path) for path in recorded.stages["explain"].outputs] if "explain" in recorded.stages else []
    known = [f"Heat maps of what predictions rest on: {', '.join(heat_maps)}."] if heat_maps else []
    yield Point("2(e)", "Human oversight", "which oversight is needed, and an assessment of its measures", known)
    yield Point("2(f)", "Pre-determined changes", "the changes that are planned, and how the system stays compliant with them")


def _architecture(recorded: Recorded) -> list[str]:
    rows = []
    for name in recorded.stages:
        before = sorted({recorded.writers[path] for path in recorded.stages[name].inputs if path in recorded.writers})
        rows.append((plain(name), ", ".join(map(plain, before)) or "none", _duration(recorded, name)))
    return table(("stage", "reads what these wrote", "duration"), rows)


def _duration(recorded: Recorded, stage: str) -> str:
    """Of the run that the journal knows."""
    try:
        times = recorded.times(stage)
    except GoodfitError:
        return "not recorded"
    if times.source != "journal":
        return "not recorded"
    return f"{(datetime.fromisoformat(times.finished) - datetime.fromisoformat(times.started)).total_seconds():.1f} s"


def _validation(recorded: Recorded) -> Iterator[Point]:
    tests = [
        f"{code(recorded.scored)} was scored on the {recorded.evaluation['n']} test images of 2(d):",
        "",
        *sections.metrics(recorded),
        "\nWhat the diagnosis looked for:\n",
        *sections.checks(recorded),
        "\nThe records of these runs:\n",
        *sections.statements(recorded),
    ]
    missing = "robustness, effects that could discriminate, and reports that responsible persons have dated and signed"
    yield Point("2(g)", "Validation and testing", missing, tests)
    known = _found(recorded, "Whether training images can be told from others by the model's answers:\n", ("membership",))
    yield Point("2(h)", "Cybersecurity", "the measures that were taken", known)


def _control(recorded: Recorded) -> Iterator[Point]:
    diagnosis = recorded.diagnosis
    known = [
        f"Verdict: {plain(diagnosis.verdict.replace('_', ' '))}. {plain(diagnosis.headline)}",
        "",
        *sections.classes(recorded),
        f"\nInput data: images of shape {shown(recorded.model['shape'])} (channels, height, width).",
    ]
    missing = (
        "the accuracy for the persons and groups that it is meant for, the accuracy that the purpose needs, foreseeable unintended "
        "outcomes and risks, and the measures of oversight"
    )
    yield Point("3", "Monitoring, functioning and control: capabilities and limitations", missing, known)
    names = ", ".join(plain(name.replace("_", " ")) for name in sections.metric_names(recorded))
    yield Point("4", "Appropriateness of the metrics", "why these metrics suit the purpose", [f"Metrics: {names}."])
    yield Point("5", "Risk management system (Article 9)", "its description")


def _lifecycle(recorded: Recorded) -> Iterator[Point]:
    commits = [(code(each.id), each.date) for each in recorded.commits[:MOST]]
    more = len(recorded.commits) - len(commits)
    known = [
        "`goodfit lineage diff BEFORE AFTER` says what differs between two of these commits, which changed the record:",
        "",
        *table(("commit", "date"), commits),
        *([f"\nAnd {more} before them."] if more else []),
    ]
    yield Point(
        "6", "Changes through the lifecycle", "which changes were relevant, and why they were made", known if commits else []
    )
    yield Point("7", "Harmonised standards", "which standards were applied, or how the requirements are met without them")
    yield Point(
        "8", "EU declaration of conformity (Article 47)", "the declaration; this page is none, and claims no conformity"
    )
    yield Point("9", "Post-market monitoring (Article 72)", "the system that evaluates the performance in use, and its plan")


def _found(recorded: Recorded, title: str, wanted: tuple[str, ...]) -> list[str]:
    """What some checks say, under a title; nothing where none of them ran."""
    findings: list[Finding] = [each for each in recorded.diagnosis.findings if each.code in wanted]
    return [title, *(f"- {plain(each.title)}: {plain(each.summary)}" for each in findings)] if findings else []
