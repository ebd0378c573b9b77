"""Files that version 0.1 wrote still load, and give the answers that they gave then."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest

import ftbnn_larq
from ftbnn_larq import runs
from ftbnn_larq.models import keras_files, layers, nonlinearities
from ftbnn_larq.zoo.trained import load_run

OLD = Path(__file__).parent / "files_of_0_1"
ANSWERS = np.load(OLD / "answers.npz")


def assert_answers(model, name: str) -> None:
    np.testing.assert_allclose(model.predict_on_batch(ANSWERS["pictures"]), ANSWERS[name], atol=1e-5)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_keras_files_load(suffix):
    model = keras_files.load(OLD / f"every_layer{suffix}")
    assert_answers(model, "every_layer")
    ours = {type(layer) for layer in model.layers if type(layer).__module__.startswith("ftbnn_larq.")}
    assert ours >= {layers.BinaryConv2D, layers.RepeatChannels, layers.ShuffleChannels}
    assert ours >= {nonlinearities.FPReLU, nonlinearities.RPReLU}


def test_a_run_loads():
    assert_answers(load_run(runs.open_run(OLD / "run")), "run")


def test_weights_of_a_run_load():
    assert_answers(ftbnn_larq.create_model("ftbnn_r18", weights=OLD / "weights.npz"), "run")


@pytest.mark.slow
def test_a_run_goes_on(tmp_path, command):
    run = shutil.copytree(OLD / "run", tmp_path / "run")
    resumed = command("train", "--resume", run, "--epochs", 3, "--json")
    assert resumed.status == 0, resumed.err
    assert resumed.out["epochs"] == 3
    before, after = (list(csv.DictReader((path / "metrics.csv").open())) for path in (OLD / "run", run))
    assert [row["epoch"] for row in after] == ["1", "2", "3"]
    assert after[:2] == before
    # It goes on from its weights: from random ones, an epoch ends at a loss of 2.4.
    assert float(after[2]["loss"]) < float(before[1]["loss"])
