"""What the tests of passes share: networks as if trained, a few passes alone, and the same answers before and after."""

from __future__ import annotations

import ftbnn_larq  # isort: skip (before TensorFlow)
import numpy as np
import tensorflow as tf

from ftbnn_larq.conversion import census, passes
from ftbnn_larq.conversion.flatbuffer import Graph
from ftbnn_larq.inference.interpreter import Interpreter
from ftbnn_larq.models import nonlinearities
from ftbnn_larq.models.layers import binary_conv

keras_layers = tf.keras.layers


def rewritten(flatbuffer: bytes, *names: str) -> bytes:
    return passes.run(Graph(flatbuffer), [row for row in passes.PASSES if row.name in names])[0]


def counts(flatbuffer: bytes) -> dict[str, int]:
    return census.census(census.operators(flatbuffer))


def answers(flatbuffer: bytes, folder, pictures: np.ndarray) -> np.ndarray:
    path = folder / "model.tflite"
    path.write_bytes(flatbuffer)
    with Interpreter(path) as interpreter:
        return interpreter.predict(pictures)


def same_answers(before: bytes, after: bytes, folder, shape=(8, 8, 32)) -> None:
    pictures = np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)
    expected = answers(before, folder, pictures)
    assert np.ptp(expected) > 1e-3
    np.testing.assert_allclose(answers(after, folder, pictures), expected, rtol=1e-4, atol=1e-4 * np.ptp(expected))


def as_trained(model: tf.keras.Model) -> tf.keras.Model:
    """Batch norms, slopes and shifts at random, of both signs but for the slope of positive inputs where it has one."""
    generator = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras_layers.BatchNormalization):
            gamma, beta, mean, variance = (generator.normal(0, 0.5, weight.shape) for weight in layer.get_weights())
            layer.set_weights([gamma, beta, 5 * mean, 50 * np.abs(variance)])
        elif not hasattr(layer, "kernel") and not hasattr(layer, "depthwise_kernel"):
            weights = [generator.normal(0, 0.5, weight.shape) for weight in layer.get_weights()]
            if isinstance(layer, nonlinearities.FPReLU):
                weights[0] = np.abs(weights[0])
            layer.set_weights(weights)
    return model


def units(*acts, placement="after_bn", channels=32) -> tf.keras.Model:
    """Units around the given non-linearities in a row."""
    tf.keras.utils.set_random_seed(1)
    inputs = x = tf.keras.Input((8, 8, channels), name="picture")
    for index, act in enumerate(acts):
        y = binary_conv(channels, name=f"conv{index}")(x)
        if placement == "before_bn":
            y = act(y)
        y = keras_layers.BatchNormalization(name=f"norm{index}")(y)
        if placement == "after_bn":
            y = act(y)
        x = keras_layers.Add(name=f"sum{index}")([x, y])
        if placement == "after_add":
            x = act(x)
    x = keras_layers.AveragePooling2D(8)(x)
    return as_trained(tf.keras.Model(inputs, keras_layers.Flatten()(x)))


def grouped_network(shuffle: str, **options) -> tf.keras.Model:
    """A short ftbnn_r18 up to its logits: one, two and four groups in its stages."""
    tf.keras.utils.set_random_seed(1)
    options = {"units": (1, 2, 2), "widening": 2, "group_channels": 32, "shuffle": shuffle, "width": 16, **options}
    model = ftbnn_larq.create_model("ftbnn_r18", input_shape=(32, 32, 3), num_classes=9, **options)
    return as_trained(tf.keras.Model(model.input, model.layers[-1].input))


def normed(x, filters: int = 64, groups: int = 1):
    return keras_layers.BatchNormalization()(binary_conv(filters, groups=groups)(x))
