"""The seal: what a stage is about to read, byte for byte; compared with the same after it has run, it tells what changed meanwhile."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows.declaration import Declaration
from flows.lineage.digest import digest_file, digest_paths, files_below
from flows.lineage.ignore import IGNORE_FILE
from flows.parameters.checking import picked
from flows.traces import Trace, touched, traces
from tasks.contracts.statement import Digest
from tasks.core.errors import ArtifactError
from tasks.core.settings import PARAMS_FILE


@dataclass(frozen=True)
class Seal:
    """What a stage is about to read: the digest of every input file and the value of every parameter.

    `ignore_files` are those that decide which files of a folder are inputs. The `traces` (flows/traces.py) belong to one run and one
    machine, and are in no statement.
    """

    files: dict[str, Digest]
    params: dict[str, Any]
    ignore_files: dict[str, Digest] = field(default_factory=dict)
    traces: dict[str, Trace] = field(default_factory=dict, compare=False)

    @property
    def inputs(self) -> dict[str, Digest]:
        """Every file, as the statement lists them."""
        return self.files | self.ignore_files


def seal(root: Path, declared: Declaration, params: dict[str, Any], *, again: bool = False) -> Seal:
    """Hash every declared input, byte for byte, and pick every declared parameter from the document `params`.

    The traces are taken before the files are read, or `again` after that: so no moment between the first and the last reading is
    without them.

    Raises:
        ArtifactError: an input is missing, or is not a regular file.
    """
    try:
        ignore_files = digest_paths(root, _ignore_files(root, declared.deps))
        names = sorted({file for dep in declared.deps for file in files_below(root, dep)})
        data = [name for name in names if not _is_compiled(name)]
        first = {} if again else traces(root, data)
        files = {name: digest_file(root / name) for name in names}
        found = traces(root, data) if again else first
    except FileNotFoundError as error:
        raise ArtifactError(
            f"{declared.name}: its input {error.filename} is missing; `dvc repro {declared.name}` makes what earlier stages write"
        ) from None
    return Seal(files, picked(params, declared.params), ignore_files, found)


def differences(before: Seal, after: Seal) -> list[str]:
    """What differs, by name: files, then parameters, then files that were changed and put back."""
    first, second = before.inputs, after.inputs
    files = sorted(file for file in first.keys() | second.keys() if first.get(file) != second.get(file))
    params = sorted(
        key for key in before.params.keys() | after.params.keys() if before.params.get(key) != after.params.get(key)
    )
    back = [f"{name} (and put back)" for name in touched(before.traces, after.traces) if name not in files]
    return [*files, *(f"{PARAMS_FILE}: {key}" for key in params), *back]


def _is_compiled(name: str) -> bool:
    """Of code it is known which bytes ran, whatever the file was in between."""
    return name.endswith(".py") and name.startswith("tasks/")


def _ignore_files(root: Path, deps: Iterable[str]) -> Iterator[str]:
    """The .dvcignore of the repository and of every folder above a declared folder."""
    folders = {parent for dep in deps if (root / dep).is_dir() for parent in Path(dep).parents}
    inside = sorted(folder for folder in {*folders, Path()} if not folder.is_absolute() and ".." not in folder.parts)
    return ((folder / IGNORE_FILE).as_posix() for folder in inside if (root / folder / IGNORE_FILE).is_file())
