"""The installed packages that a stage's result comes from: which of them it loaded, and a digest of each one's wheel.

A wheel lists its files with their SHA-256 in its RECORD. A digest of that list, without what an installer adds to it, is the same on
every machine that has the same wheel, and costs milliseconds where reading the files of torch takes seconds.
"""

import ast
import csv
import hashlib
import re
import sys
from base64 import urlsafe_b64decode
from collections.abc import Collection, Iterable, Iterator
from importlib.metadata import Distribution, distribution, packages_distributions, version
from importlib.util import decode_source
from pathlib import Path
from typing import Any, NamedTuple

from flows.lineage.digest import digest_file
from tasks.contracts.statement import REQUIREMENTS, Digest

# The packages whose arithmetic or file formats reach the outputs, each with the name under which it is imported.
PACKAGES = {
    "captum": "captum",
    "jinja2": "jinja2",
    "markupsafe": "markupsafe",
    "matplotlib": "matplotlib",
    "numpy": "numpy",
    "onnx": "onnx",
    "onnxruntime": "onnxruntime",
    "onnxscript": "onnxscript",
    "pandas": "pandas",
    "pillow": "PIL",
    "pyarrow": "pyarrow",
    "safetensors": "safetensors",
    "scikit-learn": "sklearn",
    "scipy": "scipy",
    "torch": "torch",
    "torchvision": "torchvision",
}
# The modules of other packages that goodfit's own code in tasks/ imports: they check parameters, fetch files and show progress. No
# output of that code holds a byte of their making, and which of them are loaded depends on the terminal and the network.
TOOLS = {"pooch", "pydantic", "pydantic_core", "requests", "ruamel", "tqdm"}
# What installers write beside a wheel's own files, pip and uv each in their way.
INSTALLERS = {"INSTALLER", "RECORD", "REQUESTED", "direct_url.json", "uv_build.json", "uv_cache.json"}


class ChangedFile(NamedTuple):
    """An installed file that is not what its wheel brought; `found` is None where it is missing."""

    path: Path
    expected: str  # SHA-256, hexadecimal
    found: str | None


def versions(resolved: dict[str, Any]) -> dict[str, str]:
    """The version of every package that a stage may load, by name; `resolved` are its parameters with all defaults."""
    return {name: version(name) for name in sorted({*PACKAGES, *_imported(resolved)})}


def imported(sources: Iterable[Path]) -> dict[str, list[str]]:
    """The packages beyond `PACKAGES` that these source files import and this process has loaded, such as those of a user's component.

    Returns:
        The name of each module, and the names of the distributions that bring it: none where it was put there without an installer.
    """
    known = {*sys.stdlib_module_names, *PACKAGES.values(), *TOOLS, "flows", "tasks"}
    others = {name.partition(".")[0] for name in sys.modules} - known
    named = re.compile(rf"\b(?:{'|'.join(map(re.escape, others))})\b")  # few files name one of them, and only these are parsed
    texts = (decode_source(source.read_bytes()) for source in sources if source.is_file())  # a module may lie in a zip
    found = {name for text in texts if named.search(text) for name in _top_level_imports(text)} & others
    owners = packages_distributions() if found else {}  # reads the metadata of all that is installed
    return {name: _owners(name, sorted(set(owners.get(name, ())))) for name in sorted(found)}


def _owners(module: str, distributions: list[str]) -> list[str]:
    """Of several distributions that share a namespace, those of which a file was loaded."""
    if len(distributions) < 2:
        return distributions
    modules = [found for name, found in list(sys.modules.items()) if name.partition(".")[0] == module]
    files = {Path(file).resolve() for found in modules if isinstance(file := getattr(found, "__file__", None), str)}
    return [name for name in distributions if not files.isdisjoint(_installed(distribution(name)))] or distributions


def _installed(found: Distribution) -> Iterator[Path]:
    for path, _ in _files(found.read_text("RECORD") or ""):
        yield Path(str(found.locate_file(path))).resolve()


def loaded(resolved: dict[str, Any], read: Collection[str] = (), others: Iterable[str] = ()) -> list[str]:
    """The packages that this process has loaded, those of the components `imported` that were chosen, and those it read files of.

    Args:
        resolved: the stage's parameters, with all defaults.
        read: the folders of packages in which a file was read; scikit-learn's digits need no import of it.
        others: distributions that the stage's own code imports (`imported`).

    Returns:
        The names of the distributions, sorted.
    """
    found = {name for name, module in PACKAGES.items() if module in sys.modules or module in read}
    return sorted({canonical(name) for name in (*found, *_imported(resolved), *others)})


def canonical(name: str) -> str:
    """The name of a distribution as package URLs and PEP 503 spell it: `PyYAML` is `pyyaml`."""
    return re.sub(r"[-_.]+", "-", name).lower()


def record_digest(name: str) -> str | None:
    """SHA-256 over the paths and digests in the RECORD of an installed distribution; None where it has no RECORD.

    Raises:
        PackageNotFoundError: it is not installed.
    """
    record = distribution(name).read_text("RECORD")
    if record is None:
        return None
    lines = sorted(f"{path},{digest}\n" for path, digest in _files(record))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def changed_files(name: str) -> list[ChangedFile]:
    """The installed files of a distribution that are missing or have other bytes than its wheel; reads them all.

    Raises:
        PackageNotFoundError: it is not installed.
    """
    found = distribution(name)
    return list(_changed(found, found.read_text("RECORD") or ""))


def locked_digest(root: Path) -> Digest | None:
    """The digests of what requirements.lock locks: names, versions, markers and hashes, sorted; None where there is no such file.

    Not of its text: a comment, or another order, locks nothing else.
    """
    try:
        text = (root / REQUIREMENTS).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    content = "".join(sorted(_locked(text))).encode()
    return Digest(sha256=hashlib.sha256(content).hexdigest(), md5=hashlib.md5(content, usedforsecurity=False).hexdigest())


def _top_level_imports(text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def _locked(text: str) -> Iterator[str]:
    """One line for each requirement, with its hashes in order."""
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for line in code.replace("\\\n", " ").splitlines():
        words = line.partition(" #")[0].split()
        hashes = sorted(word for word in words if word.startswith("--hash="))
        stated = [word for word in words if not word.startswith("--hash=")]
        if stated and not stated[0].startswith("-"):
            yield " ".join([*stated, *hashes]) + "\n"


def _changed(installed: Distribution, record: str) -> Iterator[ChangedFile]:
    for path, digest in _files(record):
        algorithm, _, encoded = digest.partition("=")
        if algorithm != "sha256":
            continue
        expected = urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).hex()
        file = Path(str(installed.locate_file(path)))
        try:
            found = digest_file(file).sha256
        except FileNotFoundError:
            found = None
        if found != expected:
            yield ChangedFile(file, expected, found)


def _files(record: str) -> Iterator[tuple[str, str]]:
    """Path and digest of each of the wheel's own files, without bytecode, scripts and what installers write."""
    lines = record.splitlines()
    rows = csv.reader(lines) if '"' in record else (line.rsplit(",", 2) for line in lines)  # torch has 12,000 lines
    for row in rows:
        if len(row) != 3:
            continue
        path, digest, _ = row
        folder, _, name = path.rpartition("/")
        installers = name in INSTALLERS and folder.endswith(".dist-info")
        if digest and not installers and not path.startswith(("../", "/")) and "__pycache__" not in path:
            yield path, digest


def _imported(resolved: dict[str, Any]) -> Iterator[str]:
    """The distributions of the components `imported` that were chosen (tasks/core/imported.py)."""
    if resolved.get("name") == "imported" and resolved.get("version"):
        yield str(resolved["version"]).partition(" ")[0]
    for value in resolved.values():
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, dict):
                yield from _imported(part)
