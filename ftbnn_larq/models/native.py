"""The kernels of a training step on CPUs: operators of TensorFlow in C, from native/ in the repository.

They compute what TensorFlow's own operators compute, in fewer passes over the activations, and a binary convolution by
counting bits. Where they are missing, layers take TensorFlow's.
"""

from __future__ import annotations

import ctypes
import functools
import os
from pathlib import Path
from typing import NamedTuple

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


class Conv(NamedTuple):
    """How a binary convolution is computed.

    Attributes:
        stride: in both directions.
        same: whether the map is padded, as by TensorFlow's "SAME"; what is outside of the map counts as +1.
        turn: each group takes the channels of the group `turn` places further.
        arithmetic, emulated: of the gradients, as of `layers.BinaryConv2D`.
    """

    stride: int
    same: bool
    turn: int = 0
    arithmetic: str = "float32"
    emulated: bool = False

    def _rounded(self, values):
        values = tf.cast(values, self.arithmetic)
        return tf.cast(values, tf.float32) if self.emulated else values

    def _forward(self, x, kernel, dtype):
        """The convolution, in this type, and the packed signs of x."""
        how = {"stride": self.stride, "same": self.same, "turn": self.turn}
        return _operators().ftbnn_binary_conv(x=x, kernel=kernel, T=dtype, **how)

    def _gradient(self, x, signs, kernel, upstream, *added):
        """The gradients of x, with what is added to it, and of the kernel."""
        rounded = self._rounded(upstream)
        height, width, channels, _ = kernel.shape
        options = {"strides": [1, self.stride, self.stride, 1], "padding": "SAME" if self.same else "VALID"}
        options |= {"out_backprop": rounded}
        of_signs = tf.raw_ops.Conv2DBackpropInput(input_sizes=tf.shape(x), filter=self._rounded(kernel), **options)
        first = self.turn * channels
        dx = _operators().ftbnn_sign_gradient(x=x, upstream=self._rounded(of_signs), added=added, first=first)
        if _has_filter_gradient(rounded.dtype):
            window = {"kernel_h": height, "kernel_w": width, "channels": channels, "groups": x.shape[-1] // channels}
            return dx, _operators().ftbnn_filter_gradient(signs=signs, upstream=rounded, stride=self.stride, **window)
        # sign(x) is 1 - 2 [x < 0], inside of the map and outside.
        negative = tf.roll(_operators().ftbnn_negative(x=x, T=rounded.dtype), -first, -1)
        taps = tf.raw_ops.Conv2DBackpropFilter(input=negative, filter_sizes=tf.shape(kernel), **options)
        # Summed before it is rounded: TensorFlow adds up bfloat16 in bfloat16.
        ones = tf.raw_ops.BiasAddGrad(out_backprop=upstream)
        return dx, ones - 2 * tf.cast(self._rounded(taps), tf.float32)


def binary_conv(x, kernel, how: Conv):
    """The convolution of the signs of x with the signs of a kernel.

    The sign of x has the gradient max(0, 2 - 2 |x|) (Bi-Real Net, arXiv 1808.00278); the kernel has the gradient of one
    that is multiplied as it is.

    Arguments:
        x: (N, H, W, C), float32.
        kernel: (h, w, C / groups, filters), -1 and 1 in float32.
        how: the convolution.

    Returns:
        (N, H', W', filters), whole numbers in float32.
    """

    @tf.custom_gradient
    def conv(x, kernel):
        sums, signs = how._forward(x, kernel, tf.float32)
        return sums, lambda upstream: how._gradient(x, signs, kernel, upstream)

    y = conv(x, kernel)
    window = kernel.shape[:2] if not how.same else (1, 1)
    sides = [
        None if side is None else (side - size) // how.stride + 1
        for side, size in zip(x.shape[1:3], window, strict=True)
    ]
    y.set_shape([x.shape[0], *sides, kernel.shape[-1]])
    return y


def unit(x, shortcut, kernel, gamma, beta, p, n, t, *, how: Conv, epsilon: float):
    """shortcut + f(z) + t: z is the batch norm in training of the `binary_conv` of x; f(z) = p z where z > 0, else n z.

    Between the convolution and the batch norm are sums of 16 bits, where they fit, and gradients of the convolution's
    arithmetic.

    Arguments:
        x: (N, H, W, C), float32.
        shortcut: (N, H', W', filters), float32. Where it is x itself, both gradients come of one pass.
        kernel: (h, w, C / groups, filters), -1 and 1 in float32.
        gamma, beta, p, n, t: (filters,).
        how: the convolution.
        epsilon: of the batch norm.

    Returns:
        The sum, and the mean and the variance of the convolution, (filters,), through which no gradient flows.
    """
    height, width, channels, _ = kernel.shape
    dtype = tf.int16 if height * width * channels <= tf.int16.max else tf.float32
    halved = how.arithmetic == "bfloat16" and not how.emulated and _has_filter_gradient(tf.bfloat16)
    apart = () if shortcut is x else (shortcut,)

    @tf.custom_gradient
    def run(x, kernel, gamma, beta, p, n, t, *apart):
        sums, signs = how._forward(x, kernel, dtype)
        of_channels = {"gamma": gamma, "beta": beta, "p": p, "n": n, "t": t, "epsilon": epsilon}
        y, mean, variance = _operators().ftbnn_norm(x=sums, shortcut=apart[0] if apart else x, **of_channels)

        def gradient(upstream, *_):
            of_batch = {"mean": mean, "variance": variance, "D": tf.bfloat16 if halved else tf.float32}
            of_sums, *others = _operators().ftbnn_norm_gradient(x=sums, upstream=upstream, **of_channels, **of_batch)
            if apart:
                return *how._gradient(x, signs, kernel, of_sums), *others, upstream
            return *how._gradient(x, signs, kernel, of_sums, upstream), *others

        return (y, mean, variance), gradient

    y, mean, variance = run(x, kernel, gamma, beta, p, n, t, *apart)
    y.set_shape(shortcut.shape)
    return y, mean, variance
