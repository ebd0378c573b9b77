"""Published binary networks to compare with, as larq-zoo builds them. Their names are readable without TensorFlow."""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging

from ftbnn_larq.errors import ConfigError, UnknownNameError, one_line

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


# Networks whose width is one number, the filters of the first stage.
_SCALABLE = ("BiRealNet", "RealToBinaryNet")


def known_options(name: str) -> tuple[str, ...]:
    return ("width",) if name.removeprefix(PREFIX) in _SCALABLE else ()


def check_options(name: str, options: dict) -> None:
    """Refuse options that a model of larq-zoo does not have. Raises UnknownNameError or ConfigError."""
    if name not in NAMES:
        raise UnknownNameError("model", name, NAMES)
    known = known_options(name)
    for option, value in options.items():
        if option not in known:
            raise ConfigError(f"{option} {value}: {name} is built as published{', but for its width' if known else ''}")
        if not isinstance(value, int) or value < 1:
            raise ConfigError(f"{option} {value!r} is not a number of filters")


def create(
    name: str,
    *,
    input_shape: tuple = (224, 224, 3),
    num_classes: int = 1000,
    include_top: bool = True,
    width: int | None = None,
):
    """Build a model of larq-zoo with random weights; nothing is downloaded.

    Args:
        name: one of `NAMES`, such as "larq_zoo:QuickNet".
        input_shape: (height, width, channels).
        num_classes: classes to tell apart.
        include_top: end in probabilities (N, num_classes), else in features (N, h, w, c).
        width: filters of the first stage, for Bi-Real Net and Real-to-Binary. Small pictures then get the stem that our
            own networks have for them, in place of a 7x7 and a pool that would leave nothing to see.

    Raises:
        UnknownNameError: a name that is not in the table.
        ConfigError: an input shape that larq-zoo cannot build the model for.
    """
    if name not in NAMES:
        raise UnknownNameError("model", name, NAMES)
    own_name = name.removeprefix(PREFIX)
    factory = getattr(importlib.import_module(_HOMES[own_name]), own_name)
    if width is not None:
        check_options(name, {"width": width})
        factory = functools.partial(_scaled, own_name, width)
    try:
        with _no_advice_on_training():
            return factory(input_shape=input_shape, num_classes=num_classes, include_top=include_top, weights=None)
    except ValueError as error:
        too_small = "Negative dimension" in str(error) or "negative value in a dimension" in str(error)
        reason = "it pools more often than such a picture can be halved" if too_small else one_line(error)
        raise ConfigError(f"{name} cannot be built for {'x'.join(map(str, input_shape))}: {reason}") from error


def _scaled(own_name: str, width: int, **arguments):
    """A network with `width` filters in its first stage, through larq-zoo's own factory."""
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
                # The filters are given for the first block only, which stands behind the stem.
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
    # Larq warns once a layer of weights that are not clipped; DoReFa-Net's are not, as published.
    log = logging.getLogger("larq")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)
