"""Float networks of tf.keras.applications, to compare with and as teachers. Their names need no TensorFlow."""

from __future__ import annotations

import inspect
import sys
from typing import Any

from ftbnn_larq.documents import DataConfig
from ftbnn_larq.errors import ConfigError, UnknownNameError, one_line
from ftbnn_larq.zoo import imagenet

PREFIX = "keras:"

# https://keras.io/api/applications/, without the aliases.
_FAMILIES = """
ConvNeXtBase ConvNeXtLarge ConvNeXtSmall ConvNeXtTiny ConvNeXtXLarge
DenseNet121 DenseNet169 DenseNet201
EfficientNetB0 EfficientNetB1 EfficientNetB2 EfficientNetB3 EfficientNetB4 EfficientNetB5 EfficientNetB6 EfficientNetB7
EfficientNetV2B0 EfficientNetV2B1 EfficientNetV2B2 EfficientNetV2B3 EfficientNetV2L EfficientNetV2M EfficientNetV2S
InceptionResNetV2 InceptionV3
MobileNet MobileNetV2 MobileNetV3Large MobileNetV3Small
NASNetLarge NASNetMobile
RegNetX002 RegNetX004 RegNetX006 RegNetX008 RegNetX016 RegNetX032 RegNetX040 RegNetX064 RegNetX080 RegNetX120
RegNetX160 RegNetX320
RegNetY002 RegNetY004 RegNetY006 RegNetY008 RegNetY016 RegNetY032 RegNetY040 RegNetY064 RegNetY080 RegNetY120
RegNetY160 RegNetY320
ResNet50 ResNet101 ResNet152 ResNet50V2 ResNet101V2 ResNet152V2
ResNetRS50 ResNetRS101 ResNetRS152 ResNetRS200 ResNetRS270 ResNetRS350 ResNetRS420
VGG16 VGG19
Xception
"""

NAMES = tuple(PREFIX + name for name in _FAMILIES.split())


def known_options(name: str) -> tuple[str, ...]:
    """Names of the options that such a network has here: none."""
    return ()


def check_options(name: str, options: dict) -> None:
    """Refuse every option, for these networks are built as published. Raises ConfigError."""
    for option, value in options.items():
        raise ConfigError(f"{option} {value}: leave it out, {name} is built as published")


def create(name: str, *, input_shape: tuple = (224, 224, 3), num_classes: int = 1000):
    """Build a network of tf.keras.applications with random weights. Nothing is downloaded.

    Arguments:
        name: one of `NAMES`, such as "keras:MobileNetV2".
        input_shape: (height, width, channels). Where the network's own preprocessing can be left out, it is: the
            pictures come normalized, as for every other network here.
        num_classes: number of classes.

    Returns:
        A model whose output is probabilities (N, num_classes).

    Raises:
        UnknownNameError: there is no such network.
        ConfigError: the network cannot be built for this input shape.
    """
    function = _function(name)
    options = (
        {"include_preprocessing": False} if "include_preprocessing" in inspect.signature(function).parameters else {}
    )
    try:
        return function(input_shape=tuple(input_shape), classes=num_classes, weights=None, **options)
    except ValueError as error:
        raise ConfigError(f"{name} cannot be built for {'x'.join(map(str, input_shape))}: {one_line(error)}") from error


def pretrained(name: str) -> tuple[Any, DataConfig]:
    """A network of tf.keras.applications with its weights of ImageNet, by Keras's own loader.

    They are downloaded once, and kept in Keras's cache.

    Arguments:
        name: one of `NAMES`.

    Returns:
        A model from pixels from 0 to 255 (N, h, w, 3), which it prepares as in its training, to scores (N, 1000); and
        the preprocessing and labels that this asks for.

    Raises:
        UnknownNameError: there is no such network.
        ModelFileError: the weights cannot be downloaded, or are damaged.
    """
    function = _function(name)
    import tensorflow as tf

    with imagenet.download(name):
        network = function(weights=imagenet.WEIGHTS)
    # Some take pictures of any size.
    pictures = tf.keras.Input(network.input_shape[1:])
    # It does nothing where the network itself begins with its preprocessing.
    prepare = sys.modules[function.__module__].preprocess_input
    return tf.keras.Model(pictures, network(prepare(pictures)), name=network.name), imagenet.config("raw")


def _function(name: str):
    if name not in NAMES:
        raise UnknownNameError("model", name, NAMES)
    import tensorflow as tf

    return getattr(tf.keras.applications, name.removeprefix(PREFIX))
