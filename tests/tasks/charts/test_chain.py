"""Statements as a reader sees them."""

from typing import Any

from tasks.charts.chain import chain, environment


def statement(inputs: list[Any], outputs: list[Any], **internal: Any) -> dict[str, Any]:
    build = {"resolvedDependencies": inputs, "internalParameters": internal}
    return {"subject": outputs, "predicate": {"buildDefinition": build}}


def file(name: str, digest: str) -> dict[str, Any]:
    return {"name": name, "digest": {"md5": "0", "sha256": digest}}


def test_follows_a_file_from_its_writer_to_its_reader() -> None:
    links = chain({"one": statement([], [file("a", "1" * 64)]), "two": statement([file("a", "1" * 64), file("a2", "3")], [])})
    known, unknown = links[1].data.shown
    assert (known.origin, known.same, known.short) == ("one", True, "1" * 12)
    assert unknown.origin == ""


def test_sees_that_a_reader_had_other_bytes() -> None:
    links = chain({"one": statement([], [file("a", "1")]), "two": statement([file("a", "2")], [])})
    assert not links[1].data.shown[0].same


def test_keeps_code_apart_and_counts_what_is_not_shown() -> None:
    inputs = [file(f"data/{number}", "1") for number in range(30)] + [file("tasks/one.py", "2")]
    link = chain({"one": statement(inputs, [])})[0]
    assert (len(link.data.shown), link.data.hidden, link.data.total) == (12, 18, 30)
    assert [entry.name for entry in link.code.shown] == ["tasks/one.py"]


def test_puts_packages_and_the_lock_into_the_environment() -> None:
    inputs = [{"name": "torch", "uri": "pkg:pypi/torch@2.15.0"}, file("requirements.lock", "a" * 64), {"unknown": 1}]
    statements = {"one": statement(inputs, [], python="3.11"), "two": statement([], [], python="3.12")}
    assert chain(statements)[0].data.total == 0
    assert environment(statements) == {"python": ["3.11", "3.12"], "torch": ["2.15.0"], "requirements.lock": ["a" * 12]}
