"""`-S train.optimizer.learning_rate=0.01`: change params.yaml as `dvc exp run -S` does, but check the result before it counts."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from flows.parameters.checking import check_params
from flows.parameters.writing import write_params
from tasks.core.errors import ParamsError
from tasks.core.settings import PARAMS_FILE, load_yaml

LEFT_OVER = re.compile(r"^ *([\w.]+): is an option of ", re.MULTILINE)  # in the messages of tasks.core.components
FORM = "expected KEY=VALUE, such as train.optimizer.learning_rate=0.01"


def override_params(root: Path, overrides: Sequence[str]) -> None:
    """Apply `overrides`, in the grammar of `dvc exp run -S`, to params.yaml: all of them or none.

    DVC's own `apply_overrides` finds the values, on a copy: written by it, `[64]` would be broken up into lines.

    Raises:
        ParamsError: an override cannot be read, or gives a key or a value that is not allowed; params.yaml is untouched.
    """
    if overrides:
        path = (root / PARAMS_FILE).resolve()
        wanted = overridden_params(root, overrides)
        write_params(path, path.read_text(encoding="utf-8"), wanted)


def overridden_params(root: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """What params.yaml would hold with `overrides`, checked; the file is only read.

    Raises:
        ParamsError: as `override_params`.
    """
    path = (root / PARAMS_FILE).resolve()
    if not overrides:
        check_params(root)
        return load_yaml(path)
    wanted = _applied(path, overrides)
    try:
        check_params(root, wanted)
    except ParamsError as error:
        given = {override.lstrip("+").partition("=")[0] for override in overrides}
        left_over = LEFT_OVER.findall(str(error))
        drop = [f"-S '~{key}'" for key in left_over if key not in given]
        leave = [key for key in left_over if key in given]
        hint = f"\nAdd {' '.join(drop)} to drop what belongs to another component." if drop else ""
        hint += f"\nLeave {', '.join(leave)} out of -S: it belongs to another component." if leave else ""
        raise ParamsError(f"{', '.join(overrides)}: invalid override; {PARAMS_FILE} is unchanged. {error}{hint}") from None
    return wanted


def _applied(path: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """The values that DVC finds, on a copy."""
    from dvc.exceptions import InvalidArgumentError
    from dvc.utils.hydra import apply_overrides
    from omegaconf.errors import OmegaConfBaseException

    load_yaml(path)  # its errors are in our words
    for override in overrides:
        _check_grammar(override)
    # `++` lets unknown keys pass: check_params refuses them, and names the nearest key that exists.
    additions = [text if text.startswith(("+", "~")) else f"++{text}" for text in overrides]
    with TemporaryDirectory() as folder:
        copy = Path(shutil.copy(path, folder))
        try:
            apply_overrides(copy, additions)
        except (InvalidArgumentError, OmegaConfBaseException) as error:
            reason = _in_our_words(str(error.__cause__ or error).splitlines()[0])
            raise ParamsError(f"{', '.join(overrides)}: {reason}; {PARAMS_FILE} is unchanged") from None
        return load_yaml(copy)


def _in_our_words(reason: str) -> str:
    """What Hydra or OmegaConf says of `+`, `~` and `${…}`: what was given, what exists and what to do. The rest as they say it."""
    forms = (
        (
            r"Could not delete from config\. '(.+)' does not exist\.",
            r"~\1: there is no key \1; name one that exists, or leave it out",
        ),
        (
            r"Could not delete from config\. The value of '(.+)' is (.+) and not (.+)\.",
            r"~\1=\3: \1 is \2, not \3; to drop it whatever its value is, write ~\1",
        ),
        (
            r"Could not append to config\. An item is already at '(.+)'\.",
            r"+\1: the key \1 exists; to change its value, write \1=VALUE without the +",
        ),
        (r"Interpolation key '(.+)' not found", r"${\1}: there is no key \1; name one that exists, or give a value"),
    )
    for pattern, ours in forms:
        if re.fullmatch(pattern, reason):
            return re.sub(pattern, ours, reason)
    return reason


def _check_grammar(override: str) -> None:
    from dvc.utils.hydra import to_hydra_overrides
    from hydra.errors import OverrideParseException

    try:
        (parsed,) = to_hydra_overrides([override])
    except OverrideParseException:
        raise ParamsError(
            f"{override!r} cannot be read; {FORM} (values: https://hydra.cc/docs/advanced/override_grammar)"
        ) from None
    if not parsed.key_or_group:
        raise ParamsError(f"{override!r} has no key; {FORM}")
    if parsed.is_sweep_override():
        raise ParamsError(f"{override!r} names several values; {FORM} (a list is written [1,2])")
