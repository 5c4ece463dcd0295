"""Which variables count, and that the number of threads is not left to them."""

import subprocess
import sys

import pytest

from flows.lineage.variables import threads_are_fixed, variables
from tests.conftest import environment

SCRIPT = (
    "import sys; from flows.lineage.variables import fix_threads; fix_threads(int(sys.argv[1]))\n"
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


def digest(threads: str, **asked: str) -> str:
    """What numpy computes in a process whose threads are fixed at this number, in an environment that asks for others."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, threads], env=environment() | asked, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_numpy_computes_the_same_bits_whatever_number_of_threads_the_environment_asks_for() -> None:
    assert len({digest("1", **{name: "2"}) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "UNRELATED")}) == 1


def test_numpy_computes_the_same_bits_whatever_the_parameter_says() -> None:
    assert digest("1") == digest("2")


@pytest.mark.parametrize(
    ("openmp", "openblas", "threads", "fixed"),
    [("1", None, 1, True), ("2", None, 2, False), ("2", "1", 2, True), ("2", "1", 1, False), (None, "1", 1, False)],
)
def test_libraries_that_are_loaded_had_the_threads_of_a_stage_where_both_variables_say_so(
    monkeypatch: pytest.MonkeyPatch, openmp: str | None, openblas: str | None, threads: int, *, fixed: bool
) -> None:
    for name, value in {"OMP_NUM_THREADS": openmp, "OPENBLAS_NUM_THREADS": openblas}.items():
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
    assert threads_are_fixed(threads) is fixed
