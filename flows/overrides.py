"""`-S train.optimizer.learning_rate=0.01`: change params.yaml as `dvc exp run -S` does, but check the result before it counts."""

import io
import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tasks.contracts.errors import ParamsError
from tasks.contracts.files import whole
from tasks.contracts.params import PARAMS_FILE, load_yaml, validate
from tasks.contracts.params.pipeline import Params, check_params

FORM = "expected KEY=VALUE, such as train.optimizer.learning_rate=0.01"


def override_params(root: Path, overrides: Sequence[str]) -> None:
    """Apply `overrides`, in the grammar of `dvc exp run -S`, to params.yaml: all of them or none.

    DVC's own `apply_overrides` finds the values. It is not let near the file itself: it would break `[64]` up into lines.

    Raises:
        ParamsError: an override cannot be read, or gives a key or a value that is not allowed; params.yaml is untouched.
    """
    if overrides:
        _write((root / PARAMS_FILE).resolve(), overridden_params(root, overrides))


def overridden_params(root: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """What params.yaml would hold with `overrides`, checked; the file is only read.

    Raises:
        ParamsError: as `override_params`.
    """
    path = (root / PARAMS_FILE).resolve()
    if not overrides:
        check_params(path)
        return load_yaml(path)
    wanted = _applied(path, overrides)
    try:
        validate(Params, wanted)
    except ParamsError as error:
        raise ParamsError(f"{', '.join(overrides)}: not applied, {PARAMS_FILE} is as it was; with it {error}") from None
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
            reason = str(error.__cause__ or error).splitlines()[0]
            raise ParamsError(f"{', '.join(overrides)}: {reason}; {PARAMS_FILE} is as it was") from None
        return load_yaml(copy)


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


def _write(path: Path, wanted: dict[str, Any]) -> None:
    """Put the values into the file, and leave its comments, its order and its layout alone."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096  # long lines are the author's
    document = yaml.load(path.read_text(encoding="utf-8"))
    _update(document, wanted)
    text = io.StringIO()
    yaml.dump(document, text)
    with whole(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")


def _update(document: Any, wanted: dict[str, Any]) -> None:
    for key, value in wanted.items():
        present = document.get(key)
        if present == value and type(value) in type(present).__mro__:
            continue
        if isinstance(present, dict) and isinstance(value, dict):
            _update(present, value)
        elif isinstance(present, list) and isinstance(value, list):
            present[:] = value  # in place: [64] stays on its line
        else:
            document[key] = _scalar(value)
    for key in [key for key in document if key not in wanted]:
        del document[key]


def _scalar(value: Any) -> Any:
    """1e-09 is a float to YAML 1.2, and a string to readers of YAML 1.1: 1.0e-09 is a float to both."""
    from ruamel.yaml import YAML

    text = repr(value)
    if isinstance(value, float) and "e" in text and "." not in text:
        return YAML().load(text.replace("e", ".0e"))
    return value
