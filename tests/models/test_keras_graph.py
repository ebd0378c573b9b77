"""Which graphs of layers Keras comes to an end with."""

from __future__ import annotations

import time

import ftbnn_larq  # isort: skip (before TensorFlow)
import numpy as np
import pytest
import tensorflow as tf

from ftbnn_larq.models import keras_files, keras_graph

assert ftbnn_larq
layers = tf.keras.layers


def _layer(name: str, *takes, kind="ReLU", **config) -> dict:
    nodes = [[[other, call, 0, {}] for other, call in call_of] for call_of in takes]
    return {"class_name": kind, "name": name, "config": {"name": name, **config}, "inbound_nodes": nodes}


def _model(*others: dict, **config) -> dict:
    inputs = _layer("in", kind="InputLayer", batch_input_shape=[None, 2])
    return {"class_name": "Functional", "config": {"layers": [inputs, *others], **config}}


@pytest.mark.parametrize(
    ("others", "told"),
    [
        ([_layer("a", [("in", 0)], [("a", 0)])], None),
        ([_layer("a", [("b", 0)]), _layer("b", [("in", 0)])], None),
        ([_layer("a", [("a", 0)])], "the layer a needs its own output"),
        ([_layer("a", [("b", 0)]), _layer("b", [("a", 0)])], "the layer [ab] needs its own output"),
        # As a file was damaged: the first of two layers is never called.
        ([_layer("a"), _layer("b", [("a", 0)])], "the layer b needs call 0 of the layer a, which is not there"),
        ([_layer("a", [("in", 0)]), _layer("b", [("a", 1)])], "needs call 1 of the layer a"),
        ([_layer("a", [("none", 0)])], "needs call 0 of the layer none"),
    ],
)
def test_a_graph_that_keras_would_wait_for_is_refused(others, told):
    # In a model of its own, and in one that stands in another.
    for config in (_model(*others), _model({**_layer("inner", [("in", 0)]), **_model(*others)})):
        if told is None:
            keras_graph.check(config)
        else:
            with pytest.raises(ValueError, match=told):
                keras_graph.check(config)


def test_models_that_call_models_twice_do_not_grow_without_end():
    config = _model(_layer("a", [("in", 0)]))
    for depth in range(40):
        config = _model({**_layer(f"m{depth}", [("in", 0)], [(f"m{depth}", 1)]), **config})
    begin = time.monotonic()
    with pytest.raises(ValueError, match="calls of layers, expected at most 50,000"):
        keras_graph.check(config)
    assert time.monotonic() - begin < 5


def test_models_in_models_load_in_both_kinds_of_file(tmp_path):
    shape = (4,)
    within = tf.keras.Input(shape)
    functional = tf.keras.Model(within, layers.Dense(4)(within), name="functional")
    with_input = tf.keras.Sequential([tf.keras.Input(shape), layers.Dense(4)], name="with_input")
    with_shape = tf.keras.Sequential([layers.Dense(4, input_shape=shape)], name="with_shape")
    deferred = tf.keras.Sequential([layers.Dense(4), layers.ReLU()], name="deferred")
    one, other = tf.keras.Input(shape), tf.keras.Input(shape)
    two_inputs = tf.keras.Model([one, other], layers.Add()([layers.Dense(4)(one), other]), name="two_inputs")
    inputs = x = tf.keras.Input(shape)
    for each in (functional, with_input, with_shape, deferred, layers.ReLU(), functional, deferred, with_shape):
        x = each(x)
    x = two_inputs([x, two_inputs([inputs, x])])
    x = layers.TimeDistributed(layers.Dense(2))(tf.stack([x, x * 2.0], axis=1))
    model = tf.keras.Model(inputs, layers.Flatten()(x))
    numbers = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    for suffix in (".keras", ".h5"):
        model.save(tmp_path / f"model{suffix}")
        loaded = keras_files.load(tmp_path / f"model{suffix}")
        np.testing.assert_array_equal(loaded.predict_on_batch(numbers), model.predict_on_batch(numbers))
