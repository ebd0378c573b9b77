"""The binary convolution and what moves channels around it."""

from __future__ import annotations

import larq as lq
import numpy as np
import pytest
import tensorflow as tf

import ftbnn_larq
from ftbnn_larq.models.config import CHOICES
from ftbnn_larq.models.layers import BinaryConv2D, RepeatChannels, ShuffleChannels, binary_conv
from ftbnn_larq.training import precision


def gradients(layer, x, **options):
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(tf.sin(layer(x, **options)))
    return [loss, *tape.gradient(loss, [x, *layer.trainable_weights])]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "kernel_size", [1, pytest.param(2, marks=pytest.mark.slow), 3, pytest.param(5, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("sign_gradient", CHOICES["sign_gradient"])
def test_values_and_gradients_are_larqs(sign_gradient, strides, groups, kernel_size, training):
    ours = binary_conv(128, kernel_size, strides=strides, groups=groups, sign_gradient=sign_gradient)
    larqs = lq.layers.QuantConv2D.from_config({**ours.get_config(), "name": "larqs"})
    # Zeros too, of which the sign is +1.
    x = tf.round(4 * tf.random.stateless_normal((4, 9, 10, 128), (1, 2))) / 4
    ours(x), larqs(x)
    larqs.set_weights(ours.get_weights())
    np.testing.assert_array_equal(ours(x, training=training), larqs(x))
    for one, other in zip(gradients(ours, x, training=training), gradients(larqs, x), strict=True):
        # SwishSign is two and a half times as steep at zero as the others at most.
        np.testing.assert_allclose(one, other, atol=5e-3 if sign_gradient == "swish_sign" else 2e-3)


@pytest.mark.parametrize(
    "options",
    [
        {"padding": "valid"},
        {"pad_values": 0.0},
        {"pad_values": -1.0},
        {"use_bias": True, "bias_initializer": "ones"},
        {"activation": "relu"},
        {"dilation_rate": 2},
        {"input_quantizer": "magnitude_aware_sign"},
        {"input_quantizer": None},
        {"kernel_quantizer": None, "kernel_constraint": None},
        {"kernel_quantizer": "approx_sign"},
        {"kernel_quantizer": "magnitude_aware_sign"},
    ],
    ids=str,
)
def test_what_has_no_fast_form_is_larqs_too(options):
    config = {**binary_conv(32).get_config(), **options}
    ours = BinaryConv2D.from_config(config)
    larqs = lq.layers.QuantConv2D.from_config({**config, "name": "larqs"})
    x = tf.random.stateless_normal((2, 7, 7, 16), (1, 2))
    ours(x), larqs(x)
    larqs.set_weights(ours.get_weights())
    for one, other in zip(gradients(ours, x, training=True), gradients(larqs, x), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-3)


needs_bfloat16 = pytest.mark.skipif(
    precision.attributes("bfloat16")["emulated"], reason="this processor has no AVX-512 to convolve bfloat16 with"
)


@pytest.mark.parametrize("emulated", [True, pytest.param(False, marks=needs_bfloat16)])
def test_bfloat16_keeps_values_up_to_256_and_the_gradients_but_for_rounding(emulated):
    layer, x = binary_conv(128, groups=4), tf.random.stateless_normal((4, 9, 9, 128), (1, 2))
    layer(x)
    exact, exact_gradients = layer(x, training=True), gradients(layer, x, training=True)
    layer.arithmetic, layer.emulated = "bfloat16", emulated
    np.testing.assert_array_equal(layer(x, training=True), exact)
    for one, other in zip(gradients(layer, x, training=True)[1:], exact_gradients[1:], strict=True):
        assert np.linalg.norm(one - other) < 0.01 * np.linalg.norm(other)


@pytest.mark.parametrize("sign_gradient", ["approx_sign", "ste_sign"])
def test_emulated_bfloat16_rounds_sums_and_gradients(sign_gradient):
    # Where the gradients of both signs are one.
    layer = binary_conv(128, sign_gradient=sign_gradient)
    x = tf.sign(tf.random.stateless_normal((4, 9, 9, 128), (1, 2)) - 1) / 2
    layer(x)
    # Sums large enough to be rounded.
    layer.kernel.assign(tf.abs(layer.kernel))
    layer.arithmetic, layer.emulated = "bfloat16", True
    # Traced, as in training: TensorFlow's optimizer must not take the roundings out.
    values, (_, x_gradient, _) = tf.function(lambda: (layer(x, training=True), gradients(layer, x, training=True)))()
    sums = values - 9 * 128
    assert np.abs(sums).max() > 512
    for rounded in (sums, x_gradient):
        np.testing.assert_array_equal(tf.cast(tf.cast(rounded, tf.bfloat16), tf.float32), rounded)


@needs_bfloat16
def test_emulated_bfloat16_is_the_processors_but_for_the_order_of_sums():
    layer, x = binary_conv(128, groups=4), tf.random.stateless_normal((4, 9, 9, 128), (1, 2))
    layer(x)
    layer.arithmetic, found = "bfloat16", []
    for layer.emulated in (False, True):
        found.append(gradients(layer, x, training=True))
    for one, other in zip(*found, strict=True):
        assert np.linalg.norm(one - other) < 0.001 * np.linalg.norm(other)


@pytest.mark.slow
def test_larq_compute_engine_alone_converts_a_model_too():
    import larq_compute_engine as lce

    from ftbnn_larq.conversion import census

    options = {"input_shape": (32, 32, 3), "num_classes": 7, "width": 16, "units": (2, 1)}
    model = ftbnn_larq.create_model("ftbnn_r18_pure", **options)
    found = census.census(census.operators(lce.convert_keras_model(model)))
    assert found["LceBconv2d"] == 3


@pytest.mark.slow
def test_groups_train_as_fast_as_their_arithmetic():
    """128 channels in 4 groups against 64 in one: as many multiply-accumulates."""
    from benchmarks.training import cost_of_groups

    # Four times leaves room for busy cores, and is far from the twentyfold of Keras.
    assert cost_of_groups(16, 128, 4, batch_size=64) < 4


def test_repeated_channels_come_in_order():
    x = tf.reshape(tf.range(3.0), (1, 1, 1, 3))
    assert RepeatChannels(8)(x).numpy().ravel().tolist() == [0, 1, 2, 0, 1, 2, 0, 1]


def test_copies_of_a_channel_start_apart():
    network = ftbnn_larq.create_model("ftbnn_r18_pure", input_shape=(32, 32, 3), width=16)
    biases = network.get_layer("stage2_unit1_shortcut_bn").beta.numpy()
    assert biases.tolist() == [0.5] * 16 + [-0.5] * 16
    network = ftbnn_larq.create_model("ftbnn_r18", input_shape=(32, 32, 3), width=16)
    biases = network.get_layer("stem_bn").beta.numpy()
    assert biases.tolist() == [0.5] * 8 + [0.0] * 8 + [-0.5] * 8


def test_shuffles_move_channels_between_groups():
    x = tf.reshape(tf.range(6.0), (1, 1, 1, 6))
    assert ShuffleChannels(3, "rotate")(x).numpy().ravel().tolist() == [2, 3, 4, 5, 0, 1]
    assert ShuffleChannels(3, "rotate", turn=2)(x).numpy().ravel().tolist() == [4, 5, 0, 1, 2, 3]
    assert ShuffleChannels(3, "interleave")(x).numpy().ravel().tolist() == [0, 2, 4, 1, 3, 5]


def test_after_the_units_of_a_stage_a_butterfly_has_brought_each_group_what_all_others_wrote():
    model = ftbnn_larq.create_model("ftbnn_r18", shuffle="butterfly")
    for stage in (1, 2, 3, 4):
        layers = [model.get_layer(f"stage{stage}_unit{unit}_shuffle") for unit in (1, 2, 3, 4)]
        groups = layers[0].groups
        heard = np.eye(groups, dtype=bool)  # of which groups each has heard; it keeps what it has heard
        for layer in layers:
            heard |= heard[np.roll(np.arange(groups), -layer.turn)]
        assert heard.all(), stage


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"shuffle": "none"},
        {"shuffle": "interleave"},
        {"shortcut": "depthwise"},
        {"transition": "around"},
        {"sign_gradient": "ste_sign"},
        {"sign_gradient": "swish_sign"},
        # 48 channels in the second stage, too few for two groups.
        {"widening": 1.5, "group_channels": 64},
    ],
)
def test_other_choices_convert_too(options, tmp_path):
    from ftbnn_larq.conversion import proof
    from ftbnn_larq.conversion.convert import convert_model
    from ftbnn_larq.conversion.network import Network
    from ftbnn_larq.models.ends import up_to_logits

    model = up_to_logits(
        ftbnn_larq.create_model(
            "ftbnn_r18", input_shape=(32, 32, 3), num_classes=7, width=16, units=(1, 2, 2, 1), **options
        )
    )
    pictures = np.random.default_rng(0).normal(size=(4, 32, 32, 3)).astype(np.float32)
    document = convert_model(model, tmp_path / "model.tflite", pictures)
    assert document["binary_layers"] == document["binary_operators"] > 6
    assert proof.compare(Network.of(model), tmp_path / "model.tflite", pictures, kernel="default").top1_agreement == 1


def test_grouped_networks_have_no_more_than_their_share_of_channels_in_a_group():
    model = ftbnn_larq.create_model("ftbnn_r18")
    for layer in model.layers:
        if isinstance(layer, BinaryConv2D) and layer.groups > 1:
            assert layer.kernel.shape[2] % 32 == 0, layer.name
    widest = {stage: model.get_layer(f"stage{stage}_unit4_conv") for stage in (1, 2, 3, 4)}
    assert [layer.groups for layer in widest.values()] == [3, 3, 12, 6]
    assert [layer.filters for layer in widest.values()] == [96, 192, 768, 1536]


def test_behind_a_shortcut_that_stands_before_the_stage_its_copies_are_groups():
    """They cost what the convolution of the stage before did: half of the channels each, at the same resolution."""
    for width, groups in ((64, 2), (16, 1)):  # 16 channels are too few for a group
        before, around = (
            ftbnn_larq.create_model("ftbnn_r18_pure", input_shape=(32, 32, 3), width=width, transition=choice)
            for choice in ("before", "around")
        )
        first = before.get_layer("stage2_unit1_conv")
        assert (first.strides, first.groups, first.kernel.shape[2]) == ((1, 1), groups, 2 * width // groups)
        first = around.get_layer("stage2_unit1_conv")
        assert (first.strides, first.groups, first.kernel.shape[2]) == ((2, 2), 1, width)


@pytest.mark.parametrize("widening", [1.0, (1.0, 1.5, 1.5, 1.5)])
def test_learned_shortcuts_begin_as_pooled_ones(widening):
    tf.keras.utils.set_random_seed(1)
    pool, learned = (
        ftbnn_larq.create_model(
            "ftbnn_r18_pure",
            input_shape=(32, 32, 3),
            width=16,
            units=(1, 2, 1, 1),
            shortcut=shortcut,
            widening=widening,
        )
        for shortcut in ("pool", "depthwise")
    )
    for layer in pool.layers:
        if layer.weights:
            learned.get_layer(layer.name).set_weights(layer.get_weights())
    pictures = np.random.default_rng(0).normal(size=(4, 32, 32, 3)).astype(np.float32)
    assert np.abs(pool(pictures).numpy() - learned(pictures).numpy()).max() < 1e-4
    averages = [learned.get_layer(f"stage{stage}_unit1_shortcut_conv") for stage in (2, 3, 4)]
    assert [layer.count_params() for layer in averages] == [4 * layer.input_shape[-1] for layer in averages]


@pytest.mark.parametrize(("how", "turn"), [("rotate", 1), ("rotate", 3), ("interleave", 1)])
def test_a_shuffles_gradient_goes_back_where_the_channels_came_from(how, turn):
    x = tf.random.stateless_normal((2, 3, 3, 12), (1, 2))
    upstream = tf.random.stateless_normal((2, 3, 3, 12), (3, 4))
    layer = ShuffleChannels(4, how, turn)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
    gradient = tape.gradient(y, x, upstream).numpy()
    assert np.array_equal(gradient[..., layer.order(12)], upstream.numpy())
