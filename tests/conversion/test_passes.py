"""Each rewrite of the flatbuffer by itself: what it leaves, and that LCE still gives the same answers."""

from __future__ import annotations

import ftbnn_larq  # isort: skip (before TensorFlow)
import larq as lq
import numpy as np
import pytest
import tensorflow as tf

from ftbnn_larq.conversion import passes
from ftbnn_larq.conversion.convert import convert_model
from ftbnn_larq.conversion.converter import to_flatbuffer
from ftbnn_larq.conversion.flatbuffer import Graph
from ftbnn_larq.errors import ConversionError, UnknownNameError
from ftbnn_larq.inference.interpreter import kernels
from ftbnn_larq.models.layers import RepeatChannels, binary_conv
from tests.conversion.helpers import as_trained, counts, grouped_network, normed, rewritten, same_answers, units

keras_layers = tf.keras.layers


def grouped_float_shortcut(x):
    x = keras_layers.Add()([normed(x, 64, 2), x])
    shortcut = keras_layers.BatchNormalization()(keras_layers.Conv2D(128, 1, groups=2)(x))
    x = keras_layers.Add()([normed(x, 128, 2), shortcut])
    return keras_layers.Add()([normed(x, 128, 4), x])


def attention_map(x):
    y = keras_layers.BatchNormalization()(keras_layers.ReLU()(normed(x)))
    return keras_layers.ReLU()(keras_layers.Add()([y, keras_layers.Conv2D(1, 1)(x)]))


def pictures_side_by_side(x):
    x = keras_layers.AveragePooling2D(2)(keras_layers.Add()([normed(x), x]))
    return keras_layers.BatchNormalization()(keras_layers.Concatenate(axis=1)([x, x]))


def features_repeated(x):
    x = keras_layers.GlobalAveragePooling2D()(keras_layers.Add()([normed(x), x]))
    return keras_layers.BatchNormalization()(keras_layers.Concatenate()([x, x]))


def divided_by_a_number(x):
    x = keras_layers.Add()([normed(x), x])
    return x / (tf.reduce_mean(tf.abs(x)) + 1e-3)


def a_number_added(x):
    y = normed(x)
    return tf.reduce_mean(y) + y


def a_number_between_groups(x):
    y = normed(x, 64, 2)
    return normed(keras_layers.Add()([y * tf.reduce_mean(tf.abs(x)), x]), 64, 2)


def rows_split(x):
    return keras_layers.Add()(tf.split(normed(x, 64, 2), 2, axis=1))


@pytest.mark.parametrize(
    "part",
    [
        *(grouped_float_shortcut, attention_map, pictures_side_by_side, features_repeated),
        *(divided_by_a_number, a_number_added, a_number_between_groups, rows_split),
    ],
)
def test_what_looks_like_something_that_a_pass_rewrites_stays_right(tmp_path, part):
    tf.keras.utils.set_random_seed(1)
    inputs = tf.keras.Input((8, 8, 64))
    x = part(keras_layers.BatchNormalization()(keras_layers.Conv2D(64, 3, padding="same")(inputs)))
    x = keras_layers.Flatten()(keras_layers.MaxPooling2D((4, 4))(x) if len(x.shape) == 4 else x)
    model = as_trained(tf.keras.Model(inputs, keras_layers.Dense(5, name="logits")(x)))
    before = to_flatbuffer(model)[0]
    after = rewritten(before, "fold", "shortcuts", "groups", "streams")
    same_answers(rewritten(before, "groups"), after, tmp_path, (8, 8, 64))


def test_a_loop_is_refused(tmp_path):
    inputs = tf.keras.Input((8, 8, 32))
    x = keras_layers.GRU(8)(keras_layers.Reshape((8, 8 * 32))(binary_conv(32)(inputs)))
    with pytest.raises(ConversionError, match=r"holds a loop, .* unroll=True"):
        convert_model(tf.keras.Model(inputs, x), tmp_path / "model.tflite", np.ones((1, 8, 8, 32), np.float32))


def test_an_operator_for_all_steps_of_a_recurrent_layer_is_refused(tmp_path):
    inputs = tf.keras.Input((8, 8, 32))
    x = keras_layers.LSTM(8)(keras_layers.Reshape((8, 8 * 32))(binary_conv(32)(inputs)))
    with pytest.raises(ConversionError, match=r"an LSTM becomes one operator for all steps, .* unroll=True"):
        convert_model(tf.keras.Model(inputs, x), tmp_path / "model.tflite", np.ones((1, 8, 8, 32), np.float32))


@pytest.mark.parametrize(
    ("layer", "told"),
    [
        (lambda options: lq.layers.QuantConv1D(32, 3, **options), "of pictures only"),
        (lambda options: Compiled(options), "inner is called inside a tf.function, .*take @tf.function off"),
    ],
)
def test_binary_layers_that_stay_float_or_cannot_be_followed_are_told_with_the_reason(tmp_path, layer, told):
    inputs = tf.keras.Input((8, 8, 32))
    own = layer({"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip"})
    front = keras_layers.Reshape((64, 32)) if "Conv1D" in type(own).__name__ else keras_layers.BatchNormalization()
    x = keras_layers.Dense(3)(keras_layers.Flatten()(own(front(inputs))))
    with pytest.raises(ConversionError, match=told):
        convert_model(tf.keras.Model(inputs, x), tmp_path / "model.tflite", np.ones((1, 8, 8, 32), np.float32))


class Compiled(keras_layers.Layer):
    """A binary convolution whose calls are in a graph of their own."""

    def __init__(self, options):
        super().__init__()
        self.convolution = lq.layers.QuantConv2D(32, 3, pad_values=1.0, padding="same", name="inner", **options)

    @tf.function
    def call(self, x):
        return self.convolution(x)


def test_a_pass_that_fails_is_named_with_a_way_around_it():
    flatbuffer = to_flatbuffer(units())[0]
    for name, way in (("fold", "--no-fold"), ("groups", "--groups fused")):
        with pytest.raises(ConversionError, match=rf"the pass {name} cannot .*TypeError.*convert it with {way}"):
            passes.run(Graph(flatbuffer), [passes.Pass(name, "fail", "nothing", "biases:add")])


@pytest.mark.parametrize(("side", "merged"), [(8, True), (7, False)])
def test_a_pooled_shortcut_is_depthwise_convolutions_that_pool_where_no_window_is_cut_off(tmp_path, side, merged):
    tf.keras.utils.set_random_seed(1)
    inputs = tf.keras.Input((side, side, 32))
    x = keras_layers.AveragePooling2D(2, padding="same")(inputs)
    x = RepeatChannels(64)(x)
    x = keras_layers.BatchNormalization()(x)
    x = keras_layers.Add()([x, binary_conv(64, 3, strides=2)(inputs)])
    model = as_trained(tf.keras.Model(inputs, keras_layers.Flatten()(keras_layers.MaxPooling2D(4)(x))))
    before = to_flatbuffer(model)[0]
    after = rewritten(before, "shortcuts")
    same_answers(before, after, tmp_path, (side, side, 32))
    found = counts(after)
    assert found["DEPTHWISE_CONV_2D"] == 2
    assert ("AVERAGE_POOL_2D" in found) != merged
    assert "MUL" not in found


@pytest.mark.parametrize("filters", [64, 80])
def test_channels_that_a_stem_repeats_leave_no_scale_and_no_shift(tmp_path, filters):
    """Twice, or twice and a part of them once more."""
    tf.keras.utils.set_random_seed(1)
    inputs = tf.keras.Input((8, 8, 32))
    x = keras_layers.Conv2D(32, 3, use_bias=False)(inputs)
    x = keras_layers.BatchNormalization()(RepeatChannels(filters)(x))
    x = keras_layers.Add()([x, binary_conv(filters)(RepeatChannels(96)(x))])
    model = as_trained(tf.keras.Model(inputs, keras_layers.Flatten()(keras_layers.MaxPooling2D(6)(x))))
    before = to_flatbuffer(model)[0]
    after = rewritten(before, "shortcuts")
    same_answers(before, after, tmp_path, (8, 8, 32))
    assert counts(before)["MUL"] == 1
    found = counts(after)
    assert found["DEPTHWISE_CONV_2D"] == -(-filters // 32)
    assert "MUL" not in found and found["ADD"] == counts(before)["ADD"] - 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ftbnn_r18_pure", "ftbnn_r18"])
def test_a_network_for_small_pictures_holds_nothing_that_it_does_not_need(tmp_path, name):
    model = ftbnn_larq.create_model(name, input_shape=(32, 32, 3), num_classes=10, width=16, units=(2, 2, 2, 2))
    logits = as_trained(tf.keras.Model(model.input, model.layers[-1].input))
    pictures = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype(np.float32)
    found = convert_model(logits, tmp_path / "model.tflite", pictures)["operators"]
    units = {"LceQuantize", "LceBconv2d", "PRELU", "ADD"}
    copies = {"SPLIT", "CONCATENATION"}
    floats = {"CONV_2D", "DEPTHWISE_CONV_2D", "AVERAGE_POOL_2D", "FULLY_CONNECTED", "DEQUANTIZE"}
    assert set(found) <= units | copies | floats
    assert found["ADD"] == found["LceBconv2d"]


@pytest.mark.slow
def test_conversion_lists_its_passes_and_leaves_out_what_it_is_asked_to(tmp_path):
    pictures = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype(np.float32)
    model = grouped_network("interleave")
    document = convert_model(model, tmp_path / "model.tflite", pictures)
    assert [row["name"] for row in document["passes"]] == [row.name for row in passes.PASSES]
    saved = {row["name"]: row for row in document["passes"]}
    assert saved["fold"]["operators_saved"] == 3 * 5
    assert saved["names"]["bytes_saved"] > 500
    assert "GATHER" in document["left_as_they_are"]
    assert document["needs"] is None
    fused = convert_model(model, tmp_path / "model.tflite", pictures, groups="fused", without=["fold"])
    assert [row["name"] for row in fused["passes"]] == ["names", "shortcuts", "int8"]
    assert fused["needs"] == "--use_indirect_bgemm=true"
    assert list(fused["kernels"]) == ["indirect", "reference", kernels("ftbnn")[0]]
    assert fused["binary_operators"] == 5
    with pytest.raises(UnknownNameError, match="did you mean fold"):
        convert_model(model, tmp_path / "model.tflite", pictures, without=["folds"])
    with pytest.raises(UnknownNameError, match="did you mean fused"):
        convert_model(model, tmp_path / "model.tflite", pictures, groups="fuse")


@pytest.mark.slow
def test_every_layer_is_told_what_became_of_it(tmp_path):
    pictures = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype(np.float32)
    model = grouped_network("none")
    layers = convert_model(model, tmp_path / "model.tflite", pictures)["layers"]
    assert [row["layer"] for row in layers] == [layer.name for layer in model.layers]
    rows = {row["layer"]: row for row in layers}
    assert rows["stage1_unit1_conv"]["operators"] == {"LceQuantize": 1, "LceBconv2d": 1}
    assert rows["stage1_unit1_act"]["operators"] == {"PRELU": 1}
    assert rows["stage2_unit1_shortcut_pool"]["within"] == "stage2_unit1_shortcut_bn"
    assert set(rows["stage2_unit1_shortcut_bn"]["operators"]) >= {"DEPTHWISE_CONV_2D"}
    assert rows["stage3_unit2_conv"]["operators"]["LceBconv2d"] == 4
    assert "not quantized to one bit" in rows["stem_conv"]["float_because"]
    assert rows["stage1_unit1_conv"]["float_because"] is None
    assert all(row["operators"] for row in layers[1:])


@pytest.mark.slow
@pytest.mark.parametrize("stem", ["conv", "light"])
def test_a_photographs_stem_is_told_too(tmp_path, stem):
    pictures = np.random.default_rng(0).normal(size=(2, 128, 128, 3)).astype(np.float32)
    options = {"units": (1,), "width": 16, "stem": stem}
    model = ftbnn_larq.create_model("ftbnn_r18_pure", input_shape=(128, 128, 3), num_classes=9, **options)
    layers = convert_model(tf.keras.Model(model.input, model.layers[-1].input), tmp_path / "model.tflite", pictures)[
        "layers"
    ]
    rows = {row["layer"]: row for row in layers}
    assert rows["stem_conv"]["operators"] == rows["stem_bn"]["operators"] == {"CONV_2D": 1}
    assert rows["flatten"]["within"] == "logits"
    assert all(row["operators"] for row in layers[1:])
    floats = [row["layer"] for row in layers if row["float_because"]]
    assert floats == [name for name in rows if name in ("stem_conv", "stem_depthwise", "stem_pointwise", "logits")]
