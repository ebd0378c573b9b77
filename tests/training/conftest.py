"""Trainings of a network of two units."""

from __future__ import annotations

import pytest

from ftbnn_larq import data, runs
from ftbnn_larq.recipe import Recipe
from tests.conftest import made_once
from tests.training.helpers import OPTIONS, history


@pytest.fixture(scope="session")
def digits():
    return data.load("digits")


@pytest.fixture(scope="session")
def fit(digits, tmp_path_factory):
    """Train the small network: `(result, run, history)`."""
    from ftbnn_larq.training import loop

    runs_of_all = tmp_path_factory.mktemp("runs")

    def train(model="ftbnn_r18", options=OPTIONS, seed=0, output=runs_of_all, told=None, **keys):
        more = {name: keys.pop(name) for name in ("callbacks", "strategy") if name in keys}
        how = Recipe(**{"epochs": 1, "batch_size": 64, "warmup_epochs": 0, **keys})
        listen = ([] if told is None else told).append
        result = loop.start(model, digits, how, options=options, seed=seed, output=output, on_event=listen, **more)
        run = runs.open_run(result["run"])
        return result, run, history(run)

    return train


@pytest.fixture(scope="session")
def finished(fit, tmp_path_factory) -> runs.Run:
    """The small network after two epochs; trained once for all of pytest's workers."""
    folder = made_once(tmp_path_factory, "finished", lambda folder: fit(epochs=2, output=folder))
    (run,) = folder.iterdir()
    return runs.open_run(run)
