"""The one reader of lineage statements."""

from pathlib import Path
from typing import Any

import pytest

from tasks.contracts.statement import Statement, read_statement, read_statements, upstream
from tasks.core.errors import ArtifactError
from tasks.core.files import write_json


def document(stage: str, inputs: list[str], outputs: list[str]) -> dict[str, Any]:
    def described(names: list[str]) -> list[dict[str, Any]]:
        return [{"name": name, "digest": {"sha256": name * 2, "md5": name}} for name in names]

    build = {
        "buildType": "urn:test",
        "externalParameters": {"stage": stage, "command": f"run {stage}", "parameters": {"seed": 0}},
        "internalParameters": {"python": "3.11"},
        "resolvedDependencies": [*described(inputs), {"name": "torch", "uri": "pkg:pypi/torch@2.15.0"}],
    }
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": described(outputs),
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {"buildDefinition": build, "runDetails": {"builder": {"id": "urn:test"}}},
    }


def statements(*stages: tuple[str, list[str], list[str]]) -> list[Statement]:
    return [Statement.model_validate(document(*stage)) for stage in stages]


def test_reads_files_packages_parameters_and_environment(tmp_path: Path) -> None:
    write_json(tmp_path / "lineage/one.json", document("one", ["a"], ["b"]))
    found = read_statement(tmp_path, "one")
    assert (found.stage, found.command, found.params, found.environment) == ("one", "run one", {"seed": 0}, {"python": "3.11"})
    assert {name: digest.sha256 for name, digest in found.inputs.items()} == {"a": "aa"}
    assert {name: digest.md5 for name, digest in found.outputs.items()} == {"b": "b"}
    assert found.packages == {"torch": "pkg:pypi/torch@2.15.0"}
    assert read_statements(tmp_path) == [found]


def test_a_declared_lock_file_is_an_input_beside_what_it_locks() -> None:
    """The first has the digests of the file, the second those of what is locked."""
    found = document("one", ["requirements.lock", "a"], ["b"])
    locked = {"name": "requirements.lock", "digest": {"sha256": "s", "md5": "m"}, "annotations": {"digestOf": "what is locked"}}
    for place in (0, 4):  # the order says nothing
        one = document("one", ["requirements.lock", "a"], ["b"])
        one["predicate"]["buildDefinition"]["resolvedDependencies"].insert(place, locked)
        one["predicate"]["runDetails"]["builder"]["builderDependencies"] = found["subject"]
        read = Statement.model_validate(one)
        assert {name: digest.md5 for name, digest in read.inputs.items()} == {
            "requirements.lock": "requirements.lock",
            "a": "a",
        }
        assert read.requirements == ("s", "m")


def test_the_lock_file_of_the_first_version_is_no_input() -> None:
    read = Statement.model_validate(document("one", ["requirements.lock", "a"], ["b"]))
    assert list(read.inputs) == ["a"]
    assert read.requirements is not None


@pytest.mark.parametrize("key", ["_type", "subject", "predicateType", "predicate"])
def test_names_the_stage_whose_statement_lacks_a_part(tmp_path: Path, key: str) -> None:
    write_json(tmp_path / "lineage/one.json", {name: part for name, part in document("one", [], []).items() if name != key})
    with pytest.raises(ArtifactError, match="run the stage 'one' again") as caught:
        read_statement(tmp_path, "one")
    assert "lineage/one.json" in str(caught.value)


def test_rejects_the_statement_of_another_stage(tmp_path: Path) -> None:
    write_json(tmp_path / "lineage/one.json", document("two", [], []))
    with pytest.raises(ArtifactError, match="statement of stage 'two'; expected that of 'one'"):
        read_statement(tmp_path, "one")


def test_upstream_puts_a_stage_after_those_whose_outputs_it_reads_and_leaves_out_the_rest() -> None:
    needed = (("a_last", ["c"], ["d"]), ("b_middle", ["b"], ["c"]), ("c_first", ["a"], ["b"]))
    found = statements(*needed, ("other", ["b"], ["x"]), ("reader", ["d"], ["y"]))
    assert [statement.stage for statement in upstream(found, ["d"])] == ["c_first", "b_middle", "a_last"]
    assert upstream(found, ["a", "unknown"]) == []


def test_upstream_refuses_a_circle() -> None:
    with pytest.raises(ArtifactError, match="in a circle"):
        upstream(statements(("one", ["b"], ["a"]), ("two", ["a"], ["b"])), ["a"])
