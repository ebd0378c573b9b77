"""The results of studies: one CSV a study below zoo/results, one line a run."""

from __future__ import annotations

import contextlib
import csv
import fcntl
import io
from collections.abc import Iterator
from pathlib import Path

from ftbnn_larq import zoo
from ftbnn_larq.errors import DataError
from ftbnn_larq.files import write_text

HERE = zoo.HERE / "results"
COLUMNS = [
    *("study", "model", "options", "dataset", "recipe", "width", "seed", "epochs"),
    *("top1", "ops", "params_binary", "params_float", "bytes", "flatbuffer_top1", "seconds"),
    *("versions", "date", "commit"),
]
_NUMBERS = {"width": int, "seed": int, "epochs": int, "top1": float, "ops": float, "seconds": float}
_MAY_BE_MISSING = {"params_binary": int, "params_float": int, "bytes": int, "flatbuffer_top1": float}
# What makes two runs the same.
KEY = COLUMNS[:8]


def path(study: str) -> Path:
    return HERE / f"{study}.csv"


def read(study: str) -> list[dict]:
    """The rows of a study, numbers as such and None where there is none; nothing if it has not begun.

    Raises:
        DataError: a damaged line, which the message names.
    """
    file = path(study)
    if not file.is_file():
        return []
    with file.open(newline="", encoding="utf-8") as opened:
        lines = list(csv.reader(opened))
    if not lines or lines[0] != COLUMNS:
        raise DataError(f"{file}, line 1: its columns are not those of a study: {','.join(COLUMNS)}")
    rows = []
    for number, cells in enumerate(lines[1:], 2):
        if len(cells) != len(COLUMNS):
            raise DataError(f"{file}, line {number}: {len(cells)} cells in place of {len(COLUMNS)}: mend or delete it")
        row = dict(zip(COLUMNS, cells, strict=True))
        try:
            row |= {name: kind(row[name]) for name, kind in _NUMBERS.items()}
            row |= {name: kind(row[name]) if row[name] else None for name, kind in _MAY_BE_MISSING.items()}
        except ValueError as error:
            raise DataError(f"{file}, line {number}: {error}: mend or delete it") from error
        rows.append(row)
    return rows


def add(study: str, row: dict) -> None:
    """Add a row to a study, or put it in the place of the one of the same run; several processes may do so."""
    with _alone(study):
        rows = [old for old in read(study) if any(old[name] != row[name] for name in KEY)]
        table = io.StringIO()
        writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows([*rows, row])
        write_text(path(study), table.getvalue())


@contextlib.contextmanager
def _alone(study: str) -> Iterator[None]:
    HERE.mkdir(parents=True, exist_ok=True)
    with open(HERE / f".{study}.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
