"""Give a network the end that is needed: logits or probabilities."""

from __future__ import annotations

import tensorflow as tf

# Layers and TensorFlow's functions that leave scores as they are, but for their precision and the shape of the row.
_LEAVING = (
    tf.keras.layers.ActivityRegularization,
    tf.keras.layers.Dropout,
    tf.keras.layers.Flatten,
    tf.keras.layers.GaussianNoise,
    tf.keras.layers.Identity,
    tf.keras.layers.Reshape,
)
_LEAVING_FUNCTIONS = ("cast", "identity", "reshape", "compat.v1.squeeze")
# Keras's functions and TensorFlow's, either of which may be the activation of a layer.
_SOFTMAX = (tf.keras.activations.softmax, tf.nn.softmax)
_SIGMOID = (tf.keras.activations.sigmoid, tf.keras.activations.hard_sigmoid, tf.sigmoid)


def up_to_logits(model: tf.keras.Model) -> tf.keras.Model:
    """The model without the softmax at its end; a model without one is returned unchanged.

    Layers and weights are shared with `model`. If the last layer applies the softmax as its activation, a copy of that
    layer without activation replaces it. If the last layer is itself a model, its softmax is removed. Layers behind the
    softmax that change nothing, such as the cast that ends a network of mixed precision, stay.
    """
    # A subclassed model has no graph.
    if len(model.outputs or ()) != 1:
        return model
    logits = _logits(model.outputs[0])
    return model if logits is model.outputs[0] else tf.keras.Model(model.inputs, logits, name=model.name)


def _logits(scores):
    """The tensor `scores` without the softmax that makes it; the same tensor if none does."""
    node = scores.node
    layer, front = node.layer, _front(scores)
    if front is None:
        return scores
    if _changes_nothing(scores):
        logits = _logits(front)
        return scores if logits is front else layer(logits, *node.call_args[1:], **node.call_kwargs)
    inner = _inner(scores)
    if inner is not None:
        within = _logits(inner)
        if within is inner:
            return scores
        return tf.keras.Model(layer.inputs, within, name=layer.name)(*node.call_args, **node.call_kwargs)
    if _is_softmax(layer):
        return front
    if not _applies(layer, _SOFTMAX):
        return scores
    linear = type(layer).from_config({**layer.get_config(), "activation": "linear"})
    logits = linear(front)
    linear.set_weights(layer.get_weights())
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
    """Whether a model ends in a softmax, in sigmoids, or in a mean of such."""
    return bool(model.outputs) and _are_probabilities(model.outputs[0])


def _are_probabilities(scores) -> bool:
    made = _made(scores)
    layer = made.node.layer
    if type(layer) is tf.keras.layers.Average:
        return all(map(_are_probabilities, made.node.keras_inputs))
    return _is_softmax(layer) or _applies(layer, (*_SOFTMAX, *_SIGMOID)) or _symbol(layer) == "math.sigmoid"


def last_layer(model: tf.keras.Model) -> tf.keras.layers.Layer:
    """The layer that makes the scores, in a model within the model too. Of a subclassed model the model itself."""
    return _made(model.outputs[0]).node.layer if model.outputs else model


def _made(scores):
    """The tensor that the last layer makes of which `scores` are, but for what changes nothing."""
    if _changes_nothing(scores):
        return _made(_front(scores))
    inner = _inner(scores)
    return scores if inner is None else _made(inner)


def _front(scores):
    """The tensor that the layer of `scores` reads; None for an input of the model."""
    return next(iter(scores.node.keras_inputs), None)


def _inner(scores):
    """The tensor of a model within the model that `scores` is; None if no such model, or a subclassed one, made it."""
    layer = scores.node.layer
    # A subclassed model has no graph.
    if not isinstance(layer, tf.keras.Model) or not layer.outputs:
        return None
    return layer.outputs[scores._keras_history.tensor_index]


def _changes_nothing(scores) -> bool:
    """Whether the layer of `scores` gives a picture's row of scores as it is."""
    layer, front = scores.node.layer, _front(scores)
    if front is None or not front.shape[1:].num_elements() == front.shape[-1] == scores.shape[-1]:
        return False
    if isinstance(layer, tf.keras.layers.Activation):
        return _applies(layer, (tf.keras.activations.linear,))
    return isinstance(layer, _LEAVING) or _symbol(layer) in _LEAVING_FUNCTIONS


def _is_softmax(layer: tf.keras.layers.Layer) -> bool:
    """Whether a layer is only a softmax: Keras's Softmax, an Activation, or tf.nn.softmax."""
    if isinstance(layer, tf.keras.layers.Activation):
        return _applies(layer, _SOFTMAX)
    return isinstance(layer, tf.keras.layers.Softmax) or _symbol(layer) == "nn.softmax"


def _applies(layer: tf.keras.layers.Layer, functions: tuple) -> bool:
    """Whether a layer's activation is one of `functions`."""
    return getattr(layer, "activation", None) in functions


def _symbol(layer: tf.keras.layers.Layer) -> str | None:
    """The name of the TensorFlow function that a layer is; None for any other layer."""
    return getattr(layer, "symbol", None)
