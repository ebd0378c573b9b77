"""Build a Keras model from a configuration."""

from __future__ import annotations

import tensorflow as tf

from ftbnn_larq.errors import ConfigError
from ftbnn_larq.models import blocks
from ftbnn_larq.models.config import ResNetConfig, check_size

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
    """Build a residual network of binary convolutions.

    Arguments:
        config: the network's configuration.
        input_shape: (height, width, channels) of a picture; (224, 224, 3) if None.
        input_tensor: a Keras tensor (N, height, width, channels) to build on, instead of `input_shape`.
        include_top: True for an output of probabilities (N, num_classes), False for the last features (N, h, w, c).
        num_classes: number of classes, 2 or more.
        name: name of the model.

    Raises:
        ConfigError: pictures are too small or too large for the network, or there are fewer than 2 or too many classes.
    """
    check_size(input_shape, num_classes)
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
