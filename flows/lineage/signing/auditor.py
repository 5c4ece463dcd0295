"""Check a bundle of `goodfit lineage bundle`: every digest, statements against dvc.lock, dvc.lock against the signature.

    python verify.py [--public-key KEY.pub] [--no-data]

It needs Python 3.9 or newer and nothing else, and for the signature the program `openssl`, version 3 or newer. The result is `proven`
where the key that you give has signed dvc.lock, and else `consistent`: then the files agree with each other, and whoever made all of
them could have made them up.

exit codes: 0 consistent or proven, 1 mismatch, 2 missing (also a usage error), 3 no statement, 4 could not be checked
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import re
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

FILES, KEY, SIGNATURE = "files", "public-key.pem", "dvc.lock.dsse.json"
SIGNED = ("dvc.lock", "dvc.yaml", "params.yaml")
BESIDE = {*SIGNED, SIGNATURE}  # beside what dvc.lock and the statements name
PAYLOAD, RECORD = "application/vnd.in-toto+json", "urn:goodfit:record:v1"  # what `goodfit lineage sign` signs
LOCKED, IGNORE_FILE = "requirements.lock", ".dvcignore"
CONSISTENT, MISMATCH, MISSING, NO_STATEMENT, NOT_CHECKED = range(5)
WORDS = ("consistent", "mismatch", "missing", "no statement", "not checked")
SHOWN = 20
# What Python says of a document that is not what it should be; JSON in too many brackets is a RecursionError.
UNEXPECTED = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)


class UnreadableError(Exception):
    """Nothing can be said."""


class Wrong(NamedTuple):
    kind: int
    path: str
    expected: str
    found: str

    def __str__(self) -> str:
        return printable(f"{self.path}: expected {self.expected}, found {self.found}")


class Digest(NamedTuple):
    sha256: str
    md5: str
    size: int


def printable(text: str) -> str:
    """A file may be called so that it clears the screen or fakes a line."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def place(path: str) -> str:
    """Where the bundle keeps a path of the repository, which may be absolute or lead out of it."""
    parts = (part.replace("%", "%25") for part in PurePosixPath(path).parts)
    return "/".join({"/": "%2F", "..": "%2E%2E"}.get(part, part) for part in parts)


# Files


def digests_below(folder: Path) -> tuple[dict[str, Digest], list[Wrong]]:
    """The digests of all regular files, by their place in the bundle; whatever else lies there is wrong."""
    found: dict[str, Digest] = {}
    wrong: list[Wrong] = []
    for parent, folders, files in os.walk(folder):
        for name in sorted((*folders, *files)):
            path = Path(parent, name)
            where, mode = path.relative_to(folder).as_posix(), path.lstat().st_mode
            if stat.S_ISREG(mode):
                found[where] = digest(path)
            elif not stat.S_ISDIR(mode):
                wrong.append(Wrong(MISMATCH, where, "a regular file", "a link, a pipe or a device"))
    return found, wrong


def digest(path: Path) -> Digest:
    sha256, md5, size = hashlib.sha256(), hashlib.new("md5", usedforsecurity=False), 0
    with path.open("rb") as file:
        for chunk in iter(lambda: file.read(1 << 20), b""):
            sha256.update(chunk)
            md5.update(chunk)
            size += len(chunk)
    return Digest(sha256.hexdigest(), md5.hexdigest(), size)


def locked_digest(text: str) -> dict[str, str]:
    """What a statement has for requirements.lock: digests of what the file locks, not of its text (flows/lineage/packages.py)."""
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    lines: list[str] = []
    for line in code.replace("\\\n", " ").splitlines():
        words = line.partition(" #")[0].split()
        hashes = sorted(word for word in words if word.startswith("--hash="))
        stated = [word for word in words if not word.startswith("--hash=")]
        if stated and not stated[0].startswith("-"):
            lines.append(" ".join([*stated, *hashes]) + "\n")
    content = "".join(sorted(lines)).encode()
    return {
        "sha256": hashlib.sha256(content).hexdigest(),
        "md5": hashlib.new("md5", content, usedforsecurity=False).hexdigest(),
    }


def folder_md5(files: dict[str, str], folder: str) -> str:
    """What dvc.lock holds for a folder, from the MD5 of each file in it: DVC hashes the sorted list as JSON."""
    entries = [{"md5": md5, "relpath": path[len(folder) + 1 :]} for path, md5 in files.items() if path.startswith(folder + "/")]
    entries.sort(key=lambda entry: entry["relpath"])
    return hashlib.new("md5", json.dumps(entries, sort_keys=True).encode(), usedforsecurity=False).hexdigest() + ".dir"


# dvc.lock: the part of YAML in which DVC writes it. Whatever else it holds is refused, so that nothing is misread.


KEY_LINE = re.compile(r"('(?:[^']|'')*'|\"[^\"\\]*\"|[^\s'\"\[\]{},&*!|>%@`#?-][^#]*?|[-?][^\s#][^#]*?):(?: +(.*))?$")


class Lines:
    """The lines of dvc.lock with their indentation."""

    def __init__(self, text: str) -> None:
        self.lines = [(len(line) - len(line.lstrip(" ")), line.strip(" ")) for line in text.split("\n")]
        self.at = 0
        if not all(line.isprintable() for _, line in self.lines):
            raise UnreadableError("dvc.lock holds characters that cannot be printed; expected what DVC writes")
        while self.lines and not self.lines[-1][1]:
            self.lines.pop()
        self.at = 0

    def peek(self) -> tuple[int, str]:
        return self.lines[self.at] if self.at < len(self.lines) else (-1, "")

    def refuse(self, why: str) -> UnreadableError:
        return UnreadableError(f"dvc.lock, line {self.at + 1}: {why}; expected what DVC writes")

    def block(self, indent: int) -> Any:
        return self.sequence(indent) if (self.peek()[1] + " ").startswith("- ") else self.mapping(indent)

    def mapping(self, indent: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while self.peek()[0] == indent and not (self.peek()[1] + " ").startswith("- "):
            match = KEY_LINE.match(self.peek()[1])
            if match is None:
                raise self.refuse(f"found {self.peek()[1][:40]!r}, which is no key with a value")
            key = str(self.scalar(match[1])) if match[1][0] in "'\"" else match[1]
            if key in found:
                raise self.refuse(f"the key {key!r} stands there twice")
            found[key] = self.value(match[2] or "", indent, list_may_start_here=True)
        if self.peek()[0] > indent:
            raise self.refuse("the indentation is not as expected")
        return found

    def sequence(self, indent: int) -> list[Any]:
        found: list[Any] = []
        while self.peek()[0] == indent and (self.peek()[1] + " ").startswith("- "):
            rest = self.peek()[1][1:].lstrip(" ")
            inner = indent + len(self.peek()[1]) - len(rest)
            if (rest + " ").startswith("- ") or KEY_LINE.match(rest):
                self.lines[self.at] = (inner, rest)
                found.append(self.block(inner))
            else:
                found.append(self.value(rest, indent, list_may_start_here=False))
        return found

    def value(self, rest: str, indent: int, list_may_start_here: bool) -> Any:
        self.at += 1
        deep, following = self.peek()
        is_block = (following + " ").startswith("- ") or KEY_LINE.match(following)
        if not rest and is_block and (deep > indent or (list_may_start_here and deep == indent and following[0] == "-")):
            return self.block(deep)
        while self.at < len(self.lines) and (deep > indent or not following):  # a long text goes on
            if rest.startswith('"') and re.search(r"(?<!\\)(\\\\)*\\$", rest):
                rest = rest[:-1] + following  # a backslash at the end of a line joins it to the next
            else:
                rest += "\n" if not following else f" {following}" if rest else following
            self.at += 1
            deep, following = self.peek()
        return self.scalar(rest) if rest else None

    def scalar(self, text: str) -> Any:
        if text in ("[]", "{}"):
            return [] if text == "[]" else {}
        if "\n" in text:
            raise self.refuse("a text over several paragraphs")
        if text[0] == "'":
            if not re.fullmatch(r"'(?:[^']|'')*'", text):
                raise self.refuse("a quotation mark is missing")
            return text[1:-1].replace("''", "'")
        if text[0] == '"':
            return self.quoted(text)
        if text[0] in "[]{}&*!|>%@`#," or " #" in text or ": " in text or text.endswith(":"):
            raise self.refuse(f"found {text[:40]!r}")
        try:
            return plain(text)
        except ValueError:  # Python reads no number of more than 4300 digits
            raise self.refuse(f"found {text[:40]!r}…, a number of {len(text)} digits") from None

    def quoted(self, text: str) -> str:
        try:
            return str(json.loads(re.sub(r"(?<!\\)((?:\\\\)*)\\ ", r"\1 ", text)))
        except ValueError:
            raise self.refuse(f"found {text[:40]!r}") from None


def plain(text: str) -> Any:
    """A value without quotation marks, as YAML 1.2 reads it."""
    if text.lower() in ("true", "false") and text in (text.lower(), text.title(), text.upper()):
        return text.lower() == "true"
    if text in ("~", "null", "Null", "NULL"):
        return None
    if re.fullmatch(r"[-+]?[0-9]+", text):
        return int(text)
    if re.fullmatch(r"[-+]?([0-9]+\.[0-9]*([eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+|\.[0-9]+([eE][-+]?[0-9]+)?)", text):
        return float(text)
    if re.fullmatch(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", text):
        return float(text.replace(".", ""))
    return text


def read_lock(path: Path) -> dict[str, Any]:
    """The stages of dvc.lock."""
    try:
        lines = Lines(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableError(f"dvc.lock cannot be read ({error})") from None
    document = lines.block(0)
    if lines.at != len(lines.lines):
        raise lines.refuse("the indentation is not as expected")
    stages = document.get("stages") if isinstance(document, dict) else None
    if not isinstance(stages, dict) or not stages:
        raise UnreadableError("dvc.lock has no stages; expected what DVC writes")
    return stages


# The checks


class Bundle:
    """What lies in a bundle, and what does not hold."""

    def __init__(self, root: Path, data: bool) -> None:
        self.data = data
        self.root = root / FILES
        self.files, self.wrong = digests_below(self.root)
        self.stages = read_lock(self.root / "dvc.lock")
        self.named = set(BESIDE)
        self.folders: set[str] = set()  # those that dvc.lock lists as a whole
        self.said = set(self.wrong)

    def check(self) -> None:
        made: dict[str, str] = {}
        for name, entry in self.stages.items():
            for out in self.entries(name, entry, "outs"):
                made[out["path"]] = out["md5"]
        for name, entry in self.stages.items():
            for kind in ("deps", "outs"):
                for one in self.entries(name, entry, kind):
                    if kind == "deps" and made.get(one["path"], one["md5"]) != one["md5"]:
                        what = f"md5 {made[one['path']]}, which another stage wrote"
                        self.add(MISMATCH, f"dvc.lock: {name}: {one['path']}", what, f"md5 {one['md5']}")
                    self.check_entry(one)
            self.check_statement(name, entry)
        for path in sorted(self.files.keys() - self.named):
            if self.folders.isdisjoint(map(str, PurePosixPath(path).parents)):
                self.add(MISMATCH, path, "no such file: nothing names it", f"sha256 {self.files[path].sha256}")

    def add(self, kind: int, path: str, expected: str, found: str) -> None:
        wrong = Wrong(kind, path, expected, found)
        if wrong not in self.said:
            self.said.add(wrong)
            self.wrong.append(wrong)

    def entries(self, stage: str, entry: Any, kind: str) -> list[dict[str, Any]]:
        if not isinstance(entry, dict):
            raise UnreadableError(f"dvc.lock: {stage}: found {entry!r:.60}; expected a mapping with cmd, deps and outs")
        listed = entry.get(kind, [])
        if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
            raise UnreadableError(f"dvc.lock: {stage}: {kind}: found {listed!r:.60}; expected a list")
        for one in listed:
            if not (isinstance(one.get("path"), str) and isinstance(one.get("md5"), str) and one.get("hash", "md5") == "md5"):
                raise UnreadableError(f"dvc.lock: {stage}: {kind}: found {one!r:.120}; expected a path with its md5")
        return listed

    def below(self, path: str) -> dict[str, Digest]:
        """The files of a folder in the bundle, by their path below it."""
        start = place(path) + "/"
        return {name[len(start) :].replace("%25", "%"): one for name, one in self.files.items() if name.startswith(start)}

    def check_entry(self, one: dict[str, Any]) -> None:
        """A file or folder of dvc.lock against the bytes in the bundle."""
        path, md5, where = one["path"], one["md5"], place(one["path"])
        (self.folders if md5.endswith(".dir") else self.named).add(where)
        files = self.below(path) if md5.endswith(".dir") else {where: self.files[where]} if where in self.files else {}
        if not files:
            if self.data:
                self.add(MISSING, path, f"md5 {md5}", "no file")
            return
        md5s = {f"{path}/{name}": file.md5 for name, file in files.items()}
        found = folder_md5(md5s, path) if md5.endswith(".dir") else files[where].md5
        if found != md5:
            self.add(MISMATCH, path, f"md5 {md5} (dvc.lock)", f"md5 {found}")
        for key, value in (("size", sum(file.size for file in files.values())), ("nfiles", len(files))):
            if key in one and one[key] != value and (key == "size" or md5.endswith(".dir")):
                self.add(MISMATCH, path, f"{key} {one[key]} (dvc.lock)", f"{key} {value}")

    def check_statement(self, stage: str, entry: dict[str, Any]) -> None:
        """A stage's statement against dvc.lock and against the bytes."""
        own = f"lineage/{stage}.json"
        if own not in self.files or own not in {out["path"] for out in entry.get("outs", [])}:
            self.add(NO_STATEMENT, own, "a statement", "none" if own not in self.files else "one that dvc.lock does not record")
            return
        try:
            document = json.loads((self.root / own).read_text(encoding="utf-8"))
            definition = document["predicate"]["buildDefinition"]
            external = definition["externalParameters"]
            kinds = (document["_type"], document["predicateType"])
            outputs = digests_in(document["subject"])
            files = [entry for entry in definition["resolvedDependencies"] if is_file(entry)]
            first_version = not document["predicate"].get("runDetails", {}).get("builder", {}).get("builderDependencies")
            inputs = digests_in(entry for entry in files if not is_beside(entry, first_version))
            beside = digests_in(entry for entry in files if is_beside(entry, first_version))
            called = {"stage": external["stage"], "command": external["command"], **flat(external["parameters"], "parameter ")}
        except UNEXPECTED as error:
            self.add(MISMATCH, own, "an in-toto statement with SLSA provenance", f"{type(error).__name__}: {error}")
            return
        if kinds != ("https://in-toto.io/Statement/v1", "https://slsa.dev/provenance/v1"):
            self.add(MISMATCH, own, "an in-toto statement with SLSA provenance", " and ".join(map(str, kinds)))
        recorded = entry.get("params") or {}
        params = (recorded.get("params.yaml") or {}) if isinstance(recorded, dict) else recorded
        if not isinstance(params, dict):
            raise UnreadableError(f"dvc.lock: {stage}: params: found {params!r:.60}; expected a mapping for params.yaml")
        locked = {"stage": stage, "command": entry.get("cmd"), **flat(params, "parameter ")}
        for key in {**locked, **called}:
            sides = [json.dumps(one[key]) if key in one else "nothing" for one in (called, locked)]
            if sides[0] != sides[1]:
                self.add(MISMATCH, f"{own}: {key}", f"{sides[0]} (statement)", f"{sides[1]} (dvc.lock)")
        outs = [out for out in self.entries(stage, entry, "outs") if out["path"] != own]
        self.check_listed(own, outputs, outs)
        self.check_listed(own, inputs, self.entries(stage, entry, "deps"))
        for name, stated in beside.items():
            self.check_beside(own, name, stated)

    def check_beside(self, own: str, name: str, stated: dict[str, str]) -> None:
        """A .dvcignore, or requirements.lock, as a statement has it; each is in every bundle, with or without its data."""
        where = place(name)
        self.named.add(where)
        file = self.files.get(where)
        if file is None:
            self.add(MISSING, name, f"sha256 {stated.get('sha256')} ({own})", "no file")
            return
        found = {"sha256": file.sha256, "md5": file.md5}
        if name == LOCKED and found != stated:  # version 1 of the statement has the digests of the text
            found = locked_digest((self.root / where).read_text(encoding="utf-8", errors="replace"))
        if found != stated:
            self.add(MISMATCH, name, f"sha256 {stated.get('sha256')} ({own})", f"sha256 {found['sha256']}")

    def check_listed(self, own: str, stated: dict[str, Any], locked: list[dict[str, Any]]) -> None:
        """The files that a statement lists are those of dvc.lock, and have the bytes that it states."""
        left = dict(stated)
        for one in locked:
            path, md5 = one["path"], one["md5"]
            files = {name: left.pop(name) for name in list(left) if name == path or name.startswith(path + "/")}
            md5s = {name: str(two.get("md5")) for name, two in files.items()}
            said = folder_md5(md5s, path) if md5.endswith(".dir") else md5s.get(path, "nothing")
            if said != md5:
                self.add(MISMATCH, f"{own}: {path}", f"md5 {md5} (dvc.lock)", f"md5 {said}")
        for name in left:
            self.add(MISMATCH, f"{own}: {name}", "no such file: dvc.lock does not list it", "a digest")
        for name, two in stated.items():
            found = self.files.get(place(name))
            if found is not None and (two.get("sha256"), two.get("md5")) != (found.sha256, found.md5):
                self.add(MISMATCH, name, f"sha256 {two.get('sha256')} ({own})", f"sha256 {found.sha256}")
            elif found is None and self.data:
                self.add(MISSING, name, f"sha256 {two.get('sha256')} ({own})", "no file")

    def check_signature(self, keys: list[Path]) -> list[str]:
        """The names of the keys that signed the record; none where there is no signature."""
        if SIGNATURE not in self.files:
            if keys:
                self.add(MISSING, SIGNATURE, "a signature", "none")
            return []
        try:
            document = json.loads((self.root / SIGNATURE).read_text(encoding="utf-8"))
            payload, kind = base64.b64decode(document["payload"], validate=True), str(document["payloadType"])
            signatures = [base64.b64decode(one["sig"], validate=True) for one in document["signatures"]]
            record = json.loads(payload)
            subjects = {name: one["sha256"] for name, one in digests_in(record["subject"]).items()}
            kinds = (kind, record["predicateType"])
        except UNEXPECTED as error:
            self.add(MISMATCH, SIGNATURE, "a DSSE envelope over a record", f"{type(error).__name__}: {error}")
            return []
        if kinds != (PAYLOAD, RECORD):  # the same key may have signed the same files to say that they were rejected
            self.add(MISMATCH, SIGNATURE, f"a signature over {RECORD!r} in {PAYLOAD!r}", f"one over {kinds[1]!r} in {kind!r}")
            return []
        statements = {f"lineage/{stage}.json" for stage in self.stages}
        for name in sorted({*SIGNED, *(statements & self.files.keys())} | subjects.keys()):
            found = self.files.get(name)
            if name not in subjects:
                self.add(MISMATCH, name, "to be signed", "a file that the signature does not cover")
            elif found is None:
                self.add(MISSING, name, f"sha256 {subjects[name]} (signature)", "no file")
            elif found.sha256 != subjects[name]:
                self.add(MISMATCH, name, f"sha256 {subjects[name]} (signature)", f"sha256 {found.sha256}")
        message = b" ".join((b"DSSEv1", str(len(kind)).encode(), kind.encode(), str(len(payload)).encode(), payload))
        signed = [key for key in keys if any(openssl_verifies(key, message, one) for one in signatures)]
        for key in keys:
            if key not in signed:
                self.add(MISMATCH, SIGNATURE, f"a signature of {key.name}", "none that is valid")
        return [key.name for key in signed]


def digests_in(listed: Iterable[Any]) -> dict[str, dict[str, str]]:
    """The files of a statement's list with their digests, once it is what it should be."""
    found: dict[str, dict[str, str]] = {}
    for one in listed:
        name, digest = one["name"], one["digest"]
        if not (isinstance(name, str) and isinstance(digest, dict) and all(isinstance(text, str) for text in digest.values())):
            raise ValueError(f"found {one!r:.80}; expected a name and its digests")
        if name in found:
            raise ValueError(f"{name!r:.80} stands there twice")
        found[name] = digest
    return found


def is_beside(entry: dict[str, Any], first_version: bool) -> bool:
    """Whether it is requirements.lock or a .dvcignore, which decide what a stage finds, and which dvc.lock does not list.

    A stage may declare requirements.lock as well; what it locks is told by an annotation, which the first version did not have.
    """
    if entry["name"] == LOCKED:
        return first_version or "digestOf" in (entry.get("annotations") or {})
    return PurePosixPath(entry["name"]).name == IGNORE_FILE


def is_file(entry: dict[str, Any]) -> bool:
    """Whether it is a file of the repository, and neither a package nor what was read outside of it."""
    other = entry.get("uri") or (entry.get("annotations") or {}).get("undeclared")
    return not other and "md5" in entry.get("digest", {})


def flat(value: Any, prefix: str) -> dict[str, Any]:
    """Every value under its whole key."""
    found: dict[str, Any] = {}
    for key, part in value.items():
        found.update(flat(part, f"{prefix}{key}.") if isinstance(part, dict) and part else {f"{prefix}{key}": part})
    return found


def openssl_verifies(key: Path, message: bytes, signature: bytes) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        signed, file = Path(folder, "signed"), Path(folder, "signature")
        signed.write_bytes(message)
        file.write_bytes(signature)
        command = [
            "openssl",
            "pkeyutl",
            "-verify",
            "-pubin",
            "-inkey",
            str(key),
            "-rawin",
            "-in",
            str(signed),
            "-sigfile",
            str(file),
        ]
        try:
            version = subprocess.run(["openssl", "version"], capture_output=True, text=True, check=True).stdout
            readable = subprocess.run(
                ["openssl", "pkey", "-pubin", "-noout", "-in", str(key)], capture_output=True, check=False
            )
        except (OSError, subprocess.CalledProcessError):
            raise UnreadableError("the signature needs the program `openssl`, version 3 or newer, which is not there") from None
        if not re.match(r"OpenSSL ([3-9]|\d\d)", version):
            raise UnreadableError(f"the signature needs `openssl`, version 3 or newer; found {version.strip()}")
        if readable.returncode:
            raise UnreadableError(f"{key} cannot be read as a public key; expected PEM")
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


def outcome(wrong: Iterable[Wrong]) -> int:
    """The gravest of what was found."""
    kinds = {one.kind for one in wrong}
    return next((kind for kind in (MISMATCH, MISSING, NO_STATEMENT) if kind in kinds), CONSISTENT)


def told(bundle: Bundle, key: Path | None, signed: list[str]) -> Iterator[str]:
    """The result in the first line, and what a reader should know."""
    code = outcome(bundle.wrong)
    word = "proven" if code == CONSISTENT and key and signed else WORDS[code]
    yield f"{word}: {len(bundle.files)} files of {len(bundle.stages)} stages hashed again" + (
        f"; dvc.lock is signed by {signed[0]}" if word == "proven" else ""
    )
    if not bundle.data:
        yield "note: only the record was checked: what is not in this bundle was not looked at (--no-data)"
    if word == "consistent" and signed:
        yield f"note: signed by the key in this bundle, {signed[0]}; take the key from the signer: --public-key KEY.pub"
    elif word == "consistent":
        yield "note: not signed, or no key was given: whoever made all of these files could have made them up"


def main(arguments: list[str] | None = None, root: Path | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--public-key", metavar="KEY.pub", type=Path, help="of who must have signed, from them")
    parser.add_argument("--no-data", dest="data", action="store_false", help="do not miss what the bundle leaves out")
    options = parser.parse_args(arguments)
    root = root or Path(__file__).resolve().parent
    bundled = root / KEY
    try:
        bundle = Bundle(root, options.data)
        bundle.check()
        keys = [options.public_key] if options.public_key else [bundled] if bundled.is_file() else []
        if options.public_key and not options.public_key.is_file():
            raise UnreadableError(f"{options.public_key} is not there; expected a public key")
        signed = bundle.check_signature(keys)
    except UnreadableError as error:
        print(printable(f"not checked: {error}"))
        return NOT_CHECKED
    except UNEXPECTED as error:  # a traceback would end with 1, the code of a mismatch
        print(printable(f"not checked: the bundle cannot be read ({type(error).__name__}: {error})"))
        return NOT_CHECKED
    for one in bundle.wrong[:SHOWN]:
        print(one, file=sys.stderr)
    if len(bundle.wrong) > SHOWN:
        print(f"and {len(bundle.wrong) - SHOWN} more", file=sys.stderr)
    for line in told(bundle, options.public_key, signed):
        print(printable(line))
    return outcome(bundle.wrong)


if __name__ == "__main__":
    sys.exit(main())
