"""Networks of larq-zoo, with random weights or those of ImageNet. Reading their names does not import TensorFlow."""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging

from ftbnn_larq.documents import DataConfig, quoted
from ftbnn_larq.errors import ConfigError, UnknownNameError, one_line
from ftbnn_larq.models.config import MOST_CHANNELS
from ftbnn_larq.zoo import imagenet

PREFIX = "larq_zoo:"

# larq-zoo's name -> its module (https://docs.larq.dev/zoo/api/literature/, https://docs.larq.dev/zoo/api/sota/)
_HOMES = {
    "BiRealNet": "larq_zoo.literature",
    "BinaryAlexNet": "larq_zoo.literature",
    "BinaryDenseNet28": "larq_zoo.literature",
    "BinaryDenseNet37": "larq_zoo.literature",
    "BinaryDenseNet37Dilated": "larq_zoo.literature",
    "BinaryDenseNet45": "larq_zoo.literature",
    "BinaryResNetE18": "larq_zoo.literature",
    "DoReFaNet": "larq_zoo.literature",
    "MeliusNet22": "larq_zoo.literature",
    "QuickNet": "larq_zoo.sota",
    "QuickNetLarge": "larq_zoo.sota",
    "QuickNetSmall": "larq_zoo.sota",
    "RealToBinaryNet": "larq_zoo.literature",
    "XNORNet": "larq_zoo.literature",
}

NAMES = tuple(PREFIX + name for name in _HOMES)

# Top-1 on ImageNet's validation split of each network's published weights, as larq-zoo 2.4 says in its documentation.
PUBLISHED_TOP1 = {
    "larq_zoo:BiRealNet": 0.5747,
    "larq_zoo:BinaryAlexNet": 0.3630,
    "larq_zoo:BinaryDenseNet28": 0.6091,
    "larq_zoo:BinaryDenseNet37": 0.6289,
    "larq_zoo:BinaryDenseNet37Dilated": 0.6434,
    "larq_zoo:BinaryDenseNet45": 0.6459,
    "larq_zoo:BinaryResNetE18": 0.5832,
    "larq_zoo:DoReFaNet": 0.5339,
    "larq_zoo:MeliusNet22": 0.624,
    "larq_zoo:QuickNet": 0.633,
    "larq_zoo:QuickNetLarge": 0.669,
    "larq_zoo:QuickNetSmall": 0.594,
    "larq_zoo:RealToBinaryNet": 0.6501,
    "larq_zoo:XNORNet": 0.4496,
}


# Networks whose width can be chosen: one number, the filters of the first stage.
_SCALABLE = ("BiRealNet", "RealToBinaryNet")


def known_options(name: str) -> tuple[str, ...]:
    """Names of the options that a network of larq-zoo has here."""
    return ("width",) if name.removeprefix(PREFIX) in _SCALABLE else ()


def check_options(name: str, options: dict) -> None:
    """Refuse options that a network of larq-zoo does not have.

    Raises:
        UnknownNameError: there is no such network.
        ConfigError: the network does not have an option, or a value cannot be used.
    """
    if name not in NAMES:
        raise UnknownNameError("model", name, NAMES)
    known = known_options(name)
    for option, value in options.items():
        if option not in known:
            raise ConfigError(
                f"{option} {value}: leave it out, {name} is built as published"
                f"{', except for its width' if known else ''}"
            )
        if not isinstance(value, int) or not 1 <= value <= MOST_CHANNELS:
            raise ConfigError(
                f"{option} {quoted(value)} is not a number of filters: give a whole number from 1 to {MOST_CHANNELS}"
            )


def create(
    name: str,
    *,
    input_shape: tuple = (224, 224, 3),
    num_classes: int = 1000,
    include_top: bool = True,
    width: int | None = None,
):
    """Build a network of larq-zoo with random weights. Nothing is downloaded.

    Arguments:
        name: one of `NAMES`, such as "larq_zoo:QuickNet".
        input_shape: (height, width, channels).
        num_classes: number of classes.
        include_top: True for an output of probabilities (N, num_classes), False for features (N, h, w, c).
        width: filters of the first stage, for Bi-Real Net and Real-to-Binary only. With it, small pictures get the stem
            of our own networks; the original 7x7 and pool would leave too few pixels.

    Raises:
        UnknownNameError: there is no such network.
        ConfigError: larq-zoo cannot build the network for this input shape, or the width cannot be used.
    """
    own_name, factory = _factory(name)
    if width is not None:
        check_options(name, {"width": width})
        factory = functools.partial(_scaled, own_name, width)
    try:
        with _no_advice_on_training():
            return factory(input_shape=input_shape, num_classes=num_classes, include_top=include_top, weights=None)
    except ValueError as error:
        too_small = "Negative dimension" in str(error) or "negative value in a dimension" in str(error)
        reason = "such pictures are too small for its strides" if too_small else one_line(error)
        raise ConfigError(f"{name} cannot be built for {'x'.join(map(str, input_shape))}: {reason}") from error


def is_reference(text: str) -> bool:
    """Whether `text` has the form larq_zoo:NAME:WEIGHTS."""
    return text.startswith(PREFIX) and text.count(":") == 2


def trained_on(name: str) -> DataConfig:
    """What the weights of ImageNet were trained on."""
    return imagenet.config("larq_zoo")


def pretrained(name: str):
    """A network of larq-zoo with its weights of ImageNet, by larq-zoo's own loader, which checks their SHA-256.

    They are downloaded once, and kept in Keras's cache.

    Returns:
        A Keras model from pictures (N, 224, 224, 3), prepared as "larq_zoo", to probabilities (N, 1000).

    Raises:
        UnknownNameError: there is no such network.
        ModelFileError: the weights cannot be downloaded, or are damaged.
    """
    _, factory = _factory(name)
    with _no_advice_on_training(), imagenet.download(name):
        return factory(weights=imagenet.WEIGHTS)


def _factory(name: str):
    """A network's name in larq-zoo, and the function that builds it."""
    if name not in NAMES:
        raise UnknownNameError("model", name, NAMES)
    own_name = name.removeprefix(PREFIX)
    return own_name, getattr(importlib.import_module(_HOMES[own_name]), own_name)


def _scaled(own_name: str, width: int, **arguments):
    """Build a network with `width` filters in its first stage, by larq-zoo's own factory."""
    import larq_zoo
    from zookeeper import factory

    from ftbnn_larq.models import blocks

    def small_stem(pictures, otherwise):
        height, width_of_picture = pictures.shape[1:3]
        stride = blocks.stem_stride(min(height, width_of_picture))
        if stride == 4:
            return otherwise
        return blocks.batch_norm("stem_bn")(blocks.float_conv(width, 3, stride, "stem_conv")(pictures))

    if own_name == "BiRealNet":

        @factory
        class Scaled(larq_zoo.literature.birealnet.BiRealNetFactory):
            def residual_block(self, x, double_filters=False, filters=None):
                # Only the first block, directly after the stem, gets `filters`.
                x = small_stem(self.image_input, x) if filters else x
                return super().residual_block(x, double_filters, filters)

        return Scaled(filters=width, **arguments).build()

    @factory
    class Scaled(larq_zoo.literature.real_to_bin_nets.RealToBinNetBNNFactory):
        def first_block(self, x, use_prelu=True, name=""):
            stem = blocks.float_conv(width, 7, 2, f"{name}_conv2d")(x)
            stem = tf.keras.layers.BatchNormalization(momentum=self.momentum, name=f"{name}_batch_norm")(stem)
            stem = tf.keras.layers.PReLU(shared_axes=[1, 2], name=f"{name}_prelu")(stem)
            return small_stem(x, tf.keras.layers.MaxPool2D(3, 2, padding="same", name=f"{name}_pool")(stem))

    import tensorflow as tf

    return Scaled(model_name="r2b", **arguments).build()


@contextlib.contextmanager
def _no_advice_on_training():
    # Larq warns about each layer whose latent weights are not clipped. Those of DoReFa-Net are not, as published.
    log = logging.getLogger("larq")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)
