"""Larq's binary dense layers: binary convolutions in the flatbuffer, a bit a weight."""

from __future__ import annotations

import ftbnn_larq  # isort: skip (before TensorFlow)
import larq as lq
import numpy as np
import pytest
import tensorflow as tf

from ftbnn_larq.analysis.counts import count
from ftbnn_larq.conversion import proof
from ftbnn_larq.conversion.convert import convert_model
from ftbnn_larq.conversion.network import Network
from ftbnn_larq.errors import ConversionError
from ftbnn_larq.models.layers import binary_conv

assert ftbnn_larq
layers = tf.keras.layers
SIGNS = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip"}


def pictures(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((4, *shape), np.float32)


def dense(units: int, **options) -> lq.layers.QuantDense:
    return lq.layers.QuantDense(units, **{**SIGNS, **options})


def as_trained(model: tf.keras.Model) -> tf.keras.Model:
    random = np.random.default_rng(1)
    for layer in model.submodules:
        if isinstance(layer, layers.BatchNormalization):
            layer.moving_mean.assign(random.normal(0, 5, layer.moving_mean.shape))
            layer.beta.assign(random.normal(0, 0.5, layer.beta.shape))
        if isinstance(layer, lq.layers.QuantDense) and layer.use_bias:
            layer.bias.assign(random.normal(0, 3, layer.bias.shape))
    return model


def test_dense_layers_take_a_bit_a_weight_behind_a_map_and_behind_features(tmp_path):
    """Behind a Flatten and a Dropout, with bias and activation, in a model in the model, on a tail of a word."""
    tf.keras.utils.set_random_seed(1)
    front = tf.keras.Sequential([tf.keras.Input((4, 4, 64)), layers.Flatten(), layers.Dropout(0.5), dense(256)])
    model = tf.keras.Sequential(
        [
            tf.keras.Input((8, 8, 3)),
            layers.Conv2D(64, 3, strides=2, padding="same"),
            binary_conv(64),
            layers.BatchNormalization(),
            front,
            layers.BatchNormalization(),
            dense(72, kernel_quantizer="magnitude_aware_sign", activation="relu"),
            layers.BatchNormalization(),
            dense(10, use_bias=False, name="top"),
        ]
    )
    document = convert_model(as_trained(model), tmp_path / "model.tflite", pictures(8, 8, 3))
    assert document["binary_operators"] == document["binary_layers"] == 4
    # The first convolution is float.
    assert document["operators"].get("FULLY_CONNECTED", 0) == 0 and document["operators"]["CONV_2D"] == 1
    assert not any(row["float_because"] for row in document["layers"] if row["type"] == "QuantDense")
    counted = count(model)
    weights = 9 * 64 * 64 + 4 * 4 * 64 * 256 + 256 * 72 + 72 * 10
    assert counted["params"]["binary"] == weights and counted["macs"]["binary"] == weights + 15 * 9 * 64 * 64
    # Of 72 and of 10 signs the last word is not full.
    assert weights / 8 < document["bytes"] < weights / 8 + 20_000
    assert document["max_abs_diff"] < proof.TOLERANCE * document["logits_range"]
    # The proof compares with the dense layers themselves.
    model.get_layer("top").kernel.assign(-model.get_layer("top").kernel)
    with pytest.raises(ConversionError, match="differ"):
        proof.compare(Network.of(model), tmp_path / "model.tflite", pictures(8, 8, 3))


def test_maps_of_few_channels_fill_their_words_too(tmp_path):
    model = tf.keras.Sequential([tf.keras.Input((16, 16, 3)), layers.Conv2D(5, 1), layers.Flatten(), dense(256)])
    document = convert_model(as_trained(model), tmp_path / "model.tflite", pictures(16, 16, 3))
    assert document["binary_operators"] == 1
    assert document["bytes"] < 16 * 16 * 5 * 256 / 8 + 6_000


class Doubled(lq.layers.QuantDense):
    def call(self, inputs):
        return 2 * super().call(inputs)


@pytest.mark.parametrize(
    ("layer", "why"),
    [
        (Doubled(3, **SIGNS, name="top"), "top: a binary dense layer with a call of its own"),
        (
            dense(3, input_quantizer=lq.quantizers.DoReFa(1), name="top"),
            "top: its input quantizer DoReFa gives 0 and 1",
        ),
    ],
)
def test_other_dense_layers_are_refused_by_name(tmp_path, layer, why):
    model = tf.keras.Sequential([tf.keras.Input((4, 4, 32)), binary_conv(32), layers.Flatten(), layer])
    with pytest.raises(ConversionError, match=rf"1 of 2 .*{why}"):
        convert_model(model, tmp_path / "model.tflite", pictures(4, 4, 32))
