"""Statements as a reader sees them."""

from typing import Any

from tasks.charts.chain import chain, environment
from tasks.contracts.statement import Statement


def statement(stage: str, inputs: list[Any], outputs: list[Any], **internal: Any) -> Statement:
    build = {
        "externalParameters": {"stage": stage, "command": "run", "parameters": {}},
        "internalParameters": internal,
        "resolvedDependencies": inputs,
    }
    document = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": outputs,
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {"buildDefinition": build},
    }
    return Statement.model_validate(document)


def file(name: str, digest: str) -> dict[str, Any]:
    return {"name": name, "digest": {"md5": "0", "sha256": digest}}


def test_follows_a_file_from_its_writer_to_its_reader() -> None:
    one, two = statement("one", [], [file("a", "1" * 64)]), statement("two", [file("a", "1" * 64), file("a2", "3")], [])
    known, unknown = chain([one, two])[1].data.shown
    assert (known.origin, known.same, known.short) == ("one", True, "1" * 12)
    assert unknown.origin == ""


def test_sees_that_a_reader_had_other_bytes() -> None:
    links = chain([statement("one", [], [file("a", "1")]), statement("two", [file("a", "2")], [])])
    assert not links[1].data.shown[0].same


def test_keeps_code_apart_and_counts_what_is_not_shown() -> None:
    inputs = [file(f"data/{number}", "1") for number in range(30)] + [file("tasks/one.py", "2")]
    link = chain([statement("one", inputs, [])])[0]
    assert (len(link.data.shown), link.data.hidden, link.data.total) == (12, 18, 30)
    assert [entry.name for entry in link.code.shown] == ["tasks/one.py"]


def test_puts_packages_and_the_lock_into_the_environment() -> None:
    inputs = [{"name": "torch", "uri": "pkg:pypi/torch@2.15.0"}, file("requirements.lock", "a" * 64), {"name": "unknown"}]
    statements = [statement("one", inputs, [], python="3.11"), statement("two", [], [], python="3.12")]
    assert chain(statements)[0].data.total == 0
    assert environment(statements) == {"python": ["3.11", "3.12"], "torch": ["2.15.0"], "requirements.lock": ["a" * 12]}
