"""Zero-padded binary convolutions: those that are named are those that LCE computes wrongly."""

from __future__ import annotations

import ftbnn_larq  # isort: skip (before TensorFlow)
import larq as lq
import numpy as np
import pytest
import tensorflow as tf

from ftbnn_larq.analysis import zero_padding
from ftbnn_larq.conversion.convert import convert_model
from ftbnn_larq.conversion.converter import to_flatbuffer
from ftbnn_larq.errors import ConversionError
from ftbnn_larq.inference.interpreter import Interpreter

assert ftbnn_larq
layers = tf.keras.layers

# Kernel, stride, dilation of convolutions that read a map of 4x6.
READERS = (
    *((3, 1, 1), (4, 1, 1), (5, 2, 1), (5, 3, 1), (5, 4, 1), (7, 3, 1), (2, 1, 3), (2, 1, 4)),
    *((1, 2, 1), ((3, 7), 1, 1), ((5, 3), 1, 1)),
)


def convolution(kernel, strides: int = 1, dilation: int = 1, pad: float = 0.0, **options):
    signs = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip"}
    options = {"padding": "same", "pad_values": pad, "use_bias": False, **signs, **options}
    return lq.layers.QuantConv2D(8, kernel, strides=strides, dilation_rate=dilation, **options)


def test_what_is_named_is_what_lce_computes_wrongly(tmp_path):
    tf.keras.utils.set_random_seed(1)
    inputs = tf.keras.Input((4, 6, 32))
    x = layers.DepthwiseConv2D(1, depthwise_initializer="ones")(inputs)
    names = [f"reader{place}" for place in range(len(READERS))]
    parts = [layers.Flatten()(convolution(*each, name=name)(x)) for name, each in zip(names, READERS, strict=True)]
    # As large, and not padded with zeros.
    parts += [layers.Flatten()(convolution(5, pad=1.0)(x)), layers.Flatten()(convolution(4, padding="valid")(x))]
    model = tf.keras.Model(inputs, layers.Concatenate()(parts))
    path = tmp_path / "model.tflite"
    path.write_bytes(to_flatbuffer(model).flatbuffer)
    pictures = np.random.default_rng(0).standard_normal((2, 4, 6, 32), np.float32)
    expected, ends = model.predict_on_batch(pictures), np.cumsum([part.shape[1] for part in parts])
    for kernel in ("default", "indirect", "reference"):
        with Interpreter(path, kernel=kernel) as interpreter:
            off = np.abs(interpreter.predict(pictures) - expected).max(axis=0) > 1e-3
        wrong = {name for name, part in zip([*names, "", ""], np.split(off, ends[:-1]), strict=True) if part.any()}
        assert wrong == ({each.layer for each in zero_padding.covered(model)} if kernel != "reference" else set())


def test_the_layer_is_named_with_the_way_out(tmp_path):
    model = tf.keras.Sequential([tf.keras.Input((2, 2, 32)), layers.Conv2D(32, 1), convolution(3, name="last")])
    model.add(layers.Flatten())
    with pytest.raises(ConversionError, match=r"last pads its 2x2 map with zeros, and its 3x3 .* pad_values=1.0"):
        convert_model(model, tmp_path / "model.tflite", np.zeros((1, 2, 2, 32), np.float32))
    assert not (tmp_path / "model.tflite").exists()
