"""The kernels of a training step on CPUs: operators of TensorFlow in C, from native/ in the repository.

They compute what TensorFlow's own operators compute, in fewer passes over the activations, and a binary convolution by
counting bits. Where they are missing, layers take TensorFlow's.
"""

from __future__ import annotations

import ctypes
import functools
import os
from pathlib import Path

import tensorflow as tf

from ftbnn_runtime.errors import Error
from ftbnn_runtime.native import build_if_older, machine

_HERE = Path(__file__).resolve().parent
_SOURCES = _HERE.parents[1] / "native"
_RUNTIME = _HERE.parents[1] / "runtime"
_LIBRARY = _HERE / "lib" / machine() / "libftbnn_training.so"


@functools.cache
def why_missing() -> str | None:
    """Why this process trains without the kernels, for a user to read; None where it has them.

    In a checkout they are built when this is first asked, and again when a source is newer.
    """
    if tf.config.list_physical_devices("GPU"):
        return "they are for CPUs, and this machine has a GPU"
    try:
        _operators()
    except (Error, OSError, tf.errors.OpError) as error:
        return str(error)
    return None


@functools.cache
def _operators():
    builder = _SOURCES / "build_kernels.py"
    if builder.is_file():
        sources = [*_SOURCES.iterdir(), *(_RUNTIME / "src").iterdir(), _RUNTIME / "build_library.py"]
        build_if_older(_LIBRARY, sources, [str(builder), "--output", str(_LIBRARY.parent)])
    found = tf.load_op_library(str(_LIBRARY))
    wanted = tf.config.threading.get_intra_op_parallelism_threads()
    ctypes.CDLL(str(_LIBRARY)).ftbnn_use_threads(wanted or len(os.sched_getaffinity(0)))
    return found


@functools.cache
def _has_filter_gradient(dtype) -> bool:
    """Whether a kernel's gradient comes of gradients of this type by a kernel for this processor."""
    asked = ctypes.CDLL(str(_LIBRARY)).ftbnn_has_filter_gradient
    asked.argtypes, asked.restype = [ctypes.c_bool], ctypes.c_bool
    return asked(dtype == tf.bfloat16)


def binary_conv(x, kernel, *, stride: int, same: bool, arithmetic: str, emulated: bool = False):
    """The convolution of the signs of x with the signs of a kernel; what is outside of the map counts as +1.

    The sign of x has the gradient max(0, 2 - 2 |x|) (Bi-Real Net, arXiv 1808.00278); the kernel has the gradient of one
    that is multiplied as it is.

    Arguments:
        x: (N, H, W, C), float32.
        kernel: (h, w, C / groups, filters), -1 and 1 in float32.
        stride: in both directions.
        same: whether the map is padded, as by TensorFlow's "SAME".
        arithmetic, emulated: of the gradients, as of `layers.BinaryConv2D`.

    Returns:
        (N, H', W', filters), whole numbers in float32.
    """

    @tf.custom_gradient
    def conv(x, kernel):
        def rounded(values):
            values = tf.cast(values, arithmetic)
            return tf.cast(values, tf.float32) if emulated else values

        def gradient(upstream):
            rounded_upstream, weights = rounded(upstream), rounded(kernel)
            options = {"strides": [1, stride, stride, 1], "padding": "SAME" if same else "VALID"}
            options |= {"out_backprop": rounded_upstream}
            dx = tf.raw_ops.Conv2DBackpropInput(input_sizes=tf.shape(x), filter=weights, **options)
            dx = _operators().ftbnn_sign_gradient(x=x, upstream=rounded(dx))
            if _has_filter_gradient(rounded_upstream.dtype):
                height, width, channels, _ = kernel.shape
                window = {"kernel_h": height, "kernel_w": width, "groups": x.shape[-1] // channels}
                window |= {"x": x, "upstream": rounded_upstream, "stride": stride, "same": same}
                return dx, _operators().ftbnn_filter_gradient(**window)
            # sign(x) is 1 - 2 [x < 0], inside of the map and outside.
            negative = _operators().ftbnn_negative(x=x, T=rounded_upstream.dtype)
            taps = tf.raw_ops.Conv2DBackpropFilter(input=negative, filter_sizes=tf.shape(kernel), **options)
            # Summed before it is rounded: TensorFlow adds up bfloat16 in bfloat16.
            ones = tf.raw_ops.BiasAddGrad(out_backprop=upstream)
            return dx, ones - 2 * tf.cast(rounded(taps), tf.float32)

        return _operators().ftbnn_binary_conv(x=x, kernel=kernel, stride=stride, same=same), gradient

    y = conv(x, kernel)
    window = kernel.shape[:2] if not same else (1, 1)
    sides = [
        None if side is None else (side - size) // stride + 1 for side, size in zip(x.shape[1:3], window, strict=True)
    ]
    y.set_shape([x.shape[0], *sides, kernel.shape[-1]])
    return y


def norm_slopes_add(x, shortcut, gamma, beta, p, n, t, *, epsilon: float):
    """shortcut + f(z) + t: z is the batch norm of x in training; f(z) = p z where z > 0, else n z.

    Arguments:
        x, shortcut: float32, of one shape, channels last.
        gamma, beta, p, n, t: (channels,).
        epsilon: of the batch norm.

    Returns:
        The sum, and the mean and the variance of x, (channels,), through which no gradient flows.
    """

    @tf.custom_gradient
    def end(x, shortcut, gamma, beta, p, n, t):
        of_channels = {"gamma": gamma, "beta": beta, "p": p, "n": n, "t": t}
        y, mean, variance = _operators().ftbnn_norm(x=x, shortcut=shortcut, epsilon=epsilon, **of_channels)

        def gradient(upstream, *_):
            of_batch = {"mean": mean, "variance": variance}
            dx, *others = _operators().ftbnn_norm_gradient(
                x=x, upstream=upstream, epsilon=epsilon, **of_channels, **of_batch
            )
            return dx, upstream, *others

        return (y, mean, variance), gradient

    return end(x, shortcut, gamma, beta, p, n, t)


def rotate(x, first: int):
    """The channels of x, float32, from `first` on, then those before it."""

    @tf.custom_gradient
    def turned(x):
        back = x.shape[-1] - first
        return _operators().ftbnn_rotate(x=x, first=first), lambda upstream: rotate(upstream, back)

    return turned(x)
