"""The stage as it is run: checked parameters, real files, a real server, a real kill."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest

from tasks.core.components import Component
from tasks.core.errors import DataError, ParamsError
from tasks.core.settings import validate
from tasks.download import Params, check_source, download
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


def params(dataset: str, path: str = "data/source", **options: Any) -> Params:
    return validate(Params, {"download": {"dataset": {"name": dataset, **options}, "path": path}})


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
    monkeypatch.setenv(MIRROR, mnist_server)
    download(params("mnist"), tmp_path)

    assert list(contents(tmp_path / "data")) == [f"raw/{name}" for name in MNIST]
    assert contents(tmp_path / "data/raw") == {name: (SHARED / "mnist" / name).read_bytes() for name in MNIST}


@pytest.mark.mnist
@needs_mnist
def test_downloads_mnist_from_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MIRROR, SHARED.resolve().as_uri())
    download(params("mnist"), tmp_path)

    assert contents(tmp_path / "data/raw") == {name: (SHARED / "mnist" / name).read_bytes() for name in MNIST}


def test_two_runs_write_the_same_bytes_and_nothing_else(tmp_path: Path) -> None:
    for root in (tmp_path / "one", tmp_path / "two"):
        download(params("digits"), root)

    assert list(contents(tmp_path / "one")) == ["data/raw/digits.csv.gz"]
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_reads_the_users_path_below_the_root(tmp_path: Path) -> None:
    save_arrays(tmp_path / "data/source/own.npz")
    download(params("arrays", "data/source/own.npz"), tmp_path)

    assert contents(tmp_path / "data/raw") == {"arrays.npz": (tmp_path / "data/source/own.npz").read_bytes()}


def test_replaces_what_an_earlier_dataset_left(tmp_path: Path) -> None:
    save_arrays(tmp_path / "own.npz")
    download(params("arrays", "own.npz"), tmp_path)
    download(params("digits"), tmp_path)

    assert list(contents(tmp_path / "data")) == ["raw/digits.csv.gz"]


def test_a_failure_leaves_the_earlier_data_as_they_were(tmp_path: Path) -> None:
    download(params("digits"), tmp_path)
    before = contents(tmp_path / "data")
    save_arrays(tmp_path / "own.npz", last_label=2)

    with pytest.raises(DataError, match="y_test holds label 2"):
        download(params("arrays", "own.npz"), tmp_path)
    assert contents(tmp_path / "data") == before
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["raw"]


def test_a_failure_leaves_no_data(tmp_path: Path) -> None:
    (tmp_path / "data/source").mkdir(parents=True)

    with pytest.raises(DataError, match="data/source holds 0 class folders"):
        download(params("image_folder"), tmp_path)
    assert contents(tmp_path / "data") == {}
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["source"]


READING = [
    name
    for name in Component("tasks.datasets").names()
    if name != "imported" and getattr(params(name).download.dataset.module, "READS_PATH", False)
]


def test_these_datasets_read_the_users_path() -> None:
    assert READING == ["arrays", "csv", "image_folder"]


@pytest.mark.parametrize("absolute", [True, False], ids=["absolute", "relative"])
@pytest.mark.parametrize("dataset", READING)
def test_says_that_the_users_data_are_absent_before_anything_is_touched(tmp_path: Path, dataset: str, absolute: bool) -> None:
    path = str(tmp_path / "nowhere/photos") if absolute else "nowhere/photos"
    expected = (
        f"download.path is {path!r}, and {tmp_path / 'nowhere/photos'} does not exist; "
        f"expected the data for the dataset '{dataset}' there"
    )

    for function in (check_source, download):
        with pytest.raises(DataError, match=re.escape(expected)):
            function(params(dataset, path), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_dataset_that_does_not_read_the_path_does_not_need_it(tmp_path: Path) -> None:
    check_source(params("mnist", "nowhere"), tmp_path)
    download(params("digits", "nowhere"), tmp_path)

    assert list(contents(tmp_path / "data")) == ["raw/digits.csv.gz"]


def test_rejects_an_unknown_dataset() -> None:
    with pytest.raises(ParamsError, match="did you mean 'mnist'"):
        params("mnits")


@pytest.mark.parametrize("path", ["data/raw", "data", "./results/x", "models/../metrics"])
def test_rejects_a_path_where_stages_write(path: str) -> None:
    with pytest.raises(ParamsError, match="where the stages write"):
        params("image_folder", path)


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
    code = (
        "import sys, pathlib; from tasks.download import Params, download; "
        "download(Params.model_validate({'download': {'dataset': {'name': 'mnist'}, 'path': 'x'}}), pathlib.Path(sys.argv[1]))"
    )
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

    download(params("digits"), tmp_path)
    assert list(contents(tmp_path / "data")) == ["raw/digits.csv.gz"]
