"""Give a network the end that is needed: logits or probabilities."""

from __future__ import annotations

import tensorflow as tf


def up_to_logits(model: tf.keras.Model) -> tf.keras.Model:
    """The model without the softmax at its end; a model without one is returned unchanged.

    Layers and weights are shared with `model`. If the last layer applies the softmax as its activation, a copy of that
    layer without activation replaces it. If the last layer is itself a model, its softmax is removed.
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
    """The model with a softmax at its end, or a sigmoid behind one score; one that ends in either stays as it is."""
    if gives_probabilities(model):
        return model
    taken, name = [layer.name for layer in model.layers], "probabilities"
    while name in taken:
        name += "_"
    # One score is of two classes, with 0 as the logit of the first: their softmax is the score's sigmoid.
    one_score = model.output_shape[-1] == 1
    end = tf.keras.layers.Activation("sigmoid", name=name) if one_score else tf.keras.layers.Softmax(name=name)
    return tf.keras.Model(model.inputs, end(model.output), name=model.name)


def gives_probabilities(model: tf.keras.Model) -> bool:
    """Whether a model ends in a softmax or in sigmoids."""
    return up_to_logits(model) is not model or _ends_in_sigmoid(model)


def _ends_in_sigmoid(model: tf.keras.Model) -> bool:
    last = model.outputs[0].node.layer
    if isinstance(last, tf.keras.Model):
        return _ends_in_sigmoid(last)
    symbol = getattr(last, "symbol", None)
    return getattr(last, "activation", None) is tf.keras.activations.sigmoid or symbol == "math.sigmoid"


def _is_softmax(layer: tf.keras.layers.Layer) -> bool:
    """Whether a layer is only a softmax: Keras's Softmax, an Activation, or tf.nn.softmax."""
    if isinstance(layer, tf.keras.layers.Activation):
        return _softens(layer)
    return isinstance(layer, tf.keras.layers.Softmax) or getattr(layer, "symbol", None) == "nn.softmax"


def _softens(layer: tf.keras.layers.Layer) -> bool:
    return getattr(layer, "activation", None) is tf.keras.activations.softmax
