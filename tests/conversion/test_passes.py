"""Each rewrite of the flatbuffer by itself: what it leaves, and that LCE still gives the same answers."""

from __future__ import annotations

import ftbnn_larq  # isort: skip (before TensorFlow)
import numpy as np
import pytest
import tensorflow as tf

from ftbnn_larq.conversion import census, passes
from ftbnn_larq.conversion.convert import convert_model
from ftbnn_larq.conversion.converter import to_flatbuffer
from ftbnn_larq.conversion.flatbuffer import FLOAT32, Graph
from ftbnn_larq.errors import ConversionError, ModelFileError, UnknownNameError
from ftbnn_larq.inference.interpreter import Interpreter, kernels
from ftbnn_larq.models import nonlinearities
from ftbnn_larq.models.config import NONLINEARITIES
from ftbnn_larq.models.layers import RepeatChannels, binary_conv

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


def slopes(model: tf.keras.Model, index: int, positive, negative) -> None:
    model.get_layer(f"act{index}").set_weights([np.resize(np.float32(each), 32) for each in (positive, negative)])


# Pairs of slopes (p, n) that PRELU behind a scaled convolution can take, and those that never rise above zero.
RISING = [(1, 0), (1, 0.2), (1, -0.7), (1, 1), (-1, -0.3), (0, -1), (-2, -1), (1e-9, -1), (0, 0), (3, 0.5), (1, 1e-30)]
FALLING = [(-1, 0), (-1, 0.5), (0, 0.5), (-1e-3, 2)]


def test_two_slopes_become_one_prelu_for_every_sign_and_a_sign_where_nothing_rises(tmp_path):
    model = units(*(nonlinearities.FPReLU(name=f"act{index}") for index in range(3)))
    for index, pairs in enumerate([RISING, RISING + FALLING, FALLING]):
        slopes(model, index, *zip(*pairs, strict=True))
    before = to_flatbuffer(model)[0]
    after = rewritten(before, "names", "fold")
    same_answers(before, after, tmp_path)
    rows = [(row.output, row.type) for row in census.operators(after)]
    assert [kind for name, kind in rows if name.startswith(("act0", "norm0"))] == ["LceBconv2d", "PRELU"]
    for index in (1, 2):
        mine = [kind for name, kind in rows if name.startswith((f"act{index}", f"norm{index}"))]
        assert mine == ["LceBconv2d", "PRELU", "MUL"]
    document = convert_model(model, tmp_path / "told.tflite", np.zeros((1, 8, 8, 32), np.float32))
    assert document["unfolded"] == {"MUL": ["act1", "act2"]}


@pytest.mark.slow
@pytest.mark.parametrize("sharing", ["channel", "layer"])
@pytest.mark.parametrize(("placement", "more"), [("after_bn", 0), ("before_bn", 0), ("after_add", 1)])
def test_every_non_linearity_leaves_as_few_operators_as_it_needs(tmp_path, placement, more, sharing):
    """`more`: behind a sum there is no scale to fold into, and two slopes leave one MUL."""
    names = [name for name in NONLINEARITIES if name not in ("identity", "relu", "rprelu")]
    acts = [
        nonlinearities.create(name, slopes=(1.0, 0.5), sharing=sharing, layer_name=f"act{index}")
        for index, name in enumerate(names)
    ]
    before = to_flatbuffer(units(*acts, placement=placement))[0]
    after = rewritten(before, "fold")
    same_answers(before, after, tmp_path)
    found = counts(after)
    offsets = found.get("ADD", 0) - len(names)
    assert found.get("RELU", 0) == 0
    # A batch norm behind the bend leaves the value at the bend to be added.
    assert offsets == (len(names) if placement == "before_bn" else 0)
    signs = 3 if placement == "before_bn" else 1
    assert found.get("MUL", 0) <= (more or signs)


@pytest.mark.parametrize("name", ["fprelu", "rprelu"])
def test_what_stands_behind_flat_features_folds_too(tmp_path, name):
    inputs = tf.keras.Input((8, 8, 32))
    x = keras_layers.GlobalAveragePooling2D()(binary_conv(32)(inputs))
    x = nonlinearities.create(name, layer_name="last")(keras_layers.BatchNormalization()(x))
    model = as_trained(tf.keras.Model(inputs, keras_layers.Dense(5, name="logits")(x)))
    before = to_flatbuffer(model)[0]
    after = rewritten(before, "fold")
    same_answers(before, after, tmp_path)
    assert counts(after)["PRELU"] == 1 and len(census.operators(after)) < len(census.operators(before))


def test_a_batch_norm_behind_a_sum_becomes_no_prelu(tmp_path):
    tf.keras.utils.set_random_seed(1)
    inputs = tf.keras.Input((8, 8, 32))
    x = keras_layers.Add()([inputs, binary_conv(32)(inputs)])
    x = keras_layers.AveragePooling2D(8)(keras_layers.BatchNormalization()(x))
    x = keras_layers.Dense(5, name="logits")(keras_layers.Flatten()(x))
    model = as_trained(tf.keras.Model(inputs, x))
    before = to_flatbuffer(model)[0]
    after = rewritten(before, "fold")
    same_answers(before, after, tmp_path)
    assert "PRELU" not in counts(after) and len(census.operators(after)) <= len(census.operators(before))


def elementwise(flatbuffer: bytes, without: int = 0) -> dict[str, int]:
    """How many of each operator that scales, shifts or bends; `without` so many sums."""
    found = counts(flatbuffer)
    kinds = ("PRELU", "ADD", "MUL", "SUB", "RELU", "NEG")
    return {kind: found.get(kind, 0) - without * (kind == "ADD") for kind in kinds if kind in found}


@pytest.mark.parametrize(
    ("placement", "left"), [("after_bn", {"PRELU": 3, "ADD": 2}), ("after_add", {"PRELU": 3, "ADD": 2})]
)
def test_shifts_fold_into_biases_where_the_graph_allows(tmp_path, placement, left):
    """One in front goes into the convolution, the last one into the classifier.

    Others behind stay an ADD: the stream they go into has its zero where the next sign's is.
    """
    body = units(*(nonlinearities.RPReLU(name=f"act{index}") for index in range(3)), placement=placement)
    head = keras_layers.Dense(5, name="logits")(body.output)
    model = as_trained(tf.keras.Model(body.input, head))
    before = to_flatbuffer(model)[0]
    after = rewritten(before, "fold")
    same_answers(before, after, tmp_path)
    assert elementwise(after, without=3) == left


@pytest.mark.slow
@pytest.mark.parametrize("shortcut", ["pool", "float", "binary", "depthwise"])
def test_a_shift_into_a_new_stage_folds_into_its_shortcut(tmp_path, shortcut):
    options = {"nonlinearity": "rprelu", "shortcut": shortcut, "units": (1, 1), "width": 16}
    network = ftbnn_larq.create_model("ftbnn_r18_pure", input_shape=(32, 32, 3), num_classes=9, **options)
    model = as_trained(tf.keras.Model(network.input, network.layers[-1].input))
    before = to_flatbuffer(model)[0]
    after = rewritten(before, "fold", "shortcuts")
    same_answers(before, after, tmp_path, (32, 32, 3))
    assert elementwise(after, without=2) == {"PRELU": 2, "ADD": 1}


def test_a_maximum_whose_constant_could_move_stays_right(tmp_path):
    """One operator becomes one: what was moved may not be forgotten."""
    tf.keras.utils.set_random_seed(1)
    inputs = tf.keras.Input((8, 8, 32))
    x = binary_conv(32)(inputs)
    x = tf.maximum(x, 3.0)
    x = keras_layers.Add()([x, keras_layers.BatchNormalization()(inputs)])
    model = as_trained(tf.keras.Model(inputs, keras_layers.Flatten()(keras_layers.AveragePooling2D(8)(x))))
    before = to_flatbuffer(model)[0]
    same_answers(before, rewritten(before, "fold"), tmp_path)


def grouped_network(shuffle: str, **options) -> tf.keras.Model:
    """A short ftbnn_r18 up to its logits: one, two and four groups in its stages."""
    tf.keras.utils.set_random_seed(1)
    options = {"units": (1, 2, 2), "widening": 2, "group_channels": 32, "shuffle": shuffle, "width": 16, **options}
    model = ftbnn_larq.create_model("ftbnn_r18", input_shape=(32, 32, 3), num_classes=9, **options)
    return as_trained(tf.keras.Model(model.input, model.layers[-1].input))


@pytest.mark.slow
@pytest.mark.parametrize("shuffle", ["none", "rotate", "butterfly", "interleave"])
def test_groups_read_packed_words_and_stay_apart_while_nothing_mixes_them(tmp_path, shuffle):
    before = to_flatbuffer(grouped_network(shuffle))[0]
    with pytest.raises(ModelFileError, match="refuses"):
        path = tmp_path / "fused.tflite"
        path.write_bytes(before)
        Interpreter(path, kernel="default")
    folded = rewritten(before, "fold", "shortcuts")
    split = rewritten(folded, "groups")
    apart = rewritten(split, "streams")
    same_answers(before, split, tmp_path, (32, 32, 3))
    same_answers(before, apart, tmp_path, (32, 32, 3))
    assert counts(split)["LceBconv2d"] == counts(apart)["LceBconv2d"] > 5
    assert copied(split, "SPLIT") == 0
    if shuffle != "interleave":
        # What the classifier and ungrouped convolutions read is joined, nothing else; neighbours cost no copies.
        copies = ("SPLIT", "CONCATENATION", "STRIDED_SLICE")
        assert copied(apart, *copies) < copied(split, *copies)
        assert "STRIDED_SLICE" not in counts(split)


@pytest.mark.slow
def test_groups_that_grow_are_joined_before_their_signs_are_taken_once_for_each_convolution(tmp_path):
    """Two groups of 32, then, behind their copies, four of 64."""
    before = to_flatbuffer(grouped_network("rotate", units=(1, 2), widening=(1, 2), group_channels=(32, 64), width=64))[
        0
    ]
    after = rewritten(before, "fold", "shortcuts", "groups", "streams")
    same_answers(before, after, tmp_path, (32, 32, 3))
    found = counts(after)
    assert found["LceBconv2d"] == 2 + 2 * 4
    assert found["LceQuantize"] <= found["LceBconv2d"]


def copied(flatbuffer: bytes, *kinds: str) -> int:
    """How many floats operators of those kinds write."""
    graph = Graph(flatbuffer)
    written = [tensor for operator in graph.operators if graph.type(operator) in kinds for tensor in operator.outputs]
    return sum(np.prod(graph.shape(tensor)) for tensor in written if graph.tensors[tensor].type == FLOAT32)


@pytest.mark.slow
def test_a_narrow_stage_between_wide_ones_and_other_stems_stay_right(tmp_path):
    model = grouped_network(
        "none", stem="conv", shortcut="depthwise", widening=(4.0, 2.0, 2.0), group_channels=(32, 64, 32)
    )
    before = to_flatbuffer(model)[0]
    after = rewritten(before, "fold", "shortcuts", "groups", "streams")
    same_answers(before, after, tmp_path, (32, 32, 3))


def normed(x, filters: int = 64, groups: int = 1):
    return keras_layers.BatchNormalization()(binary_conv(filters, groups=groups)(x))


@pytest.mark.slow
@pytest.mark.parametrize(("filters", "splits"), [(48, False), (64, True), (96, False)])
def test_groups_whose_packed_outputs_share_a_word_are_refused(tmp_path, filters, splits):
    tf.keras.utils.set_random_seed(1)
    inputs = tf.keras.Input((8, 8, 3))
    x = keras_layers.Conv2D(64, 3, padding="same")(inputs)
    x = keras_layers.BatchNormalization()(binary_conv(filters, groups=2, name="mine")(x))
    model = as_trained(tf.keras.Model(inputs, keras_layers.GlobalAveragePooling2D()(normed(x, 32))))
    pictures = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype(np.float32)
    if splits:
        assert convert_model(model, tmp_path / "split.tflite", pictures)["binary_operators"] == 3
    else:
        told = rf"behind mine/\S+ has {filters // 2} filters per group.*: take a multiple of 32 .* --groups fused"
        with pytest.raises(ConversionError, match=told):
            convert_model(model, tmp_path / "split.tflite", pictures)
    assert convert_model(model, tmp_path / "fused.tflite", pictures, groups="fused")["binary_operators"] == 2


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
