"""The kernels of a training step compute what TensorFlow's operators compute."""

from __future__ import annotations

import functools
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from ftbnn_larq import zoo
from ftbnn_larq.models import native
from ftbnn_larq.models.fused import Fused
from ftbnn_larq.models.layers import ShuffleChannels, binary_conv, train_with
from ftbnn_larq.training import precision
from native import build_kernels

pytestmark = pytest.mark.skipif(native.why_missing() is not None, reason=str(native.why_missing()))

needs_bfloat16 = pytest.mark.skipif(
    precision.attributes("bfloat16")["emulated"], reason="this processor has no AVX-512 to convolve bfloat16 with"
)


def both(layer, x):
    """Values and gradients of a layer, by TensorFlow's operators and by the kernels."""
    layer(x)
    found = []
    for layer.native in (False, True):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
            loss = tf.reduce_sum(tf.sin(y))
        found.append([y, *tape.gradient(loss, [x, *layer.trainable_weights])])
    return zip(*found, strict=True)


def assert_close(one, other, tolerance=1e-5):
    assert one.shape == other.shape
    assert np.abs(one - other).max() <= tolerance * max(1, np.abs(one).max())


@pytest.mark.parametrize("side", [4, 9])
@pytest.mark.parametrize("channels, filters, groups", [(24, 24, 1), (64, 32, 4), (24, 96, 4), (3, 5, 1), (192, 48, 6)])
@pytest.mark.parametrize("kernel_size", [1, 3, 4])
@pytest.mark.parametrize("strides", [1, 2])
def test_a_binary_convolution(strides, kernel_size, channels, filters, groups, side):
    layer = binary_conv(filters, kernel_size, strides=strides, groups=groups)
    # Zeros too, of which the sign is +1.
    x = tf.round(4 * tf.random.stateless_normal((3, side, side + 1, channels), (1, 2))) / 4
    values, *gradients = both(layer, x)
    np.testing.assert_array_equal(*values)
    np.testing.assert_array_equal(values[0], layer(x, training=False))
    for pair in gradients:
        assert_close(*pair)
    layer.padding = "valid"
    np.testing.assert_array_equal(*next(both(layer, x)))


@pytest.mark.parametrize("emulated", [True, pytest.param(False, marks=needs_bfloat16)])
def test_a_binary_convolution_whose_gradients_are_bfloat16(emulated):
    layer, x = binary_conv(128, groups=4), tf.random.stateless_normal((4, 9, 9, 128), (1, 2))
    layer.arithmetic, layer.emulated = "bfloat16", emulated
    values, *gradients = both(layer, x)
    np.testing.assert_array_equal(*values)
    for one, other in gradients:
        assert np.linalg.norm(one - other) < 0.01 * np.linalg.norm(other)


@pytest.mark.parametrize("arithmetic", ["float32", pytest.param("bfloat16", marks=needs_bfloat16)])
@pytest.mark.parametrize("channels, filters, groups", [(64, 64, 1), (24, 96, 4), (3, 5, 1), (90, 140, 2)])
@pytest.mark.parametrize("kernel_size", [3, 4])
@pytest.mark.parametrize("strides, padding", [(1, "same"), (2, "same"), (2, "valid"), (3, "same")])
@pytest.mark.parametrize("shape", [(3, 9, 10), (70, 4, 4), (1, 40, 37)])
def test_the_gradient_of_a_kernel_is_exact(shape, strides, padding, kernel_size, channels, filters, groups, arithmetic):
    """Those of the result are whole numbers, so that sums in any order are the same."""
    layer = binary_conv(filters, kernel_size, strides=strides, groups=groups)
    layer.padding = padding
    x = tf.random.stateless_normal((*shape, channels), (1, 2))
    upstream = tf.round(4 * tf.random.stateless_normal(layer(x).shape, (3, 4)))
    found = []
    for layer.native, layer.arithmetic in (False, "float32"), (True, arithmetic):
        with tf.GradientTape() as tape:
            y = layer(x)
        found.append(tape.gradient(y, layer.trainable_weights, upstream))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("quantizer", ["magnitude_aware_sign", "ste_tern", "approx_sign"])
def test_weights_that_are_not_all_1_or_minus_1_are_taken_as_they_are(quantizer):
    layer = binary_conv(16)
    layer = type(layer).from_config({**layer.get_config(), "kernel_quantizer": quantizer})
    for pair in both(layer, tf.random.stateless_normal((3, 6, 6, 32), (1, 2))):
        assert_close(*pair)


@pytest.mark.parametrize("arithmetic", ["float32", pytest.param("bfloat16", marks=needs_bfloat16)])
@pytest.mark.parametrize("strides, apart", [(1, False), (1, True), (2, True)])
@pytest.mark.parametrize("channels, groups, turn", [(24, 1, 0), (64, 4, 3), (96, 3, 1), (40, 2, 1)])
def test_a_unit(channels, groups, turn, strides, apart, arithmetic):
    """As one operator, and as layers, in float64 behind the convolution. The shortcut may be the unit's own input."""
    layer = binary_conv(channels, strides=strides, groups=groups)
    x = tf.random.stateless_normal((5, 9, 8, channels), (1, 2))
    shortcut = tf.random.stateless_normal(layer(x).shape, (3, 4)) if apart else x
    vectors = [tf.random.stateless_uniform((channels,), (number, 1), -0.5, 1.5) for number in range(5)]
    how = native.Conv(strides, True, turn, arithmetic)

    def as_layers(x, shortcut, *vectors):
        y = layer(ShuffleChannels(groups, turn=turn)(x))
        y, shortcut, gamma, beta, p, n, t = (tf.cast(each, tf.float64) for each in (y, shortcut, *vectors))
        mean, variance = tf.nn.moments(y, range(3))
        z = gamma * (y - mean) / tf.sqrt(variance + 1e-5) + beta
        return shortcut + p * tf.nn.relu(z) - n * tf.nn.relu(-z) + t, mean, variance

    def as_one(x, shortcut, *vectors):
        return native.unit(x, shortcut, layer.used_kernel(), *vectors, how=how, epsilon=1e-5)

    found = []
    for call in (as_layers, as_one):
        with tf.GradientTape() as tape:
            tape.watch([x, shortcut, *vectors])
            y, mean, variance = call(x, shortcut, *vectors)
            loss = tf.reduce_sum(tf.sin(y))
        found.append([*tape.gradient(loss, [x, layer.kernel, *vectors, shortcut]), y, mean, variance])
    for number, (one, other) in enumerate(zip(*found, strict=True)):
        # The gradients of x, which may be the shortcut, and of the kernel pass through the arithmetic.
        if arithmetic == "bfloat16" and (number < 2 or (number == 7 and not apart)):
            assert np.linalg.norm(one - other) < 0.01 * np.linalg.norm(one)
        else:
            assert_close(one.numpy(), other.numpy())


def test_a_unit_without_pictures():
    x, vector, kernel = tf.zeros((0, 3, 3, 8)), tf.ones(8), tf.ones((3, 3, 8, 8))
    with tf.GradientTape() as tape:
        tape.watch([x, vector, kernel])
        y, mean, variance = native.unit(x, x, kernel, *[vector] * 5, how=native.Conv(1, True), epsilon=1e-5)
    assert not np.any(mean) and not np.any(variance)
    dx, dvector, dkernel = tape.gradient(y, [x, vector, kernel])
    assert y.shape == dx.shape == x.shape and not np.any(dvector) and not np.any(dkernel)


def test_sums_that_16_bits_do_not_hold():
    x, kernel, vector = tf.ones((2, 2, 2, 4096)), tf.ones((3, 3, 4096, 8)), tf.ones(8)
    shortcut = tf.zeros((2, 2, 2, 8))
    _, mean, _ = native.unit(x, shortcut, kernel, *[vector] * 5, how=native.Conv(1, True), epsilon=1e-5)
    np.testing.assert_array_equal(mean, 9.0 * 4096)


@pytest.mark.parametrize(
    "name, changed, units",
    [
        ("ftbnn_r18", {}, 4),
        ("ftbnn_r18", {"nonlinearity": "rprelu"}, 4),
        ("ftbnn_r18_baseline", {"sharing": "layer"}, 4),
        ("ftbnn_r18_pure", {"placement": "after_add", "slopes": (1.0, 0.25)}, 4),
        ("ftbnn_r18", {"shuffle": "interleave"}, 4),
        ("ftbnn_r18", {"sign_gradient": "ste_sign"}, 0),
        ("ftbnn_r18_pure", {"nonlinearity": "relu"}, 4),
        ("ftbnn_r18_pure", {"nonlinearity": "leaky_relu"}, 4),
        ("ftbnn_r18_pure", {"nonlinearity": "prelu"}, 4),
        ("bireal_r18", {}, 4),
    ],
)
def test_a_step_of_a_network(name, changed, units):
    """From the same weights: gradients and moving averages of all of them differ by rounding."""
    found = []
    # Few and small, so that rounding turns no sign.
    pictures = tf.random.stateless_uniform((4, 16, 16, 3), (1, 2))
    for is_native in (False, True):
        tf.keras.utils.set_random_seed(1)
        options = {"input_shape": (16, 16, 3), "num_classes": 10, "width": 16, "units": (1, 1, 1, 1)}
        network = zoo.create_model(name, **options | changed)
        for number, weight in enumerate(network.trainable_weights):
            # Not where an input of a non-linearity is zero: TensorFlow's gradients differ there.
            if weight.shape.rank == 1:
                weight.assign_add(tf.random.stateless_uniform(weight.shape, (number, 4), 0.0, 0.1))
        train_with(network, native=is_native)
        call = Fused(network) if is_native else functools.partial(network, training=True)

        @tf.function
        def step(call=call, network=network):
            with tf.GradientTape() as tape:
                loss = -tf.reduce_mean(tf.math.log(call(pictures)[:, 0]))
            return [loss, *tape.gradient(loss, network.trainable_weights)]

        found.append([*step(), *(weight.value() for weight in network.non_trainable_weights)])
    assert len(call.units) == units
    for one, other in zip(*found, strict=True):
        assert_close(one.numpy(), other.numpy(), 1e-4)


def moves(**changed):
    return {"stride": 1, "same": True, "turn": 0, "T": tf.float32, **changed}


def filter_gradient(ops, upstream, **changed):
    how = {"signs": tf.zeros((2, 8, 8, 1), tf.int32), "stride": 1, "kernel_h": 3, "kernel_w": 3}
    return ops.ftbnn_filter_gradient(upstream=upstream, **{**how, "channels": 4, "groups": 1, **changed})


def vectors(channels, *names):
    return {"epsilon": 1e-5, **{name: tf.ones(channels) for name in names}}


@pytest.mark.parametrize(
    "call",
    [
        lambda ops, x: ops.ftbnn_binary_conv(x=x, kernel=tf.ones((3, 3, 5, 8)), **moves()),
        lambda ops, x: ops.ftbnn_binary_conv(x=x, kernel=tf.ones((3, 3, 2, 7)), **moves()),
        lambda ops, x: ops.ftbnn_binary_conv(x=x, kernel=tf.ones((3, 3, 4, 8)), **moves(stride=0)),
        lambda ops, x: ops.ftbnn_binary_conv(x=x, kernel=tf.ones((3, 3, 4, 8)), **moves(turn=-1)),
        lambda ops, x: ops.ftbnn_binary_conv(x=x, kernel=tf.ones((99, 99, 4, 8)), **moves(T=tf.int16)),
        lambda ops, x: ops.ftbnn_binary_conv(x=tf.ones((1, 256, 256, 1)), kernel=tf.ones((1, 1, 1, 65536)), **moves()),
        lambda ops, x: ops.ftbnn_binary_conv(x=x[0], kernel=tf.ones((3, 3, 4, 8)), **moves()),
        lambda ops, x: filter_gradient(ops, x, signs=tf.zeros((2, 8, 8, 2), tf.int32)),
        lambda ops, x: filter_gradient(ops, x, signs=tf.zeros((2, 7, 8, 1), tf.int32)),
        lambda ops, x: filter_gradient(ops, x, signs=tf.zeros((1, 8, 8, 1), tf.int32)),
        lambda ops, x: filter_gradient(ops, x, channels=40),
        lambda ops, x: filter_gradient(ops, x, groups=3),
        lambda ops, x: filter_gradient(ops, x, kernel_w=4),
        lambda ops, x: filter_gradient(ops, x, stride=3),
        lambda ops, x: ops.ftbnn_sign_gradient(x=x, upstream=x[:1], added=[], first=0),
        lambda ops, x: ops.ftbnn_sign_gradient(x=x, upstream=x, added=[x[:1]], first=0),
        lambda ops, x: ops.ftbnn_sign_gradient(x=x, upstream=x, added=[], first=4),
        lambda ops, x: ops.ftbnn_norm(x=x, shortcut=x, **vectors(3, "gamma", "beta", "p", "n", "t")),
        lambda ops, x: ops.ftbnn_norm(x=x, shortcut=x[:1], **vectors(4, "gamma", "beta", "p", "n", "t")),
        lambda ops, x: ops.ftbnn_norm_gradient(
            x=x, upstream=x[:1], D=tf.float32, **vectors(4, "gamma", "beta", "p", "n", "t", "mean", "variance")
        ),
        lambda ops, x: ops.ftbnn_norm(x=1.0, shortcut=1.0, **vectors(1, "gamma", "beta", "p", "n", "t")),
    ],
)
def test_what_does_not_fit_is_refused(call):
    with pytest.raises((tf.errors.InvalidArgumentError, tf.errors.UnknownError)):
        call(native._operators(), tf.ones((2, 6, 6, 4)))


def test_what_fits_is_taken():
    ops, x = native._operators(), tf.ones((2, 6, 6, 4))
    assert ops.ftbnn_binary_conv(x=x, kernel=tf.ones((3, 3, 4, 8)), **moves())[1].shape == (2, 8, 8, 1)
    if native._has_filter_gradient(tf.float32):
        assert filter_gradient(ops, x).shape == (3, 3, 4, 4)


def test_results_are_the_same_with_any_number_of_threads():
    code = """
import hashlib, sys
import tensorflow as tf
tf.config.threading.set_intra_op_parallelism_threads(int(sys.argv[1]))
from ftbnn_larq.models import native
x = tf.random.stateless_normal((64, 16, 16, 48), (1, 2))
vectors = dict(zip(("gamma", "beta", "p", "n", "t"), tf.random.stateless_normal((5, 48), (3, 4))))
ops = native._operators()
kernel = tf.sign(tf.random.stateless_normal((3, 3, 48, 48), (5, 6)))
sums, signs = ops.ftbnn_binary_conv(x=x, kernel=kernel, stride=1, same=True, turn=0, T=tf.int16)
y, mean, variance = ops.ftbnn_norm(x=sums, shortcut=x, epsilon=1e-5, **vectors)
of_batch = dict(mean=mean, variance=variance, epsilon=1e-5, D=tf.bfloat16)
made = [sums, signs, y, *ops.ftbnn_norm_gradient(x=sums, upstream=y, **of_batch, **vectors)]
made[3] = tf.cast(made[3], tf.float32)
print(hashlib.sha256(b"".join(each.numpy().tobytes() for each in made)).hexdigest())
"""
    one, three = (
        subprocess.run([sys.executable, "-c", code, count], capture_output=True, text=True, check=True).stdout
        for count in ("1", "3")
    )
    assert one == three != ""


@pytest.mark.parametrize("shape", [(2, 2, 5, 32), (2, 5, 2, 32), (0, 5, 5, 32)])
def test_maps_without_a_pixel_have_a_gradient_of_zeros(shape):
    layer = binary_conv(16)
    layer.padding, layer.native = "valid", True
    with tf.GradientTape() as tape:
        y = layer(tf.ones(shape))
    (gradient,) = tape.gradient(y, layer.trainable_weights)
    assert not np.any(gradient)


@pytest.mark.slow
def test_kernels_of_any_shape_touch_no_other_memory(tmp_path):
    try:
        check = build_kernels.build_check(tmp_path)
    except build_kernels.build_library.NoCompiler as error:
        pytest.skip(str(error))
    done = subprocess.run([check, "0", "300"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
