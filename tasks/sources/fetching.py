"""Published files: downloaded whole from the first mirror that has the right bytes, and verified again before use."""

import hashlib
import os
import shutil
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from tqdm import tqdm

from tasks.core.errors import ArtifactError, DataError
from tasks.core.files import missing, repair, whole

MIRROR = "GOODFIT_MIRROR"
TIMEOUT_SECONDS = 30.0  # without a byte


class DownloadError(DataError):
    """No address gave the file: the network may, later."""


@dataclass(frozen=True)
class Published:
    """A file as its publisher names it, its MD5 and the addresses to try in this order."""

    name: str
    md5: str
    urls: tuple[str, ...]


def fetch_file(dataset: str, file: Published, folder: Path) -> None:
    """Download `file` into `folder`: from `$GOODFIT_MIRROR/<dataset>/<name>` first where that is set, then from its own addresses.

    Raises:
        DownloadError: no address gave the right bytes; each is named with its reason.
        DataError: the mirror is not a URL.
    """
    tried = []
    for url in _addresses(dataset, file):
        reason = _attempt(url, file, folder / file.name)
        if reason is None:
            return
        tried.append(f"  {url}: {reason}")
    raise DownloadError(
        f"{file.name} of {dataset} could not be downloaded; tried\n" + "\n".join(tried) + "\n"
        f"expected a file with md5 {file.md5}: try again, or set {MIRROR} to a URL (file:///…, http://…, https://…) "
        f"under which {dataset}/{file.name} lies"
    )


def verify(path: Path, md5: str) -> None:
    """Check a file that `download` wrote.

    Raises:
        ArtifactError: it is missing or its bytes are others.
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


def _attempt(url: str, file: Published, path: Path) -> str | None:
    """Download one address to `path`: None, or why it was not accepted."""
    try:
        with whole(path) as temporary:
            _retrieve(url, temporary)
            _compare(temporary, file.md5)
    except HTTPError as error:
        error.close()
        return f"HTTP {error.code} {error.reason}"
    except URLError as error:
        return f"unreachable: {error.reason}"
    except (OSError, HTTPException, DataError) as error:
        return str(error) or type(error).__name__
    return None


def _compare(path: Path, md5: str) -> None:
    found = md5_of(path)
    if found != md5:
        raise DataError(f"wrong checksum: found md5 {found} ({path.stat().st_size} bytes), expected {md5}")


def _retrieve(url: str, path: Path) -> None:
    """Write the body to `path`. urllib takes a connection that closes early for the end of the file: the length is compared here."""
    request = Request(url, headers={"User-Agent": "goodfit"})  # noqa: S310 (the mirror's scheme is checked, the others are torchvision's)
    with urlopen(request, timeout=TIMEOUT_SECONDS) as response, path.open("wb") as file:  # noqa: S310
        length = response.headers.get("Content-Length")
        total = int(length) if length else None
        # disable=None: no bar where stderr is not a terminal.
        with tqdm.wrapattr(
            file, "write", total=total, desc=url.rsplit("/", 1)[-1], unit="B", unit_scale=True, disable=None
        ) as out:
            shutil.copyfileobj(response, out)
        if total is not None and file.tell() != total:
            raise DataError(f"truncated: got {file.tell()} of {total} bytes")
