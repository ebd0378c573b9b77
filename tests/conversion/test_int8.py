"""Float kernels in 8 bits, and how constants lie in the file."""

from __future__ import annotations

import ftbnn_larq  # isort: skip (before TensorFlow)
import numpy as np
import pytest
import tensorflow as tf

from ftbnn_larq.conversion import census
from ftbnn_larq.conversion.convert import convert_model
from ftbnn_larq.conversion.converter import to_flatbuffer
from ftbnn_larq.conversion.flatbuffer import Graph
from ftbnn_larq.models.layers import binary_conv
from tests.conversion.helpers import as_trained, counts, rewritten

keras_layers = tf.keras.layers


def float_network() -> tf.keras.Model:
    tf.keras.utils.set_random_seed(1)
    inputs = tf.keras.Input((8, 8, 32))
    x = keras_layers.Conv2D(64, 3, name="big")(inputs)
    x = keras_layers.BatchNormalization()(x)
    x = keras_layers.Conv2D(8, 1, name="small")(x)
    x = binary_conv(64, 1, name="binary")(keras_layers.Concatenate()([x, x, x, x]))
    return as_trained(tf.keras.Model(inputs, keras_layers.Dense(8, name="top")(keras_layers.Flatten()(x))))


def test_large_float_kernels_take_8_bits_and_the_flatbuffer_is_the_rounded_model(tmp_path):
    model = float_network()
    before = model.get_weights()
    pictures = np.random.default_rng(0).normal(size=(4, 8, 8, 32)).astype(np.float32)
    eight = convert_model(model, tmp_path / "8.tflite", pictures)
    assert sorted(eight["int8"]["layers"]) == ["big", "top"]
    assert eight["operators"]["DEQUANTIZE"] == 2
    assert eight["left_as_they_are"] == {}
    rows = {row["layer"]: row["operators"] for row in eight["layers"]}
    assert rows["big"] == {"DEQUANTIZE": 1, "CONV_2D": 1}
    assert rows["top"] == {"DEQUANTIZE": 1, "FULLY_CONNECTED": 1}
    assert eight["int8"]["max_abs_diff"] > 0
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)
    whole = convert_model(model, tmp_path / "32.tflite", pictures, without=["int8"])
    assert whole["int8"] is None
    assert "DEQUANTIZE" not in whole["operators"]
    weights = model.get_layer("big").kernel.numpy().size + model.get_layer("top").kernel.numpy().size
    assert 2.7 * weights < whole["bytes"] - eight["bytes"] < 3 * weights


@pytest.mark.slow
def test_kernels_that_groups_cut_into_small_ones_take_8_bits_too(tmp_path):
    options = {"width": 32, "shortcut": "float", "units": (1, 1, 2), "widening": (1.0, 1.5, 3.0)}
    options |= {"group_channels": (32, 32, 64), "transition": "before"}
    network = ftbnn_larq.create_model("ftbnn_r18", input_shape=(16, 16, 3), num_classes=9, **options)
    document = convert_model(as_trained(network), tmp_path / "model.tflite", np.zeros((2, 16, 16, 3), np.float32))
    (saved,) = (row["bytes_saved"] for row in document["passes"] if row["name"] == "int8")
    weights = sum(np.prod(network.get_layer(name).kernel.shape) for name in document["int8"]["layers"])
    assert "stage3_unit1_shortcut_conv" in document["int8"]["layers"]
    assert saved > 2.5 * weights


def test_every_kernel_that_is_rounded_is_stored_so(tmp_path):
    """One of few weights a filter too."""
    inputs = tf.keras.Input((8, 8, 3))
    x = binary_conv(160)(keras_layers.Conv2D(160, 3, padding="same", use_bias=False, name="stem")(inputs))
    model = tf.keras.Model(inputs, keras_layers.GlobalAveragePooling2D()(x))
    document = convert_model(model, tmp_path / "model.tflite", np.ones((1, 8, 8, 3), np.float32))
    assert document["int8"]["layers"] == ["stem"] and document["operators"]["DEQUANTIZE"] == 1


def test_weights_that_lie_on_no_grid_are_left(tmp_path):
    flatbuffer = to_flatbuffer(float_network())[0]
    assert "DEQUANTIZE" not in counts(rewritten(flatbuffer, "int8"))


def test_tensors_are_called_after_layers_and_constants_lie_where_kernels_expect_them():
    flatbuffer = rewritten(to_flatbuffer(float_network())[0], "names")
    assert {row.output for row in census.operators(flatbuffer)} >= {"small", "binary"}
    graph = Graph(flatbuffer)
    for operator in graph.operators:
        for tensor in operator.inputs:
            values = graph.constant(tensor)
            if values is not None:
                assert graph.name(tensor) == ""
                assert not values.any() or flatbuffer.find(values.tobytes()) % 16 == 0
