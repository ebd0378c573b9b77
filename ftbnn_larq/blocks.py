"""The parts of a network: stem, shortcut, unit, head. Each takes and gives NHWC tensors."""

from __future__ import annotations

import tensorflow as tf

from ftbnn_larq import nonlinearities
from ftbnn_larq.config import ResNetConfig
from ftbnn_larq.layers import binary_conv

keras_layers = tf.keras.layers


def batch_norm(name: str) -> tf.keras.layers.Layer:
    # A shorter memory than Keras's 0.99: small data sets have few steps in an epoch.
    return keras_layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)


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


def stem_stride(side: int | None) -> int:
    """How far the stem shrinks a picture whose shorter side is `side` pixels: 4, 2 or 1.

    Photographs lose a factor of four, as in every ResNet; small pictures keep their pixels for the four stages,
    which shrink them by eight. None (a size that is not fixed) counts as a photograph.
    """
    if side is None or side >= 128:
        return 4
    return 2 if side >= 64 else 1


def stem(x, config: ResNetConfig):
    """(N, H, W, C) pictures to (N, H/s, W/s, width), with s = `stem_stride`; full precision."""
    height, width = x.shape[1:3]
    stride = stem_stride(min(height, width) if height and width else None)
    kernel_size = 7 if stride == 4 else 3
    x = float_conv(config.width, kernel_size, min(stride, 2), "stem_conv")(x)
    x = batch_norm("stem_bn")(x)
    if stride == 4:
        x = keras_layers.MaxPooling2D(3, 2, padding="same", name="stem_pool")(x)
    return x


def shortcut(x, filters: int, strides: int, name: str):
    """The real-valued path around a unit: untouched, or pooled and projected where the resolution halves."""
    if strides > 1:
        x = keras_layers.AveragePooling2D(strides, strides, padding="same", name=f"{name}_shortcut_pool")(x)
    if x.shape[-1] != filters:
        x = float_conv(filters, 1, 1, f"{name}_shortcut_conv")(x)
        x = batch_norm(f"{name}_shortcut_bn")(x)
    return x


def unit(x, filters: int, strides: int, config: ResNetConfig, name: str):
    """Sign, binary 3x3, batch norm, non-linearity, add: (N, H, W, C) to (N, H/strides, W/strides, filters)."""
    y = binary_conv(filters, 3, strides=strides, name=f"{name}_conv")(x)
    y = batch_norm(f"{name}_bn")(y)
    y = nonlinearities.create(config.nonlinearity, slopes=config.slopes, layer_name=f"{name}_act")(y)
    return keras_layers.Add(name=f"{name}_add")([y, shortcut(x, filters, strides, name)])


def head(x, num_classes: int):
    """(N, H, W, C) to (N, num_classes) probabilities; the layer `logits` holds what the softmax sees, in float32."""
    if x.shape[1] and x.shape[2]:
        # Faster in LCE than GlobalAveragePooling2D.
        x = keras_layers.AveragePooling2D(tuple(x.shape[1:3]), name="pool")(x)
        x = keras_layers.Flatten(name="flatten")(x)
    else:
        x = keras_layers.GlobalAveragePooling2D(name="pool")(x)
    x = keras_layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras_layers.Softmax(dtype="float32", name="probabilities")(x)
