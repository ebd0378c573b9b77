"""A frozen configuration in, a Keras model out."""

from __future__ import annotations

import tensorflow as tf

from ftbnn_larq import blocks
from ftbnn_larq.config import ResNetConfig
from ftbnn_larq.errors import ConfigError

DEFAULT_INPUT_SHAPE = (224, 224, 3)


def build(
    config: ResNetConfig,
    *,
    input_shape: tuple[int | None, int | None, int] | None = None,
    input_tensor=None,
    include_top: bool = True,
    num_classes: int = 1000,
    name: str = "resnet",
) -> tf.keras.Model:
    """A residual network of binary convolutions.

    Arguments:
        config: what to build.
        input_shape: (height, width, channels) of a picture; (224, 224, 3) unless given.
        input_tensor: a Keras tensor (N, height, width, channels) to build upon, in place of `input_shape`.
        include_top: end in probabilities (N, num_classes), else in the last features (N, h, w, c).
        num_classes: classes to tell apart, two or more.

    Raises:
        ConfigError: a picture smaller than the network's stride, or fewer than two classes.
    """
    if input_tensor is None:
        inputs = tf.keras.Input(input_shape or DEFAULT_INPUT_SHAPE, name="picture")
    else:
        inputs = input_tensor
    if include_top and num_classes < 2:
        raise ConfigError(f"num_classes is {num_classes}: a classifier needs at least 2")
    least = 2 ** (len(config.units) - 1)
    sides = [side for side in inputs.shape[1:3] if side]
    if sides and min(sides) < least:
        raise ConfigError(
            f"pictures of {inputs.shape[1]}x{inputs.shape[2]} pixels: the network halves the resolution "
            f"{len(config.units) - 1} times and needs at least {least}x{least}"
        )

    x = blocks.stem(inputs, config)
    for stage, units in enumerate(config.units):
        for index in range(units):
            strides = 2 if stage > 0 and index == 0 else 1
            unit, filters = f"stage{stage + 1}_unit{index + 1}", config.channels(stage)
            if config.transition == "before":
                x, strides = blocks.shortcut(x, filters, strides, config, unit), 1
            x = blocks.unit(x, filters, strides, config.groups(stage, index), config.turn(stage, index), config, unit)
    if include_top:
        x = blocks.head(x, num_classes)
    if input_tensor is not None:
        inputs = tf.keras.utils.get_source_inputs(input_tensor)
    return tf.keras.Model(inputs, x, name=name)


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
