"""Keras files that ask for more than their weights, than a machine has, or than anyone waits for."""

from __future__ import annotations

import json
import resource
import zipfile

import ftbnn_larq  # isort: skip (before TensorFlow)
import h5py
import numpy as np
import pytest
import tensorflow as tf

from ftbnn_larq import leash
from ftbnn_larq.errors import ModelFileError
from ftbnn_larq.models import keras_files

assert ftbnn_larq
layers = tf.keras.layers


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> dict:
    """Two networks in .h5 files, with kinds of layers that numbers in their description make large."""
    folder = tmp_path_factory.mktemp("sizes")
    inputs = x = tf.keras.Input((8, 6), name="in")
    x = tf.concat(tf.split(x, 3, axis=2), axis=2)
    x = layers.ZeroPadding1D(1, name="pad")(x)
    plain = tf.keras.Model(inputs, layers.Dense(2, name="scores")(layers.GlobalAveragePooling1D()(x)))
    inputs = x = tf.keras.Input((8, 6), name="in")
    x = layers.LSTM(3, return_sequences=True, unroll=True, name="steps")(x)
    loops = tf.keras.Model(inputs, layers.LocallyConnected1D(2, 3, name="local")(x))
    inputs = tf.keras.Input((2, 4, 4, 1), batch_size=1, name="in")
    stateful = tf.keras.Model(inputs, layers.ConvLSTM2D(1, 1, stateful=True)(inputs))
    models = {"plain": plain, "loops": loops, "stateful": stateful}
    for name, model in models.items():
        model.save(folder / f"{name}.h5")
    return {"folder": folder, **models}


def test_a_model_that_does_not_know_its_input_loads(tmp_path):
    tf.keras.Sequential([layers.Dense(3), layers.ReLU()]).save(tmp_path / "model.keras")
    assert [layer.name for layer in keras_files.load(tmp_path / "model.keras").layers][1].startswith("re_lu")


@pytest.mark.parametrize("missing", ["class_name", "config"])
def test_a_description_that_is_no_models_is_refused(tmp_path, missing):
    tf.keras.Sequential([layers.Dense(3)]).save(tmp_path / "whole.keras")
    with zipfile.ZipFile(tmp_path / "whole.keras") as whole, zipfile.ZipFile(tmp_path / "model.keras", "w") as damaged:
        for name in whole.namelist():
            data = whole.read(name)
            if name == "config.json":
                described = json.loads(data)
                del described[missing]
                data = json.dumps(described)
            damaged.writestr(name, data)
    with pytest.raises(ModelFileError, match=r"model.keras: damaged: Keras makes a dict of it, not a model"):
        keras_files.load(tmp_path / "model.keras")


def _sets(layer: str, key: str, value):
    return lambda named: named[layer]["config"].update({key: value})


@pytest.mark.parametrize("name", ["plain", pytest.param("loops", marks=pytest.mark.slow)])
def test_what_needs_no_more_than_its_weights_loads(saved, name):
    numbers = np.random.default_rng(0).normal(size=(2, 8, 6)).astype(np.float32)
    loaded = keras_files.load(saved["folder"] / f"{name}.h5")
    np.testing.assert_array_equal(loaded.predict_on_batch(numbers), saved[name].predict_on_batch(numbers))


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("plain", _sets("scores", "units", 10**9), r"need more than [\d,]+ weights, and it holds [\d,]+ numbers"),
        # Shapes of maps alone: nothing is computed while a model is built.
        ("plain", _sets("pad", "padding", [10**8, 0]), "the layer pad gives .* takes more than"),
        (
            "plain",
            _sets("in", "batch_input_shape", [10**9, 8, 6]),
            "the layer .* gives .1000000000, .* takes more than",
        ),
        (
            "plain",
            lambda named: named["tf.split"]["inbound_nodes"][0][3].update(num_or_size_splits=10**7),
            "the layer tf.split gives 10,000,000 tensors",
        ),
        (
            "plain",
            lambda named: named["pad"].update(inbound_nodes=[[["_CONSTANT_VALUE", -1, [[[1.0]]], {}]]]),
            "the layer pad takes no output",
        ),
        # Keras calls the cell for each step: a process of its own is ended.
        ("loops", _sets("in", "batch_input_shape", [None, 3_000_000, 6]), "Keras cannot build the model .no answer"),
        # It keeps its maps, which are no weights.
        pytest.param(
            "stateful",
            _sets("in", "batch_input_shape", [1, 2, 10**5, 10**5, 1]),
            "model .it takes more than",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_asks_for_more_is_refused_before_it_is_built(saved, tmp_path, monkeypatch, name, change, told):
    path = tmp_path / "damaged.h5"
    path.write_bytes((saved["folder"] / f"{name}.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        change({layer["name"]: layer for layer in config["config"]["layers"]})
        file.attrs["model_config"] = json.dumps(config)
    if name == "loops":
        monkeypatch.setenv(leash.PATIENCE, "0.1")
    monkeypatch.setattr(leash, "memory", lambda: 1 << 30)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ModelFileError, match=told):
        keras_files.load(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10
