"""Published files: downloaded whole from the first mirror that has the right bytes, and verified again before use."""

import hashlib
import logging
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from tasks.core.errors import ArtifactError, DataError
from tasks.core.files import missing, repair, whole

MIRROR = "GOODFIT_MIRROR"
TIMEOUT_SECONDS = 30.0  # to connect, and without a byte
RETRY_SECONDS = (2.0, 8.0, 30.0)  # pauses before all addresses are tried again
# Answers of a server that may be another one later: request timeout, too many requests, and its own failures.
TEMPORARY = (408, 425, 429, 500, 502, 503, 504)


class DownloadError(DataError):
    """No address gave the file: the network may, later."""


@dataclass(frozen=True)
class Published:
    """A file as its publisher names it, its MD5 and the addresses to try in this order."""

    name: str
    md5: str
    urls: tuple[str, ...]


@dataclass(frozen=True)
class Failure:
    """Why an address did not give the file, and whether it may do so later."""

    reason: str
    temporary: bool


def fetch_file(dataset: str, file: Published, folder: Path) -> None:
    """Download `file` into `folder`: from `$GOODFIT_MIRROR/<dataset>/<name>` first where that is set, then from its own addresses.

    While an address fails in a way that may pass, all are tried again, after the pauses of `RETRY_SECONDS`. Ctrl-C ends it at once.

    Raises:
        DownloadError: no address gave the right bytes; each is named with its reason.
        DataError: the mirror is not a URL.
    """
    addresses = _addresses(dataset, file)
    for pause in (*RETRY_SECONDS, None):
        failures: dict[str, Failure] = {}
        for url in addresses:
            failure = _attempt(url, file, folder / file.name)
            if failure is None:
                return
            failures[url] = failure
        if pause is None or not any(failure.temporary for failure in failures.values()):
            break
        print(f"{file.name}: {next(iter(failures.values())).reason}; trying again in {pause:g} s", flush=True)
        time.sleep(pause)
    tried = "\n".join(f"  {url}: {failure.reason}" for url, failure in failures.items())
    raise DownloadError(
        f"{file.name} of {dataset} could not be downloaded; tried\n{tried}\n"
        f"expected a file with md5 {file.md5}: try again, or set {MIRROR} to a URL (file:///…, http://…, https://…) "
        f"under which {dataset}/{file.name} lies"
    )


def verify(path: Path, md5: str) -> None:
    """Check a file that `download` wrote.

    Raises:
        ArtifactError: it is missing or its bytes have changed.
    """
    if not path.is_file():
        raise missing(path, "download")
    found = md5_of(path)
    if found != md5:
        raise ArtifactError(f"{path} has md5 {found}; expected {md5}, as published: {repair('download')}")


def md5_of(path: Path) -> str:
    """MD5 of a file's bytes: what the publishers state. It finds damage, not malice."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _addresses(dataset: str, file: Published) -> tuple[str, ...]:
    mirror = os.environ.get(MIRROR, "")
    if not mirror:
        return file.urls
    if urlsplit(mirror).scheme not in ("http", "https", "file"):
        raise DataError(f"{MIRROR} is {mirror!r}; expected a URL: file:///folder, http://… or https://…")
    return (f"{mirror.rstrip('/')}/{dataset}/{file.name}", *file.urls)


def _attempt(url: str, file: Published, path: Path) -> Failure | None:
    """Download one address to `path`: None, or why it was not accepted."""
    return _copy(url, file, path) if urlsplit(url).scheme == "file" else _download(url, file, path)


def _copy(url: str, file: Published, path: Path) -> Failure | None:
    """From a folder of this machine, which pooch does not do."""
    try:
        with whole(path) as temporary:
            shutil.copyfile(url2pathname(urlsplit(url).path), temporary)
            found = md5_of(temporary)
            if found != file.md5:
                return Failure(f"wrong checksum: expected md5:{file.md5} but got {found}", temporary=False)
    except OSError as error:
        return Failure(f"unreachable: {error}", temporary=False)
    return None


def _download(url: str, file: Published, path: Path) -> Failure | None:
    """Over HTTP. pooch compares the hash before it gives the file its name, and removes it otherwise."""
    import pooch
    from requests.exceptions import ConnectionError as Unreachable
    from requests.exceptions import HTTPError, RequestException, Timeout
    from tqdm import tqdm

    pooch.get_logger().setLevel(logging.WARNING)  # it would announce each file, with advice on hashes
    # disable=None: no bar where standard error is not a terminal. Compressed again on the way, a file would have another hash.
    bar = tqdm(desc=file.name, total=1, unit="B", unit_scale=True, disable=None)  # pooch states the total once it is known
    get = pooch.HTTPDownloader(
        progressbar=bar,
        chunk_size=1 << 16,
        timeout=TIMEOUT_SECONDS,
        headers={"User-Agent": "goodfit", "Accept-Encoding": "identity"},
    )
    try:
        pooch.retrieve(url, known_hash=f"md5:{file.md5}", fname=path.name, path=path.parent, downloader=get)
        path.chmod(0o644)  # pooch writes for the owner alone
    except HTTPError as error:
        code = 0 if error.response is None else error.response.status_code
        failure = Failure(f"HTTP {str(error).partition(' for url')[0]}", temporary=code in TEMPORARY)
    except Timeout:
        failure = Failure(f"timed out: no answer for {TIMEOUT_SECONDS:g} s", temporary=True)
    except Unreachable as error:
        failure = Failure(f"unreachable: {_innermost(error)}", temporary=True)
    except RequestException as error:  # a connection that closed early, among others
        failure = Failure(f"failed: {error}", temporary=True)
    except ValueError as error:  # of pooch, for a wrong hash
        failure = Failure(f"wrong checksum: {str(error).partition('known hash: ')[2].partition('. ')[0]}", temporary=False)
    except OSError as error:
        failure = Failure(f"cannot be written: {error}", temporary=False)
    else:
        return None
    finally:
        bar.close()
    return failure


def _innermost(error: Exception) -> str:
    """The reason inside a connection's error, without the names of the classes around it: "Failed to resolve 'example.org' (…)"."""
    cause = getattr(error.args[0], "reason", error) if error.args else error
    return str(cause).rpartition("): ")[2] or type(error).__name__
