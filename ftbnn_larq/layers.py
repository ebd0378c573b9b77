"""The binary convolution, as every model of the zoo uses it."""

from __future__ import annotations

import larq as lq
import tensorflow as tf


def binary_conv(filters: int, kernel_size: int = 3, *, strides: int = 1, name: str | None = None):
    """Larq's QuantConv2D with binary activations and binary weights, NHWC in and out, 'same' padding with +1.

    The sign of the activations is trained with Bi-Real Net's ApproxSign gradient; the sign of the latent weights
    with the straight-through estimator, and the latent weights are clipped to [-1, 1]. Padding with 1, unlike zero,
    keeps the padded border binary, so that every LCE kernel can be used.
    """
    return lq.layers.QuantConv2D(
        filters,
        kernel_size,
        strides=strides,
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
