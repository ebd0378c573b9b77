"""The paper's subject: what stands between a binary convolution and the next sign.

Each is f(x), element by element, of any shape with channels last (NHWC). p and n are the slopes for positive and for
negative inputs; |p - n| is the degree of non-linearity, and at p = n a straight line remains. At x = 0, where the two
sides meet, the gradient is that of the negative side, for `tf.nn.relu`'s gradient is 0 there.
"""

from __future__ import annotations

import tensorflow as tf

from ftbnn_larq.errors import UnknownNameError
from ftbnn_larq.models.config import LEAST_SLOPE, NONLINEARITIES

_serializable = tf.keras.utils.register_keras_serializable("ftbnn_larq")


@_serializable
class Identity(tf.keras.layers.Layer):
    """f(x) = x, df/dx = 1: the ancestor's choice (Bi-Real Net, arXiv 1808.00278)."""

    def call(self, inputs):
        return tf.identity(inputs)


@_serializable
class ReLU(tf.keras.layers.ReLU):
    """f(x) = max(x, 0); df/dx = 1 for x > 0, else 0."""


class _TwoSlopes(tf.keras.layers.Layer):
    """What the others share: start values of the slopes, and weights per channel or one for the layer.

    Arguments:
        slopes: start values of (p, n).
        sharing: "channel", weights of shape (channels,), or "layer", weights of shape (1,).
    """

    def __init__(self, slopes=(1.0, 0.0), sharing="channel", **kwargs):
        super().__init__(**kwargs)
        self.slopes = tuple(float(slope) for slope in slopes)
        self.sharing = sharing

    def _learned(self, name: str, start: float, input_shape, constraint=None):
        shape = (input_shape[-1],) if self.sharing == "channel" else (1,)
        initializer = tf.keras.initializers.Constant(start)
        return self.add_weight(name=name, shape=shape, initializer=initializer, constraint=constraint)

    def get_config(self):
        return {**super().get_config(), "slopes": self.slopes, "sharing": self.sharing}


@_serializable
class LeakyReLU(_TwoSlopes):
    """f(x) = max(x, 0) + n * min(x, 0) with n fixed; df/dx = 1 for x > 0, else n.

    Maas, Hannun, Ng: Rectifier nonlinearities improve neural network acoustic models, 2013.
    """

    def call(self, inputs):
        return tf.nn.leaky_relu(inputs, self.slopes[1])


@_serializable
class PReLU(_TwoSlopes):
    """f(x) = max(x, 0) + n * min(x, 0), n learned; df/dx = 1 for x > 0, else n; df/dn = min(x, 0). arXiv 1502.01852."""

    def build(self, input_shape):
        self.negative = self._learned("negative", self.slopes[1], input_shape)
        super().build(input_shape)

    def call(self, inputs):
        # Keras's own form: the converter makes one PRELU operator of it.
        return tf.nn.relu(inputs) + (-self.negative) * tf.nn.relu(-inputs)


@_serializable
class AtLeast(tf.keras.constraints.Constraint):
    """w = max(w, least), after each training step; weights that are loaded stay as they are."""

    def __init__(self, least: float):
        self.least = float(least)

    def __call__(self, weight):
        return tf.maximum(weight, tf.cast(self.least, weight.dtype))

    def get_config(self):
        return {"least": self.least}


@_serializable
class FPReLU(_TwoSlopes):
    """f(x) = p * max(x, 0) + n * min(x, 0), both slopes learned; p stays at 0.01 or more.

    df/dx = p for x > 0, else n; df/dp = max(x, 0); df/dn = min(x, 0). "Fully parametric ReLU": our reading of the tuned
    non-linear module of FTBNN (arXiv 2010.09294); with p = 1 it is PReLU.

    For p > 0 it is one PRELU of LCE behind a batch norm. Slopes p < 0 and n < 0 are no other function: (-n, -p) of -x,
    and the batch norm in front can learn to turn x into -x. What p > 0 leaves out is p <= 0 <= n, a function that rises
    nowhere above zero, which would take LCE one operator more.
    """

    def build(self, input_shape):
        self.positive = self._learned("positive", self.slopes[0], input_shape, constraint=AtLeast(LEAST_SLOPE))
        self.negative = self._learned("negative", self.slopes[1], input_shape)
        super().build(input_shape)

    def call(self, inputs):
        # Values: run eagerly, a custom gradient takes no variables under mixed precision.
        return _two_slopes(inputs, tf.convert_to_tensor(self.positive), tf.convert_to_tensor(self.negative))


@tf.custom_gradient
def _two_slopes(x, p, n):
    """p * max(x, 0) + n * min(x, 0), in fewer passes over x than automatic differentiation takes."""

    def gradient(upstream):
        where_positive = tf.raw_ops.ReluGrad(gradients=upstream, features=x)
        dx = n * upstream + (p - n) * where_positive
        dp, both = _sum_like(where_positive * x, p), _sum_like(upstream * x, p)
        return dx, dp, both - dp

    return n * x + (p - n) * tf.nn.relu(x), gradient


def _sum_like(values, weight):
    """Sum over all positions, and over the channels too where one weight serves them all."""
    axes = tf.range(tf.rank(values) - (1 if weight.shape[0] == values.shape[-1] else 0))
    return tf.reshape(tf.reduce_sum(values, axes), weight.shape)


@_serializable
class RPReLU(_TwoSlopes):
    """f(x) = max(x - s, 0) + n * min(x - s, 0) + t; the shifts s and t, from zero, and n are learned.

    df/dx = 1 for x > s, else n; df/dn = min(x - s, 0); df/ds = -df/dx; df/dt = 1. ReActNet, arXiv 2003.03488, eq. 5.
    """

    def build(self, input_shape):
        self.shift_in = self._learned("shift_in", 0.0, input_shape)
        self.negative = self._learned("negative", self.slopes[1], input_shape)
        self.shift_out = self._learned("shift_out", 0.0, input_shape)
        super().build(input_shape)

    def call(self, inputs):
        shifted = inputs - self.shift_in
        return tf.nn.relu(shifted) + (-self.negative) * tf.nn.relu(-shifted) + self.shift_out


def create(
    name: str, *, slopes: tuple[float, float] | None = None, sharing: str = "channel", layer_name: str | None = None
) -> tf.keras.layers.Layer:
    """The non-linearity called `name` as a new Keras layer.

    Arguments:
        slopes: start values of (p, n), where it has any; those of `NONLINEARITIES` unless given.
        sharing: learned parameters per "channel" or one for the "layer".

    Raises:
        UnknownNameError: `name` is not in `NONLINEARITIES`.
    """
    if name not in NONLINEARITIES:
        raise UnknownNameError("non-linearity", name, NONLINEARITIES)
    row = NONLINEARITIES[name]
    arguments = {} if row.slopes is None else {"slopes": slopes or row.slopes, "sharing": sharing}
    return globals()[row.layer](name=layer_name, **arguments)
