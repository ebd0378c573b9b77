"""Binary dense layers, for which LCE has no operator, as the binary convolutions that they are."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import larq as lq
import tensorflow as tf

from ftbnn_larq.conversion.passes.groups import WORD
from ftbnn_larq.models.layers import is_binary


@contextlib.contextmanager
def as_convolutions() -> Iterator[None]:
    """While the block runs, Larq's binary dense layers compute as convolutions when they are traced.

    LCE's converter then finds a binary convolution with the same weights and the same answers. Behind a Flatten its
    window is the whole map, so that the signs are packed from the map; else it is 1x1 on a row of features.
    """
    kept = vars(lq.layers.QuantDense).get("call")
    plain = lq.layers.QuantDense.call

    @tf.autograph.experimental.do_not_convert  # which would take longer than the rest
    def call(layer, inputs):
        return _convolution(layer, inputs) if is_convertible(layer) else plain(layer, inputs)

    lq.layers.QuantDense.call = call
    try:
        yield
    finally:
        if kept is None:
            del lq.layers.QuantDense.call
        else:
            lq.layers.QuantDense.call = kept


def is_convertible(layer) -> bool:
    """Whether a layer is Larq's dense layer with both quantizers binary; one with a `call` of its own is not."""
    # While the block above runs, the class has a method, which is not the one of a class derived from it.
    return (
        isinstance(layer, lq.layers.QuantDense) and is_binary(layer) and type(layer).call is lq.layers.QuantDense.call
    )


def _convolution(layer, inputs):
    features = _before_flatten(inputs)
    if features is None:
        features = tf.reshape(inputs, (1, 1, -1, inputs.shape[-1]))
        window = (1, 1)
    else:
        window = tuple(features.shape[1:3])
    with lq.context.quantized_scope(True):
        kernel = tf.reshape(tf.convert_to_tensor(layer.kernel), (*window, features.shape[-1], layer.units))
    outputs = tf.nn.conv2d(layer.input_quantizer(features), kernel, strides=1, padding="VALID")
    if layer.use_bias:
        outputs = tf.nn.bias_add(outputs, layer.bias)
    outputs = tf.reshape(outputs, (*inputs.shape[:-1], layer.units))
    return outputs if layer.activation is None else layer.activation(outputs)


def _before_flatten(inputs):
    """The map (1, h, w, c) that a Flatten made these features (1, h * w * c) of; None if it did not.

    None too where its channels do not fill the words of signs: in a row of features only the last word is not full.
    """
    while inputs.op.type == "Identity":
        inputs = inputs.op.inputs[0]
    if inputs.op.type != "Reshape" or inputs.shape.rank != 2:
        return None
    features = inputs.op.inputs[0]
    return features if features.shape.rank == 4 and features.shape[-1] % WORD == 0 else None
