"""The non-linearities between a binary convolution and the next sign: the subject of the FTBNN paper.

Each is an element-wise f(x) for inputs of any shape with channels last (NHWC). p and n are the slopes for positive and
for negative inputs. |p - n| is the degree of non-linearity; with p = n the function is linear. At x = 0 the gradient is
that of the negative side; of PReLU and RPReLU it is 0, because that of `tf.nn.relu` is 0 there.

Each has a method `behind_norm(beta)`, for training in fewer passes (`fused.Fused`). It gives (b, p, n, t), each
(channels,): the layer behind a batch norm with bias `beta` is f(z) + t behind one with bias b;
f(z) = p z where z > 0, else n z.
"""

from __future__ import annotations

import tensorflow as tf

from ftbnn_larq.errors import UnknownNameError
from ftbnn_larq.models.config import LEAST_SLOPE, NONLINEARITIES

_serializable = tf.keras.utils.register_keras_serializable("ftbnn_larq")


@_serializable
class Identity(tf.keras.layers.Layer):
    """f(x) = x; df/dx = 1. Used by the ancestor (Bi-Real Net, arXiv 1808.00278)."""

    def call(self, inputs):
        return tf.identity(inputs)

    def behind_norm(self, beta):
        return beta, tf.ones_like(beta), tf.ones_like(beta), tf.zeros_like(beta)


@_serializable
class ReLU(tf.keras.layers.ReLU):
    """f(x) = max(x, 0); df/dx = 1 for x > 0, else 0."""

    def behind_norm(self, beta):
        return beta, tf.ones_like(beta), tf.zeros_like(beta), tf.zeros_like(beta)


class _TwoSlopes(tf.keras.layers.Layer):
    """Base class of the non-linearities with slopes p and n.

    Arguments:
        slopes: start values of (p, n).
        sharing: "channel" for weights of shape (channels,), "layer" for weights of shape (1,).
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
    """f(x) = max(x, 0) + n * min(x, 0), n fixed; df/dx = 1 for x > 0, else n.

    Maas, Hannun, Ng: Rectifier nonlinearities improve neural network acoustic models, 2013.
    """

    def call(self, inputs):
        return tf.nn.leaky_relu(inputs, self.slopes[1])

    def behind_norm(self, beta):
        one = tf.ones_like(beta)
        return beta, one, self.slopes[1] * one, 0 * one


@_serializable
class PReLU(_TwoSlopes):
    """f(x) = max(x, 0) + n * min(x, 0), n learned; df/dx = 1 for x > 0, else n; df/dn = min(x, 0). arXiv 1502.01852."""

    def build(self, input_shape):
        self.negative = self._learned("negative", self.slopes[1], input_shape)
        super().build(input_shape)

    def call(self, inputs):
        # The form that Keras uses: the converter turns it into one PRELU operator.
        return tf.nn.relu(inputs) + (-self.negative) * tf.nn.relu(-inputs)

    def behind_norm(self, beta):
        one = tf.ones_like(beta)
        return beta, one, self.negative * one, 0 * one


@_serializable
class AtLeast(tf.keras.constraints.Constraint):
    """w = max(w, least) after each training step. Loaded weights are not changed."""

    def __init__(self, least: float):
        self.least = float(least)

    def __call__(self, weight):
        return tf.maximum(weight, tf.cast(self.least, weight.dtype))

    def get_config(self):
        return {"least": self.least}


@_serializable
class FPReLU(_TwoSlopes):
    """f(x) = p * max(x, 0) + n * min(x, 0), both slopes learned; p stays at 0.01 or more.

    df/dx = p for x > 0, else n; df/dp = max(x, 0); df/dn = min(x, 0).

    "Fully parametric ReLU": our reading of the tuned non-linear module of FTBNN (arXiv 2010.09294). With p = 1 it is
    PReLU.

    With p > 0 a batch norm and this layer become one PRELU operator in LCE. Slopes p < 0, n < 0 would add nothing: they
    are the function with slopes (-n, -p) of -x, and the batch norm before it can learn the change of sign. Excluded are
    p <= 0 <= n: that function is never positive, and LCE would need one more operator for it.
    """

    def build(self, input_shape):
        self.positive = self._learned("positive", self.slopes[0], input_shape, constraint=AtLeast(LEAST_SLOPE))
        self.negative = self._learned("negative", self.slopes[1], input_shape)
        super().build(input_shape)

    def call(self, inputs):
        # Tensors, because an eager custom gradient accepts no variables under mixed precision.
        slopes = tf.convert_to_tensor(self.positive), tf.convert_to_tensor(self.negative)
        return _two_slopes(inputs, *slopes)

    def behind_norm(self, beta):
        one = tf.ones_like(beta)
        return beta, self.positive * one, self.negative * one, 0 * one


@tf.custom_gradient
def _two_slopes(x, p, n):
    """p * max(x, 0) + n * min(x, 0), with a gradient that needs fewer passes over x than automatic differentiation."""

    def gradient(upstream):
        where_positive = tf.raw_ops.ReluGrad(gradients=upstream, features=x)
        dx = n * upstream + (p - n) * where_positive
        dp, both = _sum_like(where_positive * x, p), _sum_like(upstream * x, p)
        return dx, dp, both - dp

    return n * x + (p - n) * tf.nn.relu(x), gradient


def _sum_like(values, weight):
    """Sum over all positions; also over the channels if they share one weight."""
    axes = tf.range(tf.rank(values) - (1 if weight.shape[0] == values.shape[-1] else 0))
    return tf.reshape(tf.reduce_sum(values, axes), weight.shape)


@_serializable
class RPReLU(_TwoSlopes):
    """f(x) = max(x - s, 0) + n * min(x - s, 0) + t; n and the shifts s and t are learned, the shifts from zero.

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

    def behind_norm(self, beta):
        one = tf.ones_like(beta)
        return beta - self.shift_in, one, self.negative * one, self.shift_out * one


def create(
    name: str, *, slopes: tuple[float, float] | None = None, sharing: str = "channel", layer_name: str | None = None
) -> tf.keras.layers.Layer:
    """A new Keras layer with the non-linearity called `name`.

    Arguments:
        name: a name in `NONLINEARITIES`.
        slopes: start values of (p, n), for non-linearities that have slopes; None takes those of `NONLINEARITIES`.
        sharing: learned parameters: one per "channel", or one for the whole "layer".
        layer_name: name of the layer.

    Raises:
        UnknownNameError: `name` is not in `NONLINEARITIES`.
    """
    if name not in NONLINEARITIES:
        raise UnknownNameError("non-linearity", name, NONLINEARITIES)
    row = NONLINEARITIES[name]
    arguments = {} if row.slopes is None else {"slopes": slopes or row.slopes, "sharing": sharing}
    return globals()[row.layer](name=layer_name, **arguments)
