"""Downloads against a real server on this machine, and real files."""

import hashlib
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tasks.core.errors import ArtifactError, DataError
from tasks.sources.fetching import MIRROR, DownloadError, Published, fetch_file, md5_of, verify

BODY = bytes(range(256)) * 400
MD5 = hashlib.md5(BODY, usedforsecurity=False).hexdigest()


class Answers(BaseHTTPRequestHandler):
    """`/good/…` gives the file, `/cut/…` closes half-way, `/other/…` gives other bytes, all else is not found."""

    def do_GET(self) -> None:
        kind = self.path.split("/")[1]
        if kind not in ("good", "cut", "other"):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write({"good": BODY, "cut": BODY[:1000], "other": BODY[::-1]}[kind])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name of the base class)
        """Keep the test's output clean."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as http:
        thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _no_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MIRROR, raising=False)
    monkeypatch.setenv("no_proxy", "*")


def published(*urls: str) -> Published:
    return Published("file.gz", MD5, urls)


def failure(folder: Path, *urls: str) -> str:
    """The message of a download that cannot succeed; nothing may be left behind."""
    with pytest.raises(DownloadError) as caught:
        fetch_file("mnist", published(*urls), folder)
    assert list(folder.iterdir()) == []
    return str(caught.value)


def test_fetches_a_file_over_http(server: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    fetch_file("mnist", published(f"{server}/good/file.gz"), tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["file.gz"]
    assert (tmp_path / "file.gz").read_bytes() == BODY
    assert capfd.readouterr() == ("", "")  # no progress bar where stderr is not a terminal


def test_goes_on_to_the_next_mirror(server: str, tmp_path: Path) -> None:
    fetch_file(
        "mnist", published(f"{server}/cut/file.gz", f"{server}/other/f", f"{server}/none/f", f"{server}/good/f"), tmp_path
    )

    assert (tmp_path / "file.gz").read_bytes() == BODY


def test_rejects_a_truncated_file(server: str, tmp_path: Path) -> None:
    message = failure(tmp_path, f"{server}/cut/file.gz")

    assert f"{server}/cut/file.gz: truncated: got 1000 of {len(BODY)} bytes" in message


def test_rejects_a_wrong_checksum_and_names_both(server: str, tmp_path: Path) -> None:
    message = failure(tmp_path, f"{server}/other/file.gz")

    found = hashlib.md5(BODY[::-1], usedforsecurity=False).hexdigest()
    assert f"{server}/other/file.gz: wrong checksum: found md5 {found} ({len(BODY)} bytes), expected {MD5}" in message


def test_names_every_mirror_tried_with_its_reason(server: str, tmp_path: Path) -> None:
    with socket.socket() as unused:  # bound and not listening: a port that refuses
        unused.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{unused.getsockname()[1]}/file.gz"
        message = failure(tmp_path, f"{server}/none/file.gz", closed)

    assert f"{server}/none/file.gz: HTTP 404 Not Found" in message
    assert f"{closed}: unreachable: [Errno " in message
    assert f"set {MIRROR} to a URL" in message
    assert "mnist/file.gz lies" in message


def test_gives_up_on_a_silent_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.sources.fetching.TIMEOUT_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/file.gz"
        message = failure(tmp_path, url)

    assert f"{url}: timed out" in message


def test_takes_the_file_from_the_users_mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mirror/mnist").mkdir(parents=True)
    (tmp_path / "mirror/mnist/file.gz").write_bytes(BODY)
    (tmp_path / "raw").mkdir()
    monkeypatch.setenv(MIRROR, (tmp_path / "mirror").as_uri() + "/")

    fetch_file("mnist", published(), tmp_path / "raw")

    assert (tmp_path / "raw/file.gz").read_bytes() == BODY


def test_tries_the_users_mirror_first_and_falls_back(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "raw").mkdir()
    monkeypatch.setenv(MIRROR, (tmp_path / "nowhere").as_uri())
    message = failure(tmp_path / "raw", f"{server}/cut/file.gz")

    fetch_file("mnist", published(f"{server}/good/file.gz"), tmp_path / "raw")

    assert f"{(tmp_path / 'nowhere').as_uri()}/mnist/file.gz: unreachable: " in message
    assert message.index("nowhere") < message.index(f"{server}/cut")
    assert (tmp_path / "raw/file.gz").read_bytes() == BODY


def test_rejects_a_mirror_that_is_no_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MIRROR, "shared/data")

    with pytest.raises(DataError, match=r"GOODFIT_MIRROR is 'shared/data'; expected a URL"):
        fetch_file("mnist", published(), tmp_path)


def test_verify_tells_a_missing_file_from_a_damaged_one(tmp_path: Path) -> None:
    path = tmp_path / "file.gz"
    with pytest.raises(ArtifactError, match=r"file\.gz is missing; .*dvc repro download"):
        verify(path, MD5)
    path.write_bytes(BODY[:-1])
    with pytest.raises(ArtifactError, match=rf"has md5 {md5_of(path)}; expected {MD5}.*dvc repro download"):
        verify(path, MD5)
    path.write_bytes(BODY)
    verify(path, MD5)
