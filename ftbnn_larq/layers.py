"""The binary convolution as every model of the zoo uses it, and what moves channels around it. All NHWC."""

from __future__ import annotations

import larq as lq
import tensorflow as tf

_serializable = tf.keras.utils.register_keras_serializable("ftbnn_larq")


@_serializable
class BinaryConv2D(lq.layers.QuantConv2D):
    """Larq's QuantConv2D whose groups are trained at the speed of the arithmetic.

    Keras 2 sends grouped convolutions on a CPU through XLA, over twenty times slower than TensorFlow's own kernel,
    which takes groups. Values and gradients are the same.
    """

    def _jit_compiled_convolution_op(self, inputs, kernel):
        return self.convolution_op(inputs, kernel)


def binary_conv(filters: int, kernel_size: int = 3, *, strides: int = 1, groups: int = 1, name: str | None = None):
    """A convolution with binary activations and binary weights, 'same' padding with +1.

    The sign of the activations is trained with Bi-Real Net's ApproxSign gradient; the sign of the latent weights
    with the straight-through estimator, and the latent weights are clipped to [-1, 1]. Padding with 1, unlike zero,
    keeps the padded border binary, so that every LCE kernel can be used.
    """
    return BinaryConv2D(
        filters,
        kernel_size,
        strides=strides,
        groups=groups,
        padding="same",
        pad_values=1.0,
        input_quantizer="approx_sign",
        kernel_quantizer="ste_sign",
        kernel_constraint="weight_clip",
        kernel_initializer="glorot_normal",
        use_bias=False,
        name=name,
    )


def is_binary(layer: tf.keras.layers.Layer) -> bool:
    """Whether `layer` multiplies signs of its inputs with signs of its weights."""
    quantizers = [getattr(layer, "input_quantizer", None), getattr(layer, "kernel_quantizer", None)]
    return all(getattr(quantizer, "precision", None) == 1 for quantizer in quantizers)


@_serializable
class RepeatChannels(tf.keras.layers.Layer):
    """(N, H, W, C) to (N, H, W, filters): the channels once more, and again, until there are enough."""

    def __init__(self, filters: int, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters

    def call(self, inputs):
        copies, rest = divmod(self.filters, inputs.shape[-1])
        return tf.concat([inputs] * copies + ([inputs[..., :rest]] if rest else []), axis=-1)

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


@_serializable
class ShuffleChannels(tf.keras.layers.Layer):
    """Channels of (N, H, W, C) in another order, so that groups exchange them.

    Arguments:
        groups: of the convolution that reads them.
        how: "rotate", each group gets its neighbour's channels; "interleave", a part of every group's (ShuffleNet,
            arXiv 1707.01083).
    """

    def __init__(self, groups: int, how: str = "rotate", **kwargs):
        super().__init__(**kwargs)
        self.groups, self.how = groups, how

    def call(self, inputs):
        channels = inputs.shape[-1]
        size = channels // self.groups
        if self.how == "rotate":
            return tf.concat([inputs[..., size:], inputs[..., :size]], axis=-1)
        order = [channel for first in range(size) for channel in range(first, channels, size)]
        return tf.gather(inputs, order, axis=-1)

    def get_config(self):
        return {**super().get_config(), "groups": self.groups, "how": self.how}
