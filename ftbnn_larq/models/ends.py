"""The end of a network: logits or probabilities."""

from __future__ import annotations

import tensorflow as tf

from ftbnn_larq.errors import ConfigError


def up_to_logits(model: tf.keras.Model) -> tf.keras.Model:
    """The same layers and weights without the softmax at the end; a model without one is given back as it is.

    Where the last layer that has weights applies the softmax itself, a copy of it without stands in its place; where
    the last layer is a model, the softmax at its end is meant.
    """
    if len(model.outputs) != 1 or not model.outputs[0].node.keras_inputs:
        return model
    node = model.outputs[0].node
    last, front = node.layer, node.keras_inputs[0]
    if isinstance(last, tf.keras.Model):
        within = up_to_logits(last)
        if within is last:
            return model
        return tf.keras.Model(model.inputs, within(*node.call_args, **node.call_kwargs), name=model.name)
    if _is_softmax(last):
        return tf.keras.Model(model.inputs, front, name=model.name)
    if not _softens(last):
        return model
    linear = type(last).from_config({**last.get_config(), "activation": "linear"})
    logits = tf.keras.Model(model.inputs, linear(front), name=model.name)
    linear.set_weights(last.get_weights())
    return logits


def up_to_probabilities(model: tf.keras.Model) -> tf.keras.Model:
    """The same with a softmax at the end; a model that has one, or sigmoids, is given back as it is.

    Raises:
        ConfigError: it gives one score.
    """
    if up_to_logits(model) is not model or _ends_in_sigmoid(model):
        return model
    if model.output_shape[-1] == 1:
        raise ConfigError(
            f"{model.name} gives one score, whose softmax is always 1: leave the softmax out, or end in a sigmoid"
        )
    taken, name = [layer.name for layer in model.layers], "probabilities"
    while name in taken:
        name += "_"
    return tf.keras.Model(model.inputs, tf.keras.layers.Softmax(name=name)(model.output), name=model.name)


def _ends_in_sigmoid(model: tf.keras.Model) -> bool:
    last = model.outputs[0].node.layer
    if isinstance(last, tf.keras.Model):
        return _ends_in_sigmoid(last)
    symbol = getattr(last, "symbol", None)
    return getattr(last, "activation", None) is tf.keras.activations.sigmoid or symbol == "math.sigmoid"


def _is_softmax(layer: tf.keras.layers.Layer) -> bool:
    """Whether a layer is nothing else: Keras's, an activation, or tf.nn.softmax."""
    if isinstance(layer, tf.keras.layers.Activation):
        return _softens(layer)
    return isinstance(layer, tf.keras.layers.Softmax) or getattr(layer, "symbol", None) == "nn.softmax"


def _softens(layer: tf.keras.layers.Layer) -> bool:
    return getattr(layer, "activation", None) is tf.keras.activations.softmax
