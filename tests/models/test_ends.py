"""Logits or probabilities: the softmax or sigmoid at the end of a network is seen whoever wrote it, and however."""

from __future__ import annotations

import ftbnn_larq  # isort: skip (before TensorFlow)
import numpy as np
import pytest
import tensorflow as tf

from ftbnn_larq.analysis import scores
from ftbnn_larq.models.ends import gives_probabilities, up_to_logits, up_to_probabilities

assert ftbnn_larq
keras_layers = tf.keras.layers
PICTURES = np.random.default_rng(0).normal(size=(16, 4, 4, 1)).astype(np.float32)


def network(*ends, outputs: int = 10, activation=None) -> tf.keras.Model:
    tf.keras.utils.set_random_seed(1)
    inputs = tf.keras.Input((4, 4, 1))
    x = keras_layers.Dense(outputs, activation)(keras_layers.Flatten()(inputs))
    for end in ends:
        x = end(x)
    return tf.keras.Model(inputs, x)


def cast():
    """What ends a network in TensorFlow's guide to mixed precision."""
    return keras_layers.Activation("linear", dtype="float32")


def in_a_row(x):
    return keras_layers.Flatten()(keras_layers.Softmax()(keras_layers.Reshape((1, 1, 10))(x)))


@pytest.mark.parametrize(
    "model",
    [
        lambda: network(cast(), activation="softmax"),
        lambda: network(activation=tf.nn.softmax),
        lambda: network(keras_layers.Activation(tf.nn.softmax), keras_layers.Dropout(0.5)),
        lambda: network(tf.nn.softmax, lambda x: tf.cast(x, tf.float32), tf.identity),
        lambda: network(in_a_row),
        lambda: network(tf.keras.Sequential([keras_layers.Softmax(), cast()]), cast()),
    ],
)
def test_a_softmax_is_seen_behind_what_changes_nothing_and_as_tensorflows_function(model):
    model = model()
    logits = up_to_logits(model)
    assert gives_probabilities(model) and up_to_probabilities(model) is model
    assert not gives_probabilities(logits)
    assert logits.output_shape == model.output_shape == (None, 10)
    np.testing.assert_allclose(tf.nn.softmax(logits(PICTURES)), model(PICTURES), rtol=1e-5)


def test_a_mean_of_probabilities_is_probabilities():
    def ensemble(outputs, activation):
        members = [network(outputs=outputs, activation=activation) for _ in range(2)]
        inputs = tf.keras.Input((4, 4, 1))
        return tf.keras.Model(inputs, cast()(keras_layers.Average()([member(inputs) for member in members])))

    for outputs, activation in ((1, "sigmoid"), (10, "softmax")):
        model = ensemble(outputs, activation)
        assert gives_probabilities(model) and up_to_probabilities(model) is model and up_to_logits(model) is model
    assert not gives_probabilities(ensemble(10, None))


# The last has softmaxes of two scores each.
@pytest.mark.parametrize(
    "ends", [(), (cast(),), (keras_layers.Reshape((5, 2)), keras_layers.Softmax(), keras_layers.Flatten())]
)
def test_what_is_no_softmax_of_the_row_stays(ends):
    model = network(*ends)
    assert not gives_probabilities(model) and up_to_logits(model) is model


@pytest.mark.parametrize(
    ("ends", "activation"),
    [((cast(),), "sigmoid"), ((), tf.sigmoid), ((tf.sigmoid, cast()), None), ((), "hard_sigmoid")],
)
def test_a_sigmoid_of_one_score_is_compared_with_a_half(ends, activation):
    model = network(*ends, outputs=1, activation=activation)
    answers = model(PICTURES).numpy()
    assert 0 < (answers > 0.5).sum() < len(answers)
    assert np.array_equal(scores.classes(answers, gives_probabilities(model)), answers[:, 0] > 0.5)
    assert up_to_logits(model) is model
