"""Published binary networks to compare with, as larq-zoo builds them. Their names are readable without TensorFlow."""

from __future__ import annotations

import contextlib
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


def create(name: str, *, input_shape: tuple = (224, 224, 3), num_classes: int = 1000, include_top: bool = True):
    """Build a model of larq-zoo with random weights; nothing is downloaded.

    Args:
        name: one of `NAMES`, such as "larq_zoo:QuickNet".
        input_shape: (height, width, channels).
        num_classes: classes to tell apart.
        include_top: end in probabilities (N, num_classes), else in features (N, h, w, c).

    Raises:
        UnknownNameError: a name that is not in the table.
        ConfigError: an input shape that larq-zoo cannot build the model for.
    """
    if name not in NAMES:
        raise UnknownNameError("model", name, NAMES)
    own_name = name.removeprefix(PREFIX)
    factory = getattr(importlib.import_module(_HOMES[own_name]), own_name)
    try:
        with _no_advice_on_training():
            return factory(input_shape=input_shape, num_classes=num_classes, include_top=include_top, weights=None)
    except ValueError as error:
        too_small = "Negative dimension" in str(error) or "negative value in a dimension" in str(error)
        reason = "it pools more often than such a picture can be halved" if too_small else one_line(error)
        raise ConfigError(f"{name} cannot be built for {'x'.join(map(str, input_shape))}: {reason}") from error


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
