"""W3C PROV through the package `prov`: PROV-JSON, or PROV-N where the output's name ends in .provn.

A stage is an activity, a file or a package an entity, the goodfit that recorded it an agent. PROV can do without times, so that there
are none: every clone writes the same bytes. Names begin with the id of the record, since `models/model.json` of another run is another
entity.
"""

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from flows.lineage.export.write import put, require

if TYPE_CHECKING:
    from flows.lineage.export.recorded import Builder, Recorded, Undeclared

TEXT = "W3C PROV: PROV-JSON, or PROV-N for -o FILE.provn"


def export(recorded: "Recorded", output: str | None) -> None:
    """Write the record as PROV.

    Raises:
        GoodfitError: the package `prov` is not installed.
    """
    found = document(recorded)
    put(found.get_provn() if output and output.endswith(".provn") else found.serialize(format="json", indent=2), output)


def document(recorded: "Recorded") -> Any:
    """The record as a prov.model.ProvDocument."""
    from tasks.core.settings import PARAMS_FILE

    made = require("prov", "prov.model").ProvDocument()
    made.add_namespace("run", f"urn:uuid:{recorded.id}#")
    made.add_namespace("parameter", f"urn:uuid:{recorded.id}#{PARAMS_FILE}/")
    made.add_namespace("environment", f"urn:uuid:{recorded.id}#environment/")
    made.add_namespace("pypi", "pkg:pypi/")  # package URLs
    made.add_namespace("schema", "https://schema.org/")
    for builder in recorded.builders:
        _add_builder(made, builder)
    for path, digest in recorded.files.items():
        made.entity(_file(path), {"prov:location": path, "schema:sha256": digest.sha256})
    for name, version in recorded.packages:
        made.entity(_package(name, version), {"schema:softwareVersion": version})
    for external in recorded.undeclared:
        made.entity(_external(external), {"prov:location": external.path, "schema:sha256": external.sha256})
    for stage in recorded.stages:
        _add_stage(made, recorded, stage)
    if recorded.commit:
        _add_commit(made, recorded, recorded.commit.id)
    return made


def _add_stage(made: Any, recorded: "Recorded", stage: str) -> None:
    from flows.lineage.statement import flat

    statement, activity = recorded.stages[stage], f"run:stage/{stage}"
    parameters = {f"parameter:{quote(key, safe='')}": _value(value) for key, value in flat(statement.resolved).items()}
    environment = {f"environment:{quote(key, safe='')}": _value(value) for key, value in statement.environment.items()}
    made.activity(activity, other_attributes={"prov:label": statement.command, **parameters, **environment})
    made.wasAssociatedWith(activity, _agent(recorded.builder_of(stage)))
    for path in sorted(statement.inputs):
        made.used(activity, _file(path))
    for external in recorded.undeclared_of(stage):
        made.used(activity, _external(external))
    for name, version in recorded.packages_of(stage):
        made.used(activity, _package(name, version))
    for path in sorted(recorded.outputs(stage)):
        made.wasGeneratedBy(_file(path), activity)


def _add_builder(made: Any, builder: "Builder") -> None:
    """The SHA-256 is that of the list of its code."""
    known = {"schema:softwareVersion": builder.version, "schema:sha256": builder.sha256}
    stated = {name: value for name, value in known.items() if value}
    kind = made.valid_qualified_name("prov:SoftwareAgent")
    made.agent(_agent(builder), {"prov:type": kind, "prov:label": f"{builder.name}: {builder.code}", **stated})


def _add_commit(made: Any, recorded: "Recorded", commit: str) -> None:
    """The commit holds this dvc.lock, which holds the digests of all statements; its name is that of Software Heritage."""
    from flows.lineage.digest import digest_file
    from flows.lineage.lock import LOCK_FILE

    made.add_namespace("swh", "swh:")
    lock = {"prov:location": LOCK_FILE, "schema:sha256": digest_file(recorded.root / LOCK_FILE).sha256}
    made.entity(_file(LOCK_FILE), lock)
    made.collection(f"swh:1:rev:{commit}")
    made.hadMember(f"swh:1:rev:{commit}", _file(LOCK_FILE))


def _file(path: str) -> str:
    return f"run:file/{quote(path)}"


def _external(file: "Undeclared") -> str:
    """Stages may have read the same path with different bytes."""
    return f"run:undeclared/{file.sha256}/{quote(file.path)}"


def _agent(builder: "Builder") -> str:
    return f"run:goodfit/{quote(builder.version)}/{builder.sha256}"


def _package(name: str, version: str) -> str:
    return f"pypi:{name}@{quote(version)}"


def _value(value: Any) -> Any:
    """Numbers, truth values and texts as they are; lists, mappings and null, which PROV lacks, as JSON."""
    from flows.lineage.statement import shown

    return value if isinstance(value, bool | int | float | str) else shown(value)
