"""Downloads against a real server on this machine, and real files."""

import hashlib
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import pytest

from tasks.core.errors import ArtifactError, DataError
from tasks.sources.fetching import MIRROR, DownloadError, Published, fetch_file, md5_of, verify

PROJECT = Path(__file__).resolve().parents[3]
BODY = bytes(range(256)) * 400
MD5 = hashlib.md5(BODY, usedforsecurity=False).hexdigest()


class Answers(BaseHTTPRequestHandler):
    """`/good/…` gives the file, `/cut/…` closes half-way, `/other/…` gives other bytes, all else is not found.

    `/busy/3/…` is unavailable three times and gives the file then.
    """

    asked: ClassVar[Counter[str]] = Counter()
    headers_of: ClassVar[dict[str, Message]] = {}

    def do_GET(self) -> None:
        self.asked[self.path] += 1
        self.headers_of[self.path] = self.headers
        kind, count = self.path.split("/")[1:3]
        if kind == "busy":
            if self.asked[self.path] <= int(count):
                self.send_error(503)
                return
            kind = "good"
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
    monkeypatch.setattr("tasks.sources.fetching.RETRY_SECONDS", ())


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

    assert f"{server}/cut/file.gz: failed: " in message
    assert f"1000 bytes read, {len(BODY) - 1000} more expected" in message


def test_rejects_a_wrong_checksum_and_names_both(server: str, tmp_path: Path) -> None:
    message = failure(tmp_path, f"{server}/other/file.gz")

    found = hashlib.md5(BODY[::-1], usedforsecurity=False).hexdigest()
    assert f"{server}/other/file.gz: wrong checksum: expected md5:{MD5} but got {found}\n" in message


def test_names_every_mirror_tried_with_its_reason(server: str, tmp_path: Path) -> None:
    with socket.socket() as unused:  # bound and not listening: a port that refuses
        unused.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{unused.getsockname()[1]}/file.gz"
        message = failure(tmp_path, f"{server}/none/file.gz", closed)

    assert f"{server}/none/file.gz: HTTP 404 Client Error: Not Found" in message
    assert f"{closed}: unreachable: Failed to establish a new connection: [Errno " in message
    assert f"set {MIRROR} to a URL" in message
    assert "mnist/file.gz lies" in message


def test_gives_up_on_a_silent_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.sources.fetching.TIMEOUT_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/file.gz"
        message = failure(tmp_path, url)

    assert f"{url}: timed out" in message


def test_tries_again_while_a_server_is_busy(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tasks.sources.fetching.RETRY_SECONDS", (0.01, 0.02, 0.03))
    fetch_file("mnist", published(f"{server}/busy/2/file.gz"), tmp_path)

    assert (tmp_path / "file.gz").read_bytes() == BODY
    printed = capfd.readouterr()
    assert printed.out.splitlines() == [
        f"file.gz: HTTP 503 Server Error: Service Unavailable; trying again in {pause} s" for pause in ("0.01", "0.02")
    ]
    assert printed.err == ""


def test_gives_up_after_the_last_pause(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.sources.fetching.RETRY_SECONDS", (0.01, 0.02))
    message = failure(tmp_path, f"{server}/busy/1000/file.gz")

    assert Answers.asked["/busy/1000/file.gz"] == 3
    assert "HTTP 503 Server Error" in message


@pytest.mark.parametrize("kind", ["absent", "other"])
def test_does_not_try_again_what_stays_wrong(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr("tasks.sources.fetching.RETRY_SECONDS", (60.0,))
    failure(tmp_path, f"{server}/{kind}/once.gz")

    assert Answers.asked[f"/{kind}/once.gz"] == 1


def test_asks_for_the_bytes_as_they_are_published(server: str, tmp_path: Path) -> None:
    fetch_file("mnist", published(f"{server}/good/as-published.gz"), tmp_path)

    assert Answers.headers_of["/good/as-published.gz"]["Accept-Encoding"] == "identity"
    assert (tmp_path / "file.gz").stat().st_mode & 0o777 == 0o644


def test_ctrl_c_ends_the_pause_at_once_and_leaves_nothing(server: str, tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from tasks.sources import fetching; fetching.RETRY_SECONDS = (600.0,); "
        "fetching.fetch_file('mnist', fetching.Published('file.gz', '0' * 32, (sys.argv[1],)), pathlib.Path(sys.argv[2]))"
    )
    command = [sys.executable, "-c", code, f"{server}/busy/9/interrupted.gz", str(tmp_path)]
    environment = {key: value for key, value in os.environ.items() if key != MIRROR}
    with subprocess.Popen(
        command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert "trying again in 600 s" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, printed = process.communicate(timeout=120)

    assert process.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in printed
    assert list(tmp_path.iterdir()) == []


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
    with pytest.raises(ArtifactError, match=r"file\.gz is missing; .*run the stage 'download' again"):
        verify(path, MD5)
    path.write_bytes(BODY[:-1])
    with pytest.raises(ArtifactError, match=rf"has md5 {md5_of(path)}; expected {MD5}.*run the stage 'download' again"):
        verify(path, MD5)
    path.write_bytes(BODY)
    verify(path, MD5)
