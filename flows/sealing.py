"""The seal: what a stage is about to read, byte for byte, and whether any of it was changed while the stage ran.

Digests alone do not see a file that is changed and put back while the stage reads it. So the seal also keeps when each file's inode was
last changed, which no program can set: writing, renaming, and setting the time of the content back all move it forward.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows.declaration import Declaration
from flows.lineage.digest import digest_paths
from flows.lineage.ignore import IGNORE_FILE
from flows.parameters.checking import picked
from tasks.contracts.statement import Digest
from tasks.core.errors import ArtifactError
from tasks.core.settings import PARAMS_FILE

# What must stay the same of a file or a folder, beside its bytes.
Traces = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Seal:
    """What a stage is about to read: the digest of every input file and the value of every parameter.

    `ignore_files` are those that decide which files of a folder are inputs. `traces` tell whether a file was touched: they belong to
    one run and one machine, and are in no statement.
    """

    files: dict[str, Digest]
    params: dict[str, Any]
    ignore_files: dict[str, Digest] = field(default_factory=dict)
    traces: Traces = field(default_factory=dict, compare=False)

    @property
    def inputs(self) -> dict[str, Digest]:
        """Every file, as the statement lists them."""
        return self.files | self.ignore_files


def seal(root: Path, declared: Declaration, params: dict[str, Any]) -> Seal:
    """Hash every declared input, byte for byte, and pick every declared parameter from the document `params`.

    Raises:
        ArtifactError: an input is missing, or is no regular file.
    """
    try:
        ignore_files = digest_paths(root, _ignore_files(root, declared.deps))
        files = digest_paths(root, declared.deps)
    except FileNotFoundError as error:
        raise ArtifactError(
            f"{declared.name}: its input {error.filename} is missing; `dvc repro {declared.name}` makes what earlier stages write"
        ) from None
    return Seal(files, picked(params, declared.params), ignore_files, {})


def differences(before: Seal, after: Seal) -> list[str]:
    """What differs, by name: files, then parameters."""
    first, second = before.inputs, after.inputs
    files = sorted(file for file in first.keys() | second.keys() if first.get(file) != second.get(file))
    params = sorted(
        key for key in before.params.keys() | after.params.keys() if before.params.get(key) != after.params.get(key)
    )
    return [*files, *(f"{PARAMS_FILE}: {key}" for key in params)]


def _ignore_files(root: Path, deps: Iterable[str]) -> Iterator[str]:
    """The .dvcignore of the repository and of every folder above a declared folder."""
    folders = {parent for dep in deps if (root / dep).is_dir() for parent in Path(dep).parents}
    inside = sorted(folder for folder in {*folders, Path()} if not folder.is_absolute() and ".." not in folder.parts)
    return ((folder / IGNORE_FILE).as_posix() for folder in inside if (root / folder / IGNORE_FILE).is_file())
