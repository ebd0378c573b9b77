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


@pytest.mark.parametrize("shape", [(3, 5, 7, 70), (70, 16, 17, 24), (700, 3), (1, 1, 1, 1)])
def test_the_end_of_a_unit(shape):
    """As one operator, beside the same in float64; a mean far from zero takes no digits."""
    x, shortcut = tf.random.stateless_normal(shape, (1, 2), 3, 2), tf.random.stateless_normal(shape, (3, 4))
    weights = [tf.random.stateless_uniform(shape[-1:], (number, 1), -0.5, 1.5) for number in range(5)]

    def plain(x, shortcut, gamma, beta, p, n, t):
        mean, variance = tf.nn.moments(x, range(len(shape) - 1))
        z = gamma * (x - mean) / tf.sqrt(variance + 1e-5) + beta
        return shortcut + p * tf.nn.relu(z) - n * tf.nn.relu(-z) + t, mean, variance

    found = []
    for call, dtype in (plain, tf.float64), (functools.partial(native.norm_slopes_add, epsilon=1e-5), tf.float32):
        given = [tf.cast(each, dtype) for each in (x, shortcut, *weights)]
        with tf.GradientTape() as tape:
            tape.watch(given)
            y, mean, variance = call(*given)
            loss = tf.reduce_sum(tf.sin(y))
        found.append([y, mean, variance, *tape.gradient(loss, given)])
    for one, other in zip(*found, strict=True):
        assert_close(one.numpy(), other.numpy())


def test_the_end_of_a_unit_without_pictures():
    x, vector = tf.zeros((0, 3, 3, 8)), tf.ones(8)
    with tf.GradientTape() as tape:
        tape.watch([x, vector])
        y, *_ = native.norm_slopes_add(x, x, *[vector] * 5, epsilon=1e-5)
    dx, dvector = tape.gradient(y, [x, vector])
    assert y.shape == dx.shape == x.shape and not np.any(dvector)


def test_a_rotation_of_channels():
    layer, x = ShuffleChannels(6, turn=2), tf.random.stateless_normal((3, 5, 7, 24), (1, 2))
    for pair in both(layer, x):
        np.testing.assert_array_equal(*pair)


@pytest.mark.parametrize(
    "name, changed, ends",
    [
        ("ftbnn_r18", {}, 4),
        ("ftbnn_r18", {"nonlinearity": "rprelu"}, 4),
        ("ftbnn_r18_baseline", {"sharing": "layer"}, 0),
        ("ftbnn_r18_pure", {"placement": "after_add", "slopes": (1.0, 0.25)}, 0),
        ("bireal_r18", {}, 0),
    ],
)
def test_a_step_of_a_network(name, changed, ends):
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
    assert len(call.ends) == ends
    for one, other in zip(*found, strict=True):
        assert_close(one.numpy(), other.numpy(), 1e-4)


def vectors(channels, *names):
    return {"epsilon": 1e-5, **{name: tf.ones(channels) for name in names}}


@pytest.mark.parametrize(
    "call",
    [
        lambda ops, x: ops.ftbnn_binary_conv(x=x, kernel=tf.ones((3, 3, 5, 8)), stride=1, same=True),
        lambda ops, x: ops.ftbnn_binary_conv(x=x, kernel=tf.ones((3, 3, 2, 7)), stride=1, same=True),
        lambda ops, x: ops.ftbnn_binary_conv(x=x, kernel=tf.ones((3, 3, 4, 8)), stride=0, same=True),
        lambda ops, x: ops.ftbnn_binary_conv(x=x[0], kernel=tf.ones((3, 3, 4, 8)), stride=1, same=True),
        lambda ops, x: ops.ftbnn_sign_gradient(x=x, upstream=x[:1]),
        lambda ops, x: ops.ftbnn_norm(x=x, shortcut=x, **vectors(3, "gamma", "beta", "p", "n", "t")),
        lambda ops, x: ops.ftbnn_norm(x=x, shortcut=x[:1], **vectors(4, "gamma", "beta", "p", "n", "t")),
        lambda ops, x: ops.ftbnn_norm_gradient(
            x=x, upstream=x[:1], **vectors(4, "gamma", "beta", "p", "n", "t", "mean", "variance")
        ),
        lambda ops, x: ops.ftbnn_norm(x=1.0, shortcut=1.0, **vectors(1, "gamma", "beta", "p", "n", "t")),
        lambda ops, x: ops.ftbnn_rotate(x=x, first=5),
    ],
)
def test_what_does_not_fit_is_refused(call):
    with pytest.raises((tf.errors.InvalidArgumentError, tf.errors.UnknownError)):
        call(native._operators(), tf.ones((2, 6, 6, 4)))


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
made = [ops.ftbnn_binary_conv(x=x, kernel=kernel, stride=1, same=True)]
y, mean, variance = ops.ftbnn_norm(x=x, shortcut=x, epsilon=1e-5, **vectors)
made += [y, *ops.ftbnn_norm_gradient(x=x, upstream=y, mean=mean, variance=variance, epsilon=1e-5, **vectors)]
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
