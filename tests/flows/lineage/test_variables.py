"""Which variables count, and that the number of threads is not left to them."""

import subprocess
import sys

import pytest

from flows.lineage.variables import variables
from tests.conftest import environment

SCRIPT = (
    "from flows.lineage.variables import fix_threads; fix_threads(1)\n"
    "import hashlib, numpy as np; random = np.random.default_rng(0)\n"
    "one, other = random.standard_normal((1000, 784)), random.standard_normal((784, 10))\n"
    "print(hashlib.sha256((one @ other).tobytes() + np.linalg.svd(one)[1].tobytes()).hexdigest())"
)


def test_only_what_can_change_a_bit_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = {"MKL_CBWR": "COMPATIBLE", "NPY_DISABLE_CPU_FEATURES": "AVX2", "OMP_DYNAMIC": "true", "TORCH_UNKNOWN": "1"}
    others = {
        "OMP_NUM_THREADS": "3",
        "MKL_VERBOSE": "1",
        "TORCH_HOME": "/x",
        "PYTHONPATH": "/x",
        "HOME": "/x",
        "ATEN_EMPTY": "",
    }
    before = variables()
    for name, value in (counted | others).items():
        monkeypatch.setenv(name, value)
    assert variables() == dict(sorted((before | counted).items()))


def test_a_random_hash_seed_is_none_and_a_fixed_one_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", "random")
    assert "PYTHONHASHSEED" not in variables()
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    assert variables()["PYTHONHASHSEED"] == "0"


def test_numpy_computes_the_same_bits_whatever_number_of_threads_the_environment_asks_for() -> None:
    found = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT], env=environment() | asked, capture_output=True, text=True, check=True
        ).stdout
        for asked in ({"OMP_NUM_THREADS": "1"}, {"OMP_NUM_THREADS": "2"}, {"OPENBLAS_NUM_THREADS": "2"}, {})
    }
    assert len(found) == 1
