"""Tables and logs from files, whatever their names: what a file is, is told by its content."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from tasks.core.errors import DataError

LOGS = ("metrics.csv", "trainer_state.json")  # of a folder: Lightning's and Hugging Face's


def load(path: Path) -> pd.DataFrame:
    """The table in a CSV, TSV, Parquet or JSON file, in Hugging Face's `trainer_state.json`, or in the folder of a logger.

    Raises:
        DataError: it cannot be read; the message says what was found and what was expected.
    """
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file or folder")
    with path.open("rb") as file:
        start = file.read(4096)
    if not start.strip():
        raise DataError(f"{path} is empty; expected a table")
    try:
        if start.startswith(b"PAR1"):
            return pd.read_parquet(path)
        if start.lstrip()[:1] in (b"{", b"["):
            return _json(path)
        header = start.decode("utf-8", errors="replace").partition("\n")[0]
        return pd.read_csv(path, sep=max("\t", ",", ";", key=header.count))
    except (ValueError, UnicodeDecodeError, OSError) as error:  # of pandas, pyarrow and json
        reason = str(error).partition("\n")[0]
        raise DataError(f"{path} is not a table ({reason}); expected CSV, TSV, Parquet or JSON") from None


def _json(path: Path) -> pd.DataFrame:
    found: Any = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(found, dict) and isinstance(found.get("log_history"), list):
        found = found["log_history"]
    if isinstance(found, list) and found and all(isinstance(row, dict) for row in found):
        return pd.DataFrame(found)
    described = f"an object with the keys {', '.join(found)}" if isinstance(found, dict) else type(found).__name__
    raise DataError(
        f"{path} holds {described}; expected a list of objects, one for each row, or Hugging Face's trainer_state.json with log_history"
    )


def _folder(path: Path) -> pd.DataFrame:
    """The log in a folder of Lightning, of Hugging Face or of DVCLive; of DVCLive all metrics beside each other, by their step."""
    for name in LOGS:
        if (path / name).is_file():
            return load(path / name)
    metrics = path / "plots/metrics" if (path / "plots/metrics").is_dir() else path
    files = sorted(metrics.rglob("*.tsv"))
    if not files:
        raise DataError(f"the folder {path} has none of {', '.join(LOGS)} and DVCLive's plots/metrics/*.tsv")
    columns = {}
    for file in files:
        table = load(file)
        name = file.relative_to(metrics).with_suffix("").as_posix()
        if "step" not in table or file.stem not in table or table["step"].duplicated().any():
            found = ", ".join(map(str, table.columns))
            raise DataError(f"{file} has the columns {found}; expected DVCLive's step and {file.stem}, one row for each step")
        columns[name] = table.set_index("step")[file.stem]
    return pd.DataFrame(columns).rename_axis("step").reset_index()
