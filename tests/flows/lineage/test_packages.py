"""A wheel's digest is the same on every machine; a changed file of an installed package is found."""

import hashlib
import sys
from base64 import urlsafe_b64encode
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from flows.lineage.packages import changed_files, loaded, locked_digest, record_digest

CODE = b"x = 1\n"
DIGEST = "sha256=" + urlsafe_b64encode(hashlib.sha256(CODE).digest()).decode().rstrip("=")
INFO = "wild_flowers-1.2.dist-info"
OWN = [f"flowers/__init__.py,{DIGEST},6", f"flowers/petals.py,{DIGEST},6", f"{INFO}/METADATA,{DIGEST},6"]
PIP = [
    "flowers/__pycache__/petals.cpython-311.pyc,,",
    f"{INFO}/INSTALLER,{DIGEST},4",
    f"{INFO}/RECORD,,",
    f"../../../bin/grow,{DIGEST},9",
]
UV = [
    f"{INFO}/uv_cache.json,{DIGEST},4",
    f"{INFO}/direct_url.json,{DIGEST},4",
    f"{INFO}/REQUESTED,{DIGEST},0",
    f"{INFO}/RECORD,,",
]


def install(site: Path, record: list[str] | None) -> None:
    for name in ("flowers/__init__.py", "flowers/petals.py"):
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_bytes(CODE)
    (site / INFO).mkdir()
    (site / INFO / "METADATA").write_bytes(CODE)
    if record is not None:
        (site / INFO / "RECORD").write_text("\n".join(record) + "\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_the_digest_is_that_of_the_wheel_whatever_installed_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = set()
    for number, record in enumerate((OWN + PIP, UV + OWN[::-1], [f'"{OWN[0].replace(",", chr(34) + ",", 1)}', *OWN[1:]])):
        place = tmp_path / str(number)
        install(place, record)
        with monkeypatch.context() as patched:
            patched.syspath_prepend(str(place))
            found.add(record_digest("wild-flowers"))
    assert len(found) == 1
    assert found != {None}


def test_another_file_in_the_wheel_is_another_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = set()
    for number, record in enumerate((OWN, OWN[:2], [OWN[0].replace("sha256=", "sha256=A"), *OWN[1:]])):
        place = tmp_path / str(number)
        install(place, record)
        with monkeypatch.context() as patched:
            patched.syspath_prepend(str(place))
            found.add(record_digest("wild-flowers"))
    assert len(found) == 3


def test_what_has_no_record_has_no_digest(site: Path) -> None:
    install(site, None)
    assert record_digest("wild-flowers") is None
    with pytest.raises(PackageNotFoundError):
        record_digest("tame-flowers")


def test_changed_and_missing_files_are_found(site: Path) -> None:
    install(site, OWN + PIP)
    assert changed_files("wild-flowers") == []
    (site / "flowers/__init__.py").write_bytes(b"x = 2\n")
    (site / "flowers/petals.py").unlink()
    expected = hashlib.sha256(CODE).hexdigest()
    assert changed_files("wild-flowers") == [
        (site / "flowers/__init__.py", expected, hashlib.sha256(b"x = 2\n").hexdigest()),
        (site / "flowers/petals.py", expected, None),
    ]


def test_an_installed_package_is_what_its_wheel_brought() -> None:
    assert changed_files("safetensors") == []


def test_the_environments_digest_is_of_what_is_locked(tmp_path: Path) -> None:
    assert locked_digest(tmp_path) is None
    lock = tmp_path / "requirements.lock"
    texts = [
        "# by uv\na==1.0 ; python_version < '3.12' \\\n    --hash=sha256:11 \\\n    --hash=sha256:22\n    # via b\nb==2\n",
        "b==2  # needed\na==1.0 ; python_version < '3.12' --hash=sha256:22 --hash=sha256:11\n--index-url https://example.org\n",
        "a==1.0 ; python_version < '3.12' --hash=sha256:22 --hash=sha256:33\nb==2\n",
        "a==1.0 --hash=sha256:22 --hash=sha256:11\nb==2\n",
        "a==1.0 ; python_version < '3.12' --hash=sha256:22 --hash=sha256:11\nb==3\n",
    ]
    found = []
    for text in texts:
        lock.write_text(text)
        found.append(locked_digest(tmp_path))
    assert found[0] == found[1]
    assert len({digest.sha256 for digest in found if digest}) == 4


def test_a_package_whose_file_was_read_counts_as_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    resolved = {"train": {"model": {"name": "imported", "version": "wild-flowers 1.2"}, "augment": [{"name": "x"}]}}
    monkeypatch.delitem(sys.modules, "captum", raising=False)  # another test of this process may have loaded it
    assert "captum" not in loaded({})
    assert {"captum", "wild-flowers"} <= set(loaded(resolved, {"captum"}))
