"""The digits that scikit-learn ships: 1797 images of 8x8 pixels; no network.

Source: test part of the UCI set "Optical Recognition of Handwritten Digits" (E. Alpaydin, C. Kaynak, 1998).
"""

import shutil
from pathlib import Path

from tasks.core.errors import DataError
from tasks.core.settings import Section
from tasks.sources.fetching import md5_of, verify
from tasks.sources.source import Rows, Source

FILE = "digits.csv.gz"
MD5 = "9b335364a7bfd63947c7480a5bd51f2d"


class Settings(Section):
    """No options."""


def fetch(settings: Settings, path: Path, raw: Path) -> None:
    """Copy the file out of the installed scikit-learn.

    Raises:
        DataError: this scikit-learn ships other bytes.
    """
    from importlib.util import find_spec

    package = find_spec("sklearn")  # importlib.resources would import it: two seconds for a file
    if package is None or package.origin is None:
        raise DataError("scikit-learn is not installed; expected the version of requirements.lock: install the locked packages")
    shipped = Path(package.origin).parent / "datasets" / "data" / FILE
    found = md5_of(shipped)
    if found != MD5:
        raise DataError(f"{shipped} has md5 {found}; expected {MD5}: reinstall scikit-learn as requirements.lock states it")
    shutil.copyfile(shipped, raw / FILE)


def load(settings: Settings, raw: Path) -> Source:
    """The 1797 images, values 0..16 stretched to 0..255: round(v * 255 / 16), in whole numbers, so that no value is lost.

    Raises:
        ArtifactError: the file is missing or damaged.
    """
    import numpy as np

    verify(raw / FILE, MD5)
    table = np.loadtxt(raw / FILE, delimiter=",", dtype=np.int64)  # (1797, 65): 64 pixels, label
    images = ((table[:, :-1] * 255 + 8) // 16).astype(np.uint8).reshape(-1, 1, 8, 8)
    return Source([str(digit) for digit in range(10)], f"line of {FILE}", Rows(images, table[:, -1].copy()))
