"""The results of studies: one CSV a study below zoo/results, one line a run."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import fcntl
import hashlib
import io
import json
import math
import statistics
from collections.abc import Iterator
from pathlib import Path

from ftbnn_larq import zoo
from ftbnn_larq.cli.output import human
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
# The networks from the ancestor to the whole idea, step by step.
STEPS = ("bireal_r18", "ftbnn_r18_baseline", "ftbnn_r18_pure", "ftbnn_r18")
# Data set and recipe of the first studies. The names of their runs leave them out.
_UNNAMED = ["cifar10", "study"]


def path(study: str) -> Path:
    return HERE / f"{study}.csv"


def read(study: str) -> list[dict]:
    """The rows of a study: numbers as numbers, an empty cell as None. An empty list if the study has not begun.

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


def weights_path(row: dict) -> Path:
    """Where the weights of a row's last epoch are, options as JSON."""
    return HERE / "weights" / row["study"] / f"{run_name(row)}.npz"


def recipe_name_and_changes(words: str) -> tuple[str, list[str]]:
    """A recipe's name, and each KEY=VALUE behind it: "study learning_rate=0.001"."""
    name, *changes = words.split() or [""]
    return name, changes


def run_name(row: dict) -> str:
    """The name of its folder and of its weights: another one for each `KEY` of a study."""
    recipe, changes = recipe_name_and_changes(row["recipe"])
    trained = [row["dataset"], recipe]
    changes = " ".join([row["options"], *changes, *(trained if trained != _UNNAMED else [])])
    digest = hashlib.sha256(changes.encode()).hexdigest()[:6] if changes != "{}" else "plain"
    return f"{row['model'].replace(':', '-')}-{digest}-w{row['width']}-e{row['epochs']}-s{row['seed']}"


def in_words(value) -> str:
    """The value of an option as the command line takes it."""
    if isinstance(value, tuple | list):
        return ",".join(f"{number:g}" for number in value)
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


@dataclasses.dataclass(frozen=True)
class Variant:
    """The rows of a study that differ in nothing but the seed; top-1 is the mean over them."""

    model: str
    options: dict
    dataset: str
    recipe: str
    width: int
    epochs: int
    rows: list[dict]

    @property
    def changes(self) -> list[str]:
        """In what the network and its training differ from the zoo's of that name and from the recipe, a key each."""
        return [f"{name} {in_words(value)}" for name, value in self.options.items()] + self.recipe_changes

    @property
    def recipe_changes(self) -> list[str]:
        return [change.replace("=", " ") for change in recipe_name_and_changes(self.recipe)[1]]

    @property
    def setting(self) -> dict:
        """What a table tells of all of its rows at once."""
        recipe, _ = recipe_name_and_changes(self.recipe)
        return {"data set": self.dataset, "width": self.width, "epochs": self.epochs, "recipe": recipe}

    def unlike(self, first: Variant) -> list[str]:
        """In what its setting is not that of a table's first row."""
        return [f"{name} {value}" for name, value in self.setting.items() if value != first.setting[name]]

    @property
    def seeds(self) -> int:
        return len(self.rows)

    @property
    def top1(self) -> float:
        return statistics.fmean(row["top1"] for row in self.rows)

    @property
    def deviation(self) -> float:
        """Of a sample; 0 for a single row."""
        return statistics.stdev(row["top1"] for row in self.rows) if self.seeds > 1 else 0.0

    @property
    def percent(self) -> str:
        """Top-1, with its deviation if there are several seeds."""
        return f"{self.top1:.1%}" + (f" ± {100 * self.deviation:.1f}" if self.seeds > 1 else "")

    @property
    def costs(self) -> list[str]:
        """OPs, bytes of the flatbuffer, and its top-1 in LCE, in words."""
        size = "" if self.bytes is None else f"{self.bytes:,} B"
        return [human(self.ops), size, "" if self.flatbuffer_top1 is None else f"{self.flatbuffer_top1:.1%}"]

    @property
    def ops(self) -> float:
        return self.rows[0]["ops"]

    @property
    def bytes(self) -> int | None:
        return self.rows[0]["bytes"]

    @property
    def flatbuffer_top1(self) -> float | None:
        found = [row["flatbuffer_top1"] for row in self.rows]
        return None if None in found else statistics.fmean(found)

    def learned_slopes(self) -> dict[str, tuple]:
        """(p, n), each an array of its channels' slopes in all rows, of every non-linearity in the network's order.

        Nothing where no slope is learned, or no weights are stored.
        """
        import numpy as np

        found: dict[str, list] = {}
        for row in self.rows:
            path = weights_path(row)
            arrays = np.load(path) if path.is_file() else {}
            for name in arrays:
                layer, _, index = name.rpartition("/")
                if not layer.endswith("_act") or index != "0":
                    continue
                values = [arrays[f"{layer}/{i}"] for i in range(3) if f"{layer}/{i}" in arrays]
                # PReLU has n alone, two slopes are p and n, and n stands between RPReLU's shifts.
                negative = values[0] if len(values) == 1 else values[1]
                positive = values[0] if len(values) == 2 else np.ones_like(negative)
                found.setdefault(layer.removesuffix("_act"), []).append((positive, negative))
        return {name: tuple(np.concatenate(each) for each in zip(*pairs, strict=True)) for name, pairs in found.items()}


def variants(study: str) -> list[Variant]:
    """The rows of a study by variant, without what ended in NaN, in the order in which they came: first the models as
    they stand, then what was varied on them."""
    found: dict[tuple, Variant] = {}
    for row in read(study):
        if math.isnan(row["top1"]):
            continue
        common = {key: row[key] for key in ("model", "dataset", "recipe", "width", "epochs")}
        key = (*common.values(), row["options"])
        found.setdefault(key, Variant(options=json.loads(row["options"]), rows=[], **common)).rows.append(row)
    return sorted(found.values(), key=lambda each: bool(each.changes))


def add(study: str, row: dict) -> None:
    """Add a row to a study, or put it in the place of the one of the same run; several processes may do so."""
    with _alone(study):
        rows = {tuple(old[name] for name in KEY): old for old in read(study)}
        rows[tuple(row[name] for name in KEY)] = row
        table = io.StringIO()
        writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows.values())
        write_text(path(study), table.getvalue())


@contextlib.contextmanager
def _alone(study: str) -> Iterator[None]:
    HERE.mkdir(parents=True, exist_ok=True)
    with open(HERE / f".{study}.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
