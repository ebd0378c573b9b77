"""What the proof lets pass: differences that rounding makes, and no others."""

from __future__ import annotations

import ftbnn_larq  # isort: skip (before TensorFlow)
import larq as lq
import numpy as np
import pytest
import tensorflow as tf

from ftbnn_larq.conversion import proof
from ftbnn_larq.conversion.convert import convert_model
from ftbnn_larq.conversion.network import Network
from ftbnn_larq.errors import ConversionError
from ftbnn_larq.inference.interpreter import kernels
from ftbnn_larq.models.layers import ShuffleChannels, binary_conv

assert ftbnn_larq


def network(bias: float = 0.0, scale: float = 1.0, groups: int = 1, shuffle: str | None = None) -> tf.keras.Model:
    """The picture plus `bias`, its signs convolved, times `scale`, convolved once more, averaged."""
    tf.keras.utils.set_random_seed(1)
    inputs = tf.keras.Input((4, 4, 64))
    shifted = tf.keras.layers.DepthwiseConv2D(1, depthwise_initializer="ones", name="shift")(inputs)
    x = ShuffleChannels(groups, shuffle)(shifted) if shuffle else shifted
    x = binary_conv(64, groups=groups, name="first")(x)
    x = tf.keras.layers.BatchNormalization(name="norm")(x)
    x = tf.keras.layers.Add()([x, shifted])
    x = tf.keras.layers.Concatenate()([binary_conv(64, name="second")(x), binary_conv(64, 1, name="third")(x)])
    x = tf.keras.layers.GlobalAveragePooling2D()(x)
    model = tf.keras.Model(inputs, tf.keras.layers.Dense(3, name="top")(x))
    model.get_layer("shift").bias.assign(np.full(64, bias))
    model.get_layer("norm").gamma.assign(np.full(64, scale))
    return model


def pictures(nearly_zero: float) -> np.ndarray:
    values = np.random.default_rng(0).choice([-1.0, 1.0, 0.5], (4, 4, 4, 64)).astype(np.float32)
    values[1, 2, 2, 5] = nearly_zero
    return values


@pytest.mark.parametrize(
    ("groups", "shuffle"),
    [(1, None), *(pytest.param(2, shuffle, marks=pytest.mark.slow) for shuffle in (None, "rotate", "interleave"))],
)
def test_a_sign_that_rounding_turns_is_told_and_passes(tmp_path, groups, shuffle):
    path = tmp_path / "model.tflite"
    assert convert_model(network(groups=groups, shuffle=shuffle), path, pictures(5e-7))["sign_ties"] == 0
    turned = Network.of(network(bias=-1e-6, groups=groups, shuffle=shuffle))
    for kernel in (*kernels("lce"), *kernels("ftbnn")):
        agreement = proof.compare(turned, path, pictures(5e-7), kernel)
        assert agreement.sign_ties == 1, kernel
        assert agreement.max_abs_diff < proof.TOLERANCE * agreement.logits_range


def test_where_ftbnn_runtime_is_missing_lces_kernels_alone_are_the_proof(monkeypatch):
    small = Network.of(network())
    assert proof.kernels(small, "split") == [*kernels("lce"), kernels("ftbnn")[0]]
    monkeypatch.setenv("FTBNN_RUNTIME_LIBRARY", "/none.so")
    assert proof.kernels(small, "split") == [*kernels("lce")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bias", "nearly_zero", "scale"),
    [
        pytest.param(-1e-2, 5e-3, 1.0, id="the turned sign's input was well above rounding"),
        pytest.param(-1e-6, 5e-7, 1.01, id="a sign turned by rounding, but also a layer that differs"),
    ],
)
def test_a_turned_sign_excuses_nothing_else(tmp_path, bias, nearly_zero, scale):
    path = tmp_path / "model.tflite"
    convert_model(network(), path, pictures(nearly_zero))
    with pytest.raises(ConversionError, match=r"on [1-4] of 4 pictures"):
        proof.compare(Network.of(network(bias, scale)), path, pictures(nearly_zero))


@pytest.mark.parametrize("stem", [True, False])
def test_signs_that_cannot_be_compared_excuse_nothing(tmp_path, stem):
    """Fewer signs than the flatbuffer has, or the sign of the picture itself."""
    path = tmp_path / "model.tflite"
    convert_model(network(), path, pictures(1.0))
    inputs = tf.keras.Input((4, 4, 64))
    x = tf.keras.layers.Conv2D(64, 1)(inputs) if stem else inputs
    x = lq.layers.QuantConv2D(
        3, 4, input_quantizer="approx_sign", kernel_quantizer="ste_sign", kernel_constraint="weight_clip"
    )(x)
    other = tf.keras.Model(inputs, tf.keras.layers.Flatten()(x))
    with pytest.raises(ConversionError, match="differ"):
        proof.compare(Network.of(other), path, pictures(1.0))


def test_signs_that_are_layers_of_their_own_are_told(tmp_path):
    inputs = x = tf.keras.Input((4, 4, 64))
    x = lq.quantizers.SteSign()(x)
    x = lq.layers.QuantConv2D(64, 3, padding="same", pad_values=1.0, kernel_quantizer="ste_sign")(x)
    model = tf.keras.Model(inputs, tf.keras.layers.GlobalAveragePooling2D()(x))
    with pytest.raises(ConversionError, match=r"1 LceBconv2d operators where the layers are 0 .* as input_quantizer"):
        convert_model(model, tmp_path / "model.tflite", pictures(0.5))


@pytest.mark.parametrize("quantizer", [lq.quantizers.SteHeaviside(), lq.quantizers.DoReFa(1)])
def test_a_quantizer_to_0_and_1_is_named(tmp_path, quantizer):
    inputs = tf.keras.Input((4, 4, 64))
    x = tf.keras.layers.Conv2D(64, 1)(inputs)
    x = lq.layers.QuantConv2D(64, 3, input_quantizer=quantizer, kernel_quantizer="ste_sign", name="odd")(x)
    model = tf.keras.Model(inputs, tf.keras.layers.GlobalAveragePooling2D()(x))
    with pytest.raises(ConversionError, match=f"odd: its input quantizer {type(quantizer).__name__} gives 0 and 1"):
        convert_model(model, tmp_path / "model.tflite", pictures(0.5))
