"""The binary convolution of the zoo's models, and layers that repeat and reorder channels. All are NHWC."""

from __future__ import annotations

import larq as lq
import tensorflow as tf

from ftbnn_larq.models import native

_serializable = tf.keras.utils.register_keras_serializable("ftbnn_larq")


# Larq's quantizers to -1 and 1; they differ only in the gradient.
_SIGNS = (lq.quantizers.ApproxSign, lq.quantizers.SteSign, lq.quantizers.SwishSign)


def _is_negative(x, sign, dtype):
    """1 where x < 0, else 0. The sign is 1 - 2 times this, with sign(0) = 1.

    Its gradient is the gradient of the quantizer `sign`, divided by -2.
    """
    if not isinstance(sign, lq.quantizers.ApproxSign):
        return tf.cast((1 - sign(x)) / 2, dtype)

    # The zoo's default, max(0, 2 - 2 |x|) (Bi-Real Net, arXiv 1808.00278), in two passes over x.
    @tf.custom_gradient
    def compare(x):
        def gradient(upstream):
            return tf.minimum(tf.abs(x) - 1, 0) * tf.cast(upstream, x.dtype)

        return tf.cast(x < 0, dtype), gradient

    return compare(x)


@_serializable
class BinaryConv2D(lq.layers.QuantConv2D):
    """Larq's QuantConv2D with a faster training step; values and gradients are the same.

    Padding with 1 needs no padded copy of the input: sign(x) = 1 - 2 [x < 0], so the convolution of the signs with
    weights w, padded with 1, equals the convolution of [x < 0] with -2 w, padded with 0, plus the sum of w over the
    window.

    Grouped convolutions use TensorFlow's own kernel. On a CPU Keras 2 compiles them by XLA, which is over twenty times
    slower.

    With `training=False`, unless it is `native`, and with other quantizers or paddings, the layer computes as Larq
    does. LCE's converter recognizes that form as a binary operator.

    Attributes:
        arithmetic: data type of the convolutions in training, "float32" or "bfloat16". Processors with bfloat16 are
            almost twice as fast with it. Sums above 256 and gradients are then rounded to 8 bits.
        emulated: True to compute in the weights' own precision and only round factors and results to `arithmetic`. On
            a processor without `arithmetic` this gives what one with it computes, apart from the order of sums.
        binary_weights: False to use the latent weights instead of their signs: the first step of the two-step
            schedule.
        native: True to train and to validate by the kernels of `native`, where they have this layer's form.
    """

    arithmetic = "float32"
    emulated = False
    binary_weights = True
    native = False

    def call(self, inputs, training=None):
        is_native = self.is_native_for(inputs)
        if self.binary_weights and not is_native and (training is False or not self._has_fast_form):
            return super().call(inputs)
        kernel = self.used_kernel()
        if is_native:
            return native.binary_conv(inputs, kernel, self.native_form())
        # The gradient of a cast is a cast back, so gradients are rounded where values are.
        factors = _is_negative(inputs, self.input_quantizer, self.arithmetic), tf.cast(-2 * kernel, self.arithmetic)
        if self.emulated:
            factors = (tf.cast(factor, kernel.dtype) for factor in factors)
        outputs = tf.cast(tf.nn.conv2d(*factors, self.strides, self.padding.upper()), self.arithmetic)
        return tf.nn.bias_add(tf.cast(outputs, kernel.dtype), tf.reduce_sum(kernel, [0, 1, 2]))

    def used_kernel(self):
        """What the input is convolved with: the signs of the latent weights, or these themselves."""
        with lq.context.quantized_scope(self.binary_weights):
            return tf.convert_to_tensor(self.kernel)

    def native_form(self, turn: int = 0) -> native.Conv:
        """How `native` computes this layer, behind a rotation of its groups by `turn` places."""
        return native.Conv(self.strides[0], self.padding == "same", turn, self.arithmetic, self.emulated)

    @property
    def _has_fast_form(self) -> bool:
        return (
            isinstance(self.input_quantizer, _SIGNS)
            and self.kernel_quantizer is not None
            and (self.padding == "valid" or self.pad_values == 1)
            and self.data_format == "channels_last"
            and self.dilation_rate == (1, 1)
            and not self.use_bias
            and self.activation in (None, tf.keras.activations.linear)
        )

    def is_native_for(self, inputs) -> bool:
        """Whether the kernels of `native` compute this layer of such inputs."""
        return (
            self.native
            and self.binary_weights
            and self._has_fast_form
            and inputs.dtype == tf.float32
            and type(self.input_quantizer) is lq.quantizers.ApproxSign
            and isinstance(self.kernel_quantizer, _SIGNS)
            and self.strides[0] == self.strides[1]
        )

    def _jit_compiled_convolution_op(self, inputs, kernel):
        return self.convolution_op(inputs, kernel)


def train_with(
    model: tf.keras.Model,
    *,
    arithmetic: str = "float32",
    emulated: bool = False,
    binary_weights: bool = True,
    native: bool = False,
) -> None:
    """Set these attributes on every layer of `model` that has them. Call it before the model is traced."""
    chosen = {"arithmetic": arithmetic, "emulated": emulated, "binary_weights": binary_weights, "native": native}
    for layer in model.layers:
        for name, value in chosen.items():
            if hasattr(type(layer), name):
                setattr(layer, name, value)


def binary_conv(
    filters: int,
    kernel_size: int = 3,
    *,
    strides: int = 1,
    groups: int = 1,
    sign_gradient: str = "approx_sign",
    name: str | None = None,
):
    """A convolution with binary activations and binary weights, and 'same' padding with +1.

    The sign of the activations has the gradient of Larq's quantizer `sign_gradient`. The sign of the latent weights has
    the straight-through estimator, and the latent weights are clipped to [-1, 1]. Padding with 1 instead of 0 keeps the
    border binary, so every LCE kernel can run it.
    """
    return BinaryConv2D(
        filters,
        kernel_size,
        strides=strides,
        groups=groups,
        padding="same",
        pad_values=1.0,
        input_quantizer=sign_gradient,
        kernel_quantizer="ste_sign",
        kernel_constraint="weight_clip",
        kernel_initializer="glorot_normal",
        use_bias=False,
        name=name,
    )


def is_binary(layer: tf.keras.layers.Layer) -> bool:
    """Whether `layer` is binary: its quantizers turn both its inputs and its weights into one bit."""
    quantizers = [getattr(layer, "input_quantizer", None), getattr(layer, "kernel_quantizer", None)]
    return all(getattr(quantizer, "precision", None) == 1 for quantizer in quantizers)


@_serializable
class RepeatChannels(tf.keras.layers.Layer):
    """Repeat the channels until there are `filters`: (N, H, W, C) to (N, H, W, filters)."""

    def __init__(self, filters: int, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters

    def call(self, inputs):
        copies, rest = divmod(self.filters, inputs.shape[-1])
        return tf.concat([inputs] * copies + ([inputs[..., :rest]] if rest else []), axis=-1)

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


def _rotate(x, first: int):
    """The channels from `first` on, then those before it.

    The gradient is written by hand: automatic differentiation would make two tensors of zeros.
    """

    def swap(x, first):
        return tf.concat([x[..., first:], x[..., :first]], axis=-1)

    @tf.custom_gradient
    def rotate(x):
        return swap(x, first), lambda upstream: swap(upstream, x.shape[-1] - first)

    return rotate(x)


@_serializable
class ShuffleChannels(tf.keras.layers.Layer):
    """Reorder the channels of (N, H, W, C), so that groups exchange them.

    Arguments:
        groups: number of groups of the convolution that follows.
        how: "rotate": each group gets the channels of the group `turn` places further. "interleave": each group gets
            some channels of every group (ShuffleNet, arXiv 1707.01083).
        turn: distance in groups, for "rotate".
    """

    def __init__(self, groups: int, how: str = "rotate", turn: int = 1, **kwargs):
        super().__init__(**kwargs)
        self.groups, self.how, self.turn = groups, how, turn

    def order(self, channels: int) -> list[int]:
        """For each place in the output, the number of the input channel that goes there."""
        size = channels // self.groups
        if self.how == "rotate":
            first = size * self.turn
            return [*range(first, channels), *range(first)]
        return [channel for first in range(size) for channel in range(first, channels, size)]

    def call(self, inputs):
        order = self.order(inputs.shape[-1])
        if self.how == "rotate":
            return _rotate(inputs, order[0])
        return tf.gather(inputs, order, axis=-1)

    def get_config(self):
        return {**super().get_config(), "groups": self.groups, "how": self.how, "turn": self.turn}
