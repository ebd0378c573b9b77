"""What a model costs: the counter on any Keras model, the commands `summary`, `compare` and `list`."""

from __future__ import annotations

import json

import larq as lq
import pytest
import tensorflow as tf
from click.testing import CliRunner
from larq.models import ModelProfile

import ftbnn_larq
from ftbnn_larq import zoo
from ftbnn_larq.analysis.counts import count
from ftbnn_larq.cli import commands
from ftbnn_larq.errors import ConfigError, UnknownNameError
from ftbnn_larq.zoo import peers
from tests.conftest import line_of_refusal, run_without_tensorflow

keras = tf.keras.layers
SIGNS = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip"}


def counted(layer, *shape) -> dict:
    inputs = tf.keras.Input(shape)
    return count(tf.keras.Model(inputs, layer(inputs)))


def rows(document) -> dict:
    return {layer["name"]: layer for layer in document["layers"]}


def test_counts_of_the_resnet_skeleton_equal_paper_and_pencil():
    document = count(ftbnn_larq.create_model("bireal_r18"))
    layers = {name: layer["macs"] for name, layer in rows(document).items()}
    assert layers["stem_conv"]["float"] == 7 * 7 * 3 * 64 * 112 * 112
    assert layers["logits"]["float"] == 512 * 1000
    shortcuts = sum(macs["float"] for name, macs in layers.items() if name.endswith("shortcut_conv"))
    assert shortcuts == 3 * 64 * 128 * 28 * 28
    assert document["macs"]["binary"] == 9 * 56 * 56 * 64 * 64 * 4 + 3 * (
        9 * 28 * 28 * 64 * 128 + 3 * 9 * 28 * 28 * 128 * 128
    )
    assert document["macs"]["float"] == 118_013_952 + 512_000 + 19_267_584
    assert document["ops"] == document["macs"]["float"] + document["macs"]["binary"] / 64
    assert document["ops"] == pytest.approx(164.0e6, rel=1e-3)
    assert document["weights_bytes"] == document["params"]["binary"] / 8 + 4 * document["params"]["float"]
    assert document["input_shape"] == [224, 224, 3]
    assert "uncounted" not in document


@pytest.mark.parametrize("name", [pytest.param("QuickNetSmall", marks=pytest.mark.slow), "BiRealNet"])
def test_counts_are_larqs_wherever_larq_has_a_figure(name):
    model = peers.create(f"larq_zoo:{name}")
    larqs = ModelProfile(model)
    document = count(model)
    for figure, expected in (("macs", lambda bits: larqs.op_count("mac", bits)), ("params", larqs.weight_count)):
        assert document[figure] == {"binary": expected(1), "float": expected(None) - expected(1)}
    assert document["weights_bytes"] == larqs.memory / 8
    ours = rows(document)
    for layer in larqs.layer_profiles:
        if layer.name in ours:
            known = layer.op_count("mac")
            assert sum(ours[layer.name]["macs"].values()) == (0 if known is None else known), layer.name
            assert sum(ours[layer.name]["params"].values()) == layer.weight_count(), layer.name
    left_open = [layer.name for layer in larqs.layer_profiles if layer.op_count("mac") is None]
    assert len(set(left_open) & set(ours)) >= 17  # the additions, for one


# Multiply-accumulates and parameters by hand: outputs, times what goes into each.
BY_HAND = {
    "dense": (keras.Dense(5), (7,), 7 * 5, 7 * 5 + 5),
    "dense at every place": (keras.Dense(5), (3, 4, 7), 3 * 4 * 7 * 5, 7 * 5 + 5),
    "1-D": (keras.Conv1D(5, 3, strides=2), (9, 4), 4 * 5 * 3 * 4, 3 * 4 * 5 + 5),
    "2-D": (keras.Conv2D(5, (3, 2), padding="same", use_bias=False), (6, 7, 4), 6 * 7 * 5 * 6 * 4, 6 * 4 * 5),
    "3-D": (keras.Conv3D(2, 3, use_bias=False), (5, 5, 5, 4), 27 * 2 * 27 * 4, 27 * 4 * 2),
    "dilated": (keras.Conv2D(2, 3, dilation_rate=2, use_bias=False), (9, 9, 1), 25 * 2 * 9, 18),
    "grouped": (keras.Conv2D(6, 3, groups=2, padding="same", use_bias=False), (8, 8, 4), 64 * 6 * 9 * 2, 9 * 2 * 6),
    "channels first": (keras.Conv2D(5, 3, data_format="channels_first", use_bias=False), (4, 8, 8), 36 * 5 * 36, 180),
    "depthwise": (keras.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False), (8, 8, 4), 36 * 8 * 9, 72),
    "dilated depthwise": (
        keras.DepthwiseConv2D(3, dilation_rate=2, padding="same", use_bias=False),
        (7, 7, 4),
        49 * 4 * 9,
        36,
    ),
    "1-D depthwise": (keras.DepthwiseConv1D(3, use_bias=False), (8, 4), 6 * 4 * 3, 12),
    "separable": (
        keras.SeparableConv2D(5, 3, depth_multiplier=2, use_bias=False),
        (8, 8, 4),
        36 * 8 * 9 + 36 * 5 * 8,
        72 + 40,
    ),
    "1-D separable": (keras.SeparableConv1D(5, 3, use_bias=False), (8, 4), 6 * 4 * 3 + 6 * 5 * 4, 12 + 20),
    "transposed": (keras.Conv2DTranspose(5, 3, strides=2, use_bias=False), (4, 4, 6), 16 * 6 * 9 * 5, 9 * 5 * 6),
    "1-D transposed": (keras.Conv1DTranspose(5, 3, strides=2, use_bias=False), (4, 6), 4 * 6 * 3 * 5, 90),
    "3-D transposed": (keras.Conv3DTranspose(2, 2, use_bias=False), (3, 3, 3, 4), 27 * 4 * 8 * 2, 64),
    "locally connected": (keras.LocallyConnected2D(5, 3, use_bias=False), (6, 6, 4), 16 * 5 * 36, 16 * 36 * 5),
    "at every time": (keras.TimeDistributed(keras.Conv2D(5, 3, use_bias=False)), (2, 8, 8, 4), 2 * 36 * 5 * 36, 180),
    "batch norm": (keras.BatchNormalization(), (8, 8, 4), 0, 2 * 4),
    "batch norm without scale": (keras.BatchNormalization(scale=False), (8, 8, 4), 0, 2 * 4),
    "look-up": (keras.Embedding(10, 4), (3,), 0, 40),
    "slopes": (keras.PReLU(), (8, 8, 4), 0, 256),
}


@pytest.mark.parametrize(("layer", "shape", "macs", "params"), BY_HAND.values(), ids=BY_HAND)
def test_layers_by_hand(layer, shape, macs, params):
    document = counted(layer, *shape)
    assert document["macs"] == {"binary": 0, "float": macs}
    assert document["params"] == {"binary": 0, "float": params}
    assert "uncounted" not in document


SEPARABLE = {"input_quantizer": "ste_sign", "depthwise_quantizer": "ste_sign", "depthwise_constraint": "weight_clip"}
QUANTIZED = {
    "signs times signs": (lq.layers.QuantConv2D(5, 3, use_bias=False, **SIGNS), (180, 0), (36 * 5 * 36, 0)),
    "with a bias": (lq.layers.QuantConv2D(5, 3, **SIGNS), (180, 5), (36 * 5 * 36, 0)),
    "dense": (lq.layers.QuantDense(5, use_bias=False, **SIGNS), (20, 0), (64 * 5 * 4, 0)),
    "float inputs": (
        lq.layers.QuantConv2D(5, 3, use_bias=False, **{**SIGNS, "input_quantizer": None}),
        (180, 0),
        (0, 36 * 5 * 36),
    ),
    "two-bit inputs": (
        lq.layers.QuantConv2D(5, 3, use_bias=False, **{**SIGNS, "input_quantizer": lq.quantizers.DoReFa(2)}),
        (180, 0),
        (0, 36 * 5 * 36),
    ),
    "three-valued weights": (
        lq.layers.QuantConv2D(5, 3, use_bias=False, **{**SIGNS, "kernel_quantizer": "ste_tern"}),
        (0, 180),
        (0, 36 * 5 * 36),
    ),
    "depthwise": (lq.layers.QuantDepthwiseConv2D(3, use_bias=False, **SEPARABLE), (36, 0), (36 * 36, 0)),
    # The pointwise half multiplies sums of signs, which are no signs.
    "separable": (
        lq.layers.QuantSeparableConv2D(
            5, 3, use_bias=False, **SEPARABLE, pointwise_quantizer="ste_sign", pointwise_constraint="weight_clip"
        ),
        (36 + 20, 0),
        (36 * 36, 36 * 5 * 4),
    ),
    "half separable": (
        lq.layers.QuantSeparableConv2D(5, 3, use_bias=False, **SEPARABLE),
        (36, 20),
        (36 * 36, 36 * 5 * 4),
    ),
}


@pytest.mark.parametrize(("layer", "params", "macs"), QUANTIZED.values(), ids=QUANTIZED)
def test_binary_is_what_has_one_bit(layer, params, macs):
    document = counted(layer, 8, 8, 4)
    assert tuple(document["params"].values()) == params
    assert tuple(document["macs"].values()) == macs


def test_a_layer_called_twice_multiplies_twice_and_is_stored_once():
    first, second = tf.keras.Input((8, 8, 4)), tf.keras.Input((5, 5, 4))
    conv = keras.Conv2D(4, 3, padding="same", use_bias=False, name="conv")
    document = count(tf.keras.Model([first, second], [conv(conv(first)), conv(second)]))
    assert rows(document)["conv"]["macs"]["float"] == (64 + 64 + 25) * 4 * 36
    assert document["params"]["float"] == 144
    assert document["input_shape"] == [[8, 8, 4], [5, 5, 4]]


def test_nested_models_count_at_the_size_they_are_called_with():
    any_size = tf.keras.Input((None, None, 4))
    conv = keras.Conv2D(4, 3, padding="same", use_bias=False, name="conv")
    inner = tf.keras.Model(any_size, conv(any_size), name="inner")
    outer = tf.keras.Sequential([tf.keras.Input((8, 8, 4)), inner, keras.MaxPool2D(), inner])
    document = count(outer)
    assert rows(document)["inner/conv"]["macs"]["float"] == (64 + 16) * 4 * 36
    assert document["params"]["float"] == 144


def test_layers_made_of_layers_are_counted_and_keep_their_own_parameters():
    class Scaled(keras.Layer):
        def build(self, shape):
            self.conv = lq.layers.QuantConv2D(4, 3, padding="same", use_bias=False, name="conv", **SIGNS)
            self.scale = self.add_weight("scale", (4,))

        def call(self, inputs):
            return self.scale * self.conv(self.conv(inputs))

    document = counted(Scaled(name="scaled"), 8, 8, 4)
    assert rows(document)["scaled/conv"]["macs"]["binary"] == 2 * 64 * 4 * 36
    assert rows(document)["scaled"]["params"] == {"binary": 0, "float": 4}
    assert document["params"] == {"binary": 144, "float": 4}


def test_a_variable_that_layers_share_is_stored_once():
    class Scale(keras.Layer):
        def call(self, inputs):
            return self.scale * inputs

    first, second = Scale(name="first"), Scale(name="second")
    first.scale = second.scale = tf.Variable(tf.ones(4))
    document = count(tf.keras.Sequential([tf.keras.Input((8, 8, 4)), first, second]))
    assert document["params"]["float"] == 4


def test_a_subclassed_model_counts_once_it_was_called():
    class Twice(tf.keras.Model):
        def __init__(self):
            super().__init__(name="twice")
            self.dense = keras.Dense(4, use_bias=False)

        def call(self, inputs):
            return self.dense(self.dense(inputs))

    model = Twice()
    with pytest.raises(ConfigError, match="twice has no input shape yet: call it once"):
        count(model)
    model(tf.zeros((3, 4)))
    assert count(model)["macs"]["float"] == 2 * 16


def test_a_size_that_is_not_fixed_is_refused():
    inputs = tf.keras.Input((None, None, 3))
    model = tf.keras.Model(inputs, keras.Conv2D(4, 3)(inputs), name="any_size")
    with pytest.raises(ConfigError, match=r"any_size takes inputs of \(None, None, 3\).* input_shape="):
        count(model)


class OwnProduct(keras.Layer):
    """A dense layer of its own making."""

    def __init__(self, product, **arguments):
        super().__init__(**arguments)
        self.product = product

    def build(self, shape):
        self.kernel = self.add_weight("kernel", (shape[-1], 5))

    def call(self, inputs):
        return self.product(inputs, self.kernel)


def by_sums(inputs, kernel):
    return tf.reduce_sum(inputs[..., None] * kernel, -2)


def in_a_loop(inputs, kernel):
    return tf.map_fn(lambda row: tf.linalg.matvec(kernel, row, transpose_a=True), inputs[0])[None]


def by_choice(inputs):
    return tf.switch_case(tf.size(inputs) % 2, [lambda: inputs @ tf.ones((4, 5)), lambda: inputs @ tf.zeros((4, 5))])


UNKNOWN = {
    "matrix product": OwnProduct(tf.matmul, name="own"),
    "function": OwnProduct(tf.function(tf.matmul), name="own"),
    "sum of products": OwnProduct(by_sums, name="own"),
    "loop": OwnProduct(in_a_loop, name="own"),
    "lambda": keras.Lambda(lambda inputs: inputs @ tf.ones((4, 5)), name="own"),
    "lambda with a loop": keras.Lambda(lambda inputs: in_a_loop(inputs, tf.ones((4, 5))), name="own"),
    "lambda with a choice": keras.Lambda(by_choice, name="own"),
    "operator": lambda inputs: tf.einsum("nlc,cd->nld", inputs, tf.ones((4, 5)), name="own"),
    "recurrent": keras.LSTM(5, name="own"),
}


@pytest.mark.parametrize("layer", UNKNOWN.values(), ids=UNKNOWN)
def test_what_is_not_known_to_the_counter_is_named_never_passed_over(layer):
    document = counted(layer, 8, 4)
    assert len(document["uncounted"]) == 1
    if hasattr(layer, "name"):
        assert document["uncounted"] == ["own"]


def test_counting_leaves_the_model_as_it_was():
    call = tf.keras.layers.Layer.__call__
    model = tf.keras.Sequential([tf.keras.Input((8, 8, 4)), lq.layers.QuantConv2D(4, 3, **SIGNS)])
    pictures = tf.random.stateless_normal((2, 8, 8, 4), (1, 2))
    before = model(pictures)
    assert count(model) == count(model)
    assert tf.keras.layers.Layer.__call__ is call
    assert model.output_shape == (None, 6, 6, 4)
    tf.debugging.assert_equal(model(pictures), before)


def test_larq_zoos_models_are_found_by_name_and_refuse_what_they_cannot_do():
    with pytest.raises(UnknownNameError, match="did you mean larq_zoo:QuickNet"):
        peers.create("larq_zoo:quicknet")
    with pytest.raises(ConfigError, match="larq_zoo:QuickNet cannot be built for 8x8x3"):
        peers.create("larq_zoo:QuickNet", input_shape=(8, 8, 3))
    features = peers.create("larq_zoo:QuickNetSmall", input_shape=(64, 64, 3), include_top=False)
    assert features.output_shape == (None, 2, 2, 512)


@pytest.mark.slow
def test_compare_puts_models_side_by_side(tmp_path, command):
    result = command("compare", "bireal_r1?", "larq_zoo:BiRealNet", "--classes", 10, "--json", cwd=tmp_path)
    assert result.status == 0, result.err
    ours, theirs = result.out
    assert (ours["name"], theirs["name"]) == ("bireal_r18", "larq_zoo:BiRealNet")
    assert set(ours) == {"name", "input_shape", "params", "macs", "ops", "weights_bytes", "ops_ratio"}
    assert ours["input_shape"] == [224, 224, 3]
    for figure in ("macs", "params", "ops", "weights_bytes"):
        assert ours[figure] == theirs[figure], figure
    assert ours["ops_ratio"] == theirs["ops_ratio"] == 1


def command(*arguments):
    result = CliRunner().invoke(commands, [*map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


@pytest.mark.slow
def test_compare_changes_the_zoos_own_models_only():
    arguments = ("compare", "larq_zoo:BinaryAlexNet", "bireal_r18", "--input-size", 96, "--json")
    peer, wide = json.loads(command(*arguments))
    same_peer, narrow = json.loads(command(*arguments, "--width", 16))
    assert peer == same_peer
    assert wide["macs"]["binary"] == 16 * narrow["macs"]["binary"]
    assert narrow["ops_ratio"] == pytest.approx(narrow["ops"] / peer["ops"])


def test_summary_takes_larq_zoos_models():
    document = json.loads(command("summary", "larq_zoo:QuickNetSmall", "--input-size", 64, "--json"))
    assert document["name"] == "larq_zoo:QuickNetSmall"
    assert sum(layer["ops"] for layer in document["layers"]) == document["ops"]


def test_commands_say_what_they_could_not_count(monkeypatch):
    def create_model(name, **arguments):
        return tf.keras.Sequential([tf.keras.Input((8, 4)), OwnProduct(tf.matmul, name="own"), keras.Dense(2)])

    monkeypatch.setattr(zoo, "create_model", create_model)
    for name in ("summary", "compare"):
        told = command(name, "bireal_r18", "--width", 32)
        assert "bireal_r18: MACs and OPs are too low: these layers are not counted: own" in told
        assert "OPs" in told and "binary params" in told
    assert "width 32" in told
    (row,) = json.loads(command("compare", "bireal_r18", "--json"))
    assert row["uncounted"] == ["own"]


def test_names_and_options_that_do_not_fit_are_refused_without_tensorflow(tmp_path):
    cases = (
        (("summary", "larq_zoo:quicknet"), "did you mean larq_zoo:QuickNet"),
        (("compare", "bireal_r18", "ftbn_r18"), "did you mean ftbnn_r18"),
        (("compare", "nothing_like_*"), "nothing_like_*"),
        (("compare", "bireal_r18", "--width", 17), "multiple of 16"),
        (("compare", "larq_zoo:QuickNet", "--width", 32), "width 32: not an option of larq_zoo:QuickNet"),
        (("summary", "larq_zoo:BiRealNet", "--width", 32, "--nonlinearity", "relu"), "relu: not an option of"),
        (("summary", "bireal_*"), "ftbnn-larq compare"),
        (("compare", "--input-size", 0), "--input-size"),
    )
    results = run_without_tensorflow(*(arguments for arguments, _ in cases), cwd=tmp_path)
    for (arguments, words), result in zip(cases, results, strict=True):
        assert words in line_of_refusal(result), arguments


def test_list_shows_models_whose_costs_are_not_stored(monkeypatch):
    monkeypatch.setattr(zoo, "costs", dict)
    assert "bireal_r18" in command("list")
    ours = {row["name"] for row in json.loads(command("list", "--json")) if row["top1_by"] == "ftbnn-larq"}
    assert ours == set(zoo.list_models())
