"""The environment variables that can change a bit of a result.

How many threads compute is not among them, though it does change bits: each library takes as many as there are cores, and adds floats
in another order with each number (OpenBLAS' product of 1000 x 784 by 784 x 10 differs between one thread and two). So the number is a
parameter, `threads`, and a stage's process sets the variables from it, whatever they were: see `fix_threads`. OpenBLAS, behind numpy
and scipy, has one thread whatever the parameter says: docs/decisions/one-thread-for-openblas.md has the reason.

PYTHONPATH and LD_LIBRARY_PATH are not among them either. What they bring into a stage's process is listed by its bytes, which say more
than a folder of one machine does.
"""

import os

NAMES = (
    "GLIBC_TUNABLES",  # which variant of exp or log the C library chooses
    "LD_PRELOAD",
    "NVIDIA_TF32_OVERRIDE",
    "PYTHONHASHSEED",  # the order in which a set is walked through
)
# Libraries add variables of their own with each release: one that is not known counts.
PREFIXES = (
    "ATEN_",
    "BLIS_",
    "CUBLAS_",
    "CUDNN_",
    "DNNL_",
    "GOMP_",
    "KMP_",
    "MKL_",
    "NPY_",
    "OMP_",
    "ONEDNN_",
    "OPENBLAS_",
    "PYTORCH_",
    "TORCHINDUCTOR_",
    "TORCH_",
    "VECLIB_",
)
# Set by the stage from its parameter `threads` before a library is loaded; torch is told again (tasks/learning/inference.py).
THREADS = ("MKL_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
# These say where threads run, how they wait, how much is printed, where files and memory are: no bit of a result depends on them.
WITHOUT_EFFECT = {
    "GOMP_CPU_AFFINITY",
    "GOMP_SPINCOUNT",
    "GOMP_STACKSIZE",
    "KMP_AFFINITY",
    "KMP_BLOCKTIME",
    "KMP_DUPLICATE_LIB_OK",
    "KMP_INIT_AT_FORK",
    "KMP_SETTINGS",
    "KMP_STACKSIZE",
    "KMP_WARNINGS",
    "OMP_AFFINITY_FORMAT",
    "OMP_DISPLAY_AFFINITY",
    "OMP_DISPLAY_ENV",
    "OMP_PLACES",
    "OMP_PROC_BIND",
    "OMP_STACKSIZE",
    "OMP_WAIT_POLICY",
    "OPENBLAS_DEFAULT_NUM_THREADS",  # OPENBLAS_NUM_THREADS counts
    "PYTORCH_ALLOC_CONF",
    "PYTORCH_CUDA_ALLOC_CONF",
    "TORCH_CPP_LOG_LEVEL",
    "TORCH_SHOW_CPP_STACKTRACES",
}
PLACES_AND_MESSAGES = ("_DIR", "_HOME", "_LOGS", "_VERBOSE")


def variables() -> dict[str, str]:
    """Those that are set, sorted by name, with their values."""
    return {name: value for name, value in sorted(os.environ.items()) if value and _counts(name, value)}


def fix_threads(threads: int) -> None:
    """Fix the threads of every library of this process, and of those that it starts, for this parameter; before one is loaded."""
    os.environ.update(thread_variables(threads))


def thread_variables(threads: int) -> dict[str, str]:
    """What a stage's process with this parameter `threads` is given: one thread for OpenBLAS, so many for the other libraries."""
    return dict.fromkeys(THREADS, str(threads)) | {"OPENBLAS_NUM_THREADS": "1"}


def threads_are_fixed(threads: int) -> bool:
    """Whether libraries that were loaded before compute as in a stage; OpenBLAS without a variable of its own follows OpenMP's."""
    openmp = os.environ.get("OMP_NUM_THREADS")
    return openmp == str(threads) and os.environ.get("OPENBLAS_NUM_THREADS", openmp) == "1"


def _counts(name: str, value: str) -> bool:
    if name in NAMES:
        return (name, value) != ("PYTHONHASHSEED", "random")  # which is what Python does anyway
    without = name in WITHOUT_EFFECT or name in THREADS or name.endswith(PLACES_AND_MESSAGES)
    return name.startswith(PREFIXES) and not without
