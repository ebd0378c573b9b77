"""The parts of a network: stem, shortcut, unit and head. Inputs and outputs are NHWC tensors."""

from __future__ import annotations

import tensorflow as tf

from ftbnn_larq.models import nonlinearities
from ftbnn_larq.models.config import ResNetConfig
from ftbnn_larq.models.layers import RepeatChannels, ShuffleChannels, binary_conv

keras_layers = tf.keras.layers


# Start biases of repeated channels: the first copy has this, the last copy its negative.
SPREAD = 0.5


def batch_norm(name: str | None, start: list[float] | None = None) -> tf.keras.layers.Layer:
    """A batch norm with start biases of zero, or `start` (one number per channel)."""
    # Momentum 0.95 is a compromise. Small data sets have few steps per epoch and need fast statistics (0.9); a larger
    # momentum, such as Keras's 0.99, gives steadier ones.
    # Replicas share one batch, so their statistics are computed over all of it.
    several = tf.distribute.get_strategy().num_replicas_in_sync > 1
    beta = "zeros" if start is None else tf.keras.initializers.Constant(start)
    return keras_layers.BatchNormalization(
        momentum=0.95, epsilon=1e-5, synchronized=several, beta_initializer=beta, name=name
    )


def repeat(x, filters: int, name: str, average: int = 1):
    """Repeat the channels, then batch norm with a different start bias for each copy.

    A binary layer sees only signs. Copies with different biases change sign at different thresholds, so together they
    show how large the channel is. With `average` > 1, each copy learns the weights of its own average.

    Arguments:
        x: (N, H, W, C).
        filters: channels of the result.
        name: begins the names of the layers.
        average: size and stride of the average; 1 keeps the resolution.

    Returns:
        (N, H/average, W/average, filters).
    """
    channels = x.shape[-1]
    last = (filters - 1) // channels
    start = [SPREAD * (1 - 2 * (channel // channels) / last) for channel in range(filters)] if last else None
    x = RepeatChannels(filters, name=f"{name}_repeat")(x)
    if average > 1:
        x = depthwise_conv(average, average, f"{name}_conv", average=True)(x)
    return batch_norm(f"{name}_bn", start)(x)


def float_conv(filters: int, kernel_size: int, strides: int, name: str) -> tf.keras.layers.Layer:
    return keras_layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )


def depthwise_conv(kernel_size: int, strides: int, name: str, average: bool = False):
    start = 1 / kernel_size**2
    return keras_layers.DepthwiseConv2D(
        kernel_size,
        strides=strides,
        padding="same",
        use_bias=False,
        depthwise_initializer=tf.keras.initializers.Constant(start) if average else "he_normal",
        name=name,
    )


def stem_stride(side: int | None) -> int:
    """Stride of the stem for pictures whose shorter side is `side` pixels: 4, 2 or 1.

    Photographs (128 pixels or more) get 4, as in every ResNet. Small pictures get less, because the four stages shrink
    them by 8. A size that is not fixed (None) counts as a photograph.
    """
    if side is None or side >= 128:
        return 4
    return 2 if side >= 64 else 1


def stem(x, config: ResNetConfig):
    """The full-precision stem: (N, H, W, C) pictures to (N, H/s, W/s, channels of stage 1), with s = `stem_stride`."""
    height, width = x.shape[1:3]
    stride = stem_stride(min(height, width) if height and width else None)
    channels = config.channels(0)
    if config.stem == "light":
        return _light_stem(x, config.width, channels, stride)
    x = float_conv(channels, 7 if stride == 4 else 3, min(stride, 2), "stem_conv")(x)
    x = batch_norm("stem_bn")(x)
    if stride == 4:
        x = keras_layers.MaxPooling2D(3, 2, padding="same", name="stem_pool")(x)
    return x


def _light_stem(x, width: int, channels: int, stride: int):
    """Photographs: the stem of QuickNet (arXiv 2011.09398). Small pictures: a 3x3 with few filters, then `repeat`.

    For small pictures the 3x3 costs most, and its cost grows with its filters; repeated channels cost almost nothing.
    """
    if stride < 4:
        x = float_conv(width // 2, 3, stride, "stem_conv")(x)
        return repeat(x, channels, "stem")
    x = float_conv(width // 4, 3, 2, "stem_conv")(x)
    x = batch_norm("stem_bn")(x)
    x = keras_layers.ReLU(name="stem_act")(x)
    x = depthwise_conv(3, 2, "stem_depthwise")(x)
    x = batch_norm("stem_depthwise_bn")(x)
    x = float_conv(channels, 1, 1, "stem_pointwise")(x)
    return batch_norm("stem_pointwise_bn")(x)


def shortcut(x, filters: int, strides: int, config: ResNetConfig, name: str):
    """The shortcut around a unit: unchanged, or (N, H, W, C) to (N, H/strides, W/strides, filters).

    Where the shape changes, a batch norm is needed. Without it, outputs that are never negative add up along the
    residual stream until every sign is +1.
    """
    name = f"{name}_shortcut"
    if config.shortcut == "depthwise" and strides > 1:
        return repeat(x, filters, name, average=strides)
    if strides > 1:
        x = keras_layers.AveragePooling2D(strides, strides, padding="same", name=f"{name}_pool")(x)
    if x.shape[-1] == filters and strides == 1:
        return x
    if config.shortcut == "float":
        x = float_conv(filters, 1, 1, f"{name}_conv")(x)
    elif config.shortcut == "binary":
        x = binary_conv(filters, 1, sign_gradient=config.sign_gradient, name=f"{name}_conv")(x)
    else:
        return repeat(x, filters, name)
    return batch_norm(f"{name}_bn")(x)


def unit(x, filters: int, strides: int, groups: int, turn: int, config: ResNetConfig, name: str):
    """Sign, binary 3x3, batch norm, non-linearity, add: (N, H, W, C) to (N, H/strides, W/strides, filters).

    Arguments:
        x: (N, H, W, C).
        filters: channels of the result.
        strides: of the binary convolution.
        groups: of the binary convolution.
        turn: distance in groups for the shuffle, see `ShuffleChannels`.
        config: the network's configuration.
        name: begins the names of the layers.
    """

    def act(y):
        layer = nonlinearities.create(
            config.nonlinearity, slopes=config.slopes, sharing=config.sharing, layer_name=f"{name}_act"
        )
        return layer(y)

    y = x
    if groups > 1 and config.shuffle != "none":
        # The shuffle stands before the sign: LCE allows no layer between sign and convolution.
        how = "interleave" if config.shuffle == "interleave" else "rotate"
        y = ShuffleChannels(groups, how, turn, name=f"{name}_shuffle")(y)
    y = binary_conv(
        filters, 3, strides=strides, groups=groups, sign_gradient=config.sign_gradient, name=f"{name}_conv"
    )(y)
    y = batch_norm(f"{name}_bn")(y)
    if config.placement == "after_bn":
        y = act(y)
    y = keras_layers.Add(name=f"{name}_add")([y, shortcut(x, filters, strides, config, name)])
    return act(y) if config.placement == "after_add" else y


def head(x, num_classes: int):
    """Average pooling, dense layer `logits`, softmax: (N, H, W, C) to (N, num_classes) probabilities.

    Logits and probabilities have Keras's `floatx` (float32 by default), under mixed precision too.
    """
    if x.shape[1] and x.shape[2]:
        # LCE runs this faster than GlobalAveragePooling2D.
        x = keras_layers.AveragePooling2D(tuple(x.shape[1:3]), name="pool")(x)
        x = keras_layers.Flatten(name="flatten")(x)
    else:
        x = keras_layers.GlobalAveragePooling2D(name="pool")(x)
    dtype = tf.keras.backend.floatx()
    x = keras_layers.Dense(num_classes, dtype=dtype, name="logits")(x)
    return keras_layers.Softmax(dtype=dtype, name="probabilities")(x)
