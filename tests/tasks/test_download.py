"""The stage as it is run: a folder with params.yaml, real files, a real server, a real kill."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest

from tasks.core.errors import DataError, ParamsError
from tasks.download import download
from tasks.sources.fetching import MIRROR

PROJECT = Path(__file__).resolve().parents[2]
SHARED = PROJECT / "../shared/data"
MNIST = [
    f"{name}.gz"
    for name in ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte", "train-images-idx3-ubyte", "train-labels-idx1-ubyte")
]


@pytest.fixture(autouse=True)
def _no_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MIRROR, raising=False)
    monkeypatch.setenv("no_proxy", "*")


def params(root: Path, dataset: str, path: str = "data/source") -> None:
    root.mkdir(exist_ok=True)
    (root / "params.yaml").write_text(f"download: {{dataset: {dataset}, path: {path}}}\n")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def save_arrays(path: Path, last_label: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    images = np.zeros((2, 4, 4), np.uint8)
    np.savez(path, x_train=images, y_train=np.array([0, 1]), x_test=images, y_test=np.array([0, last_label]))


class Silent(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name of the base class)
        """Keep the test's output clean."""


def serve(server: HTTPServer) -> Iterator[str]:
    with server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def mnist_server() -> Iterator[str]:
    yield from serve(ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(SHARED))))


needs_mnist = pytest.mark.skipif(not (SHARED / "mnist").is_dir(), reason="the MNIST files do not lie beside the project")


@pytest.mark.mnist
@needs_mnist
def test_downloads_mnist_from_a_server_as_published(tmp_path: Path, mnist_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    params(tmp_path, "mnist")
    monkeypatch.setenv(MIRROR, mnist_server)
    download(tmp_path)

    assert list(contents(tmp_path / "data")) == [f"raw/{name}" for name in MNIST]
    assert contents(tmp_path / "data/raw") == {name: (SHARED / "mnist" / name).read_bytes() for name in MNIST}


@pytest.mark.mnist
@needs_mnist
def test_downloads_mnist_from_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params(tmp_path, "mnist")
    monkeypatch.setenv(MIRROR, SHARED.resolve().as_uri())
    download(tmp_path)

    assert contents(tmp_path / "data/raw") == {name: (SHARED / "mnist" / name).read_bytes() for name in MNIST}


def test_two_runs_write_the_same_bytes_and_nothing_else(tmp_path: Path) -> None:
    for root in (tmp_path / "one", tmp_path / "two"):
        params(root, "digits")
        download(root)

    assert list(contents(tmp_path / "one")) == ["data/raw/digits.csv.gz", "params.yaml"]
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_reads_the_users_path_below_the_root(tmp_path: Path) -> None:
    params(tmp_path, "arrays", "data/source/own.npz")
    save_arrays(tmp_path / "data/source/own.npz")
    download(tmp_path)

    assert contents(tmp_path / "data/raw") == {"arrays.npz": (tmp_path / "data/source/own.npz").read_bytes()}


def test_replaces_what_an_earlier_dataset_left(tmp_path: Path) -> None:
    params(tmp_path, "arrays", "own.npz")
    save_arrays(tmp_path / "own.npz")
    download(tmp_path)
    params(tmp_path, "digits")
    download(tmp_path)

    assert list(contents(tmp_path / "data")) == ["raw/digits.csv.gz"]


def test_a_failure_leaves_the_earlier_data_as_they_were(tmp_path: Path) -> None:
    params(tmp_path, "digits")
    download(tmp_path)
    before = contents(tmp_path / "data")
    params(tmp_path, "arrays", "own.npz")
    save_arrays(tmp_path / "own.npz", last_label=2)

    with pytest.raises(DataError, match="y_test holds label 2"):
        download(tmp_path)
    assert contents(tmp_path / "data") == before
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["raw"]


def test_a_failure_leaves_no_data(tmp_path: Path) -> None:
    params(tmp_path, "image_folder")

    with pytest.raises(DataError, match="data/source is missing"):
        download(tmp_path)
    assert list((tmp_path / "data").iterdir()) == []


def test_rejects_an_unknown_dataset(tmp_path: Path) -> None:
    params(tmp_path, "mnits")

    with pytest.raises(ParamsError, match="did you mean 'mnist'"):
        download(tmp_path)
    assert not (tmp_path / "data").exists()


class Stalling(BaseHTTPRequestHandler):
    """Sends the first thousand bytes of a million, and no more."""

    stalled, release = Event(), Event()

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        self.wfile.write(bytes(1000))
        self.wfile.flush()
        self.stalled.set()
        self.release.wait(60)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name of the base class)
        """Keep the test's output clean."""


@pytest.fixture
def stalling_server() -> Iterator[str]:
    yield from serve(ThreadingHTTPServer(("127.0.0.1", 0), Stalling))


@pytest.mark.slow
def test_a_killed_download_leaves_no_data_and_no_hindrance(tmp_path: Path, stalling_server: str) -> None:
    params(tmp_path, "mnist")
    code = "import sys, pathlib; from tasks.download import download; download(pathlib.Path(sys.argv[1]))"
    environment = {**os.environ, MIRROR: stalling_server}
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=PROJECT, env=environment) as process:
        try:
            assert Stalling.stalled.wait(60), "the download never began"
        finally:
            process.kill()
            Stalling.release.set()
        assert process.wait() == -signal.SIGKILL

    assert (tmp_path / "data/.raw.partial").is_dir()  # it was killed in the middle
    assert not (tmp_path / "data/raw").exists()

    params(tmp_path, "digits")
    download(tmp_path)
    assert list(contents(tmp_path / "data")) == ["raw/digits.csv.gz"]
