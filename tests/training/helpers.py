"""What the tests of training share: a network of two units, which trains in seconds, and what a run has stored."""

from __future__ import annotations

import csv
from pathlib import Path

import h5py
import numpy as np

from ftbnn_larq import runs

OPTIONS = {"units": (1, 1), "width": 16, "widening": 2, "group_channels": 32}
COMMAND = (
    *("train", "ftbnn_r18", "--width", 16),
    *("--set", "units=1,1", "--set", "widening=2", "--set", "group_channels=32"),
)


def history(run: runs.Run) -> list[dict[str, str]]:
    """The rows of a run's metrics.csv."""
    with (run.path / "metrics.csv").open() as opened:
        return list(csv.DictReader(opened))


def weights(run: runs.Run, file: Path | None = None) -> dict[str, np.ndarray]:
    """What a run's file of weights holds, by default the best."""
    found = {}
    with h5py.File(file or run.weights) as opened:
        opened.visititems(lambda name, it: found.update({name: it[()]}) if isinstance(it, h5py.Dataset) else None)
    return found


def last_checkpoint(run: runs.Run) -> Path:
    return sorted((run.path / "checkpoints").glob("*.h5"))[-1]


def assert_same(one: dict, other: dict) -> None:
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)
