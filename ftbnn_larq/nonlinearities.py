"""The paper's subject: what stands between a binary convolution and the next sign."""

from __future__ import annotations

import tensorflow as tf

from ftbnn_larq.config import NONLINEARITIES
from ftbnn_larq.errors import UnknownNameError

_serializable = tf.keras.utils.register_keras_serializable("ftbnn_larq")


@_serializable
class Identity(tf.keras.layers.Layer):
    """f(x) = x, f'(x) = 1: the ancestor's choice (Bi-Real Net, arXiv 1808.00278)."""

    def call(self, inputs):
        return tf.identity(inputs)


@_serializable
class ReLU(tf.keras.layers.ReLU):
    """f(x) = max(x, 0); f'(x) = 1 for x > 0, else 0."""


@_serializable
class FPReLU(tf.keras.layers.Layer):
    """Two-slope PReLU, both slopes learned per channel.

    f(x) = p * max(x, 0) + n * min(x, 0), with df/dx = p for x > 0 and n for x < 0, df/dp = max(x, 0) and
    df/dn = min(x, 0). |p - n| is its degree of non-linearity; at p = n it is a straight line. Our reading of the
    "fully tuned" non-linear module of FTBNN (arXiv 2010.09294); with p = 1 it is PReLU (arXiv 1502.01852).

    Arguments:
        slopes: start values of (p, n).

    Shape: any shape with channels last; output shape = input shape.
    """

    def __init__(self, slopes=(1.0, 0.0), **kwargs):
        super().__init__(**kwargs)
        self.slopes = tuple(float(slope) for slope in slopes)

    def build(self, input_shape):
        def slope(name, start):
            return self.add_weight(
                name=name, shape=(input_shape[-1],), initializer=tf.keras.initializers.Constant(start)
            )

        self.positive = slope("positive", self.slopes[0])
        self.negative = slope("negative", self.slopes[1])
        super().build(input_shape)

    def call(self, inputs):
        # Written with ReLU alone: that is what the converter turns into elementwise operators it knows.
        return self.positive * tf.nn.relu(inputs) - self.negative * tf.nn.relu(-inputs)

    def get_config(self):
        return {**super().get_config(), "slopes": self.slopes}


def create(name: str, *, slopes=(1.0, 0.0), layer_name: str | None = None) -> tf.keras.layers.Layer:
    """The non-linearity called `name` as a new Keras layer.

    Raises:
        UnknownNameError: `name` is not in `NONLINEARITIES`.
    """
    if name not in NONLINEARITIES:
        raise UnknownNameError("non-linearity", name, NONLINEARITIES)
    layer = globals()[NONLINEARITIES[name]]
    return layer(name=layer_name, **({"slopes": slopes} if layer is FPReLU else {}))
