"""The register of the zoo: for each name a configuration, a builder, and what is published."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ftbnn_larq.errors import ConfigError, ModelFileError, UnknownNameError
from ftbnn_larq.files import read_json, sha256
from ftbnn_larq.models.config import ResNetConfig, check_size

WEIGHTS = Path(__file__).parent / "weights"
CHECKSUMS = "sha256.json"


class Entry(NamedTuple):
    """A model of the zoo.

    Attributes:
        config: its configuration.
        factory: function that builds it.
        summary: one line on it.
        description: more on it.
    """

    config: ResNetConfig
    factory: Callable
    summary: str
    description: str


MODELS: dict[str, Entry] = {}


def model(config: ResNetConfig):
    """Decorator that adds a model to the zoo, under its function's name.

    The first line of the docstring becomes its summary, the rest its description.
    """

    def enter(function):
        name = function.__name__

        def factory(
            *,
            input_shape=None,
            input_tensor=None,
            weights: str | None = None,
            include_top: bool = True,
            num_classes: int | None = None,
            **options,
        ):
            from ftbnn_larq.models import resnet
            from ftbnn_larq.models.weights import is_compact, load_weights, read_description
            from ftbnn_larq.zoo import fit

            check_size(input_shape, num_classes or 1)
            file = None if weights is None else _weights_file(name, weights)
            if file is not None and is_compact(file):
                theirs = read_description(file).model
                if theirs.name != name:
                    raise ModelFileError(f"{file}: weights of {theirs.name}, not of {name}")
                shape = input_shape if input_tensor is None else tuple(input_tensor.shape[1:])
                fit.check(
                    name,
                    str(weights),
                    theirs,
                    shape=shape,
                    classes=num_classes if include_top else None,
                    is_published=weights in published_weights(name),
                )
                try:
                    config.replace(**theirs.options)
                except (ConfigError, UnknownNameError) as error:
                    raise ModelFileError(f"{file}: damaged: {error}") from error
                options = {**theirs.options, **options}
                input_shape = input_shape or (None if input_tensor is not None else theirs.input_shape)
                num_classes = num_classes or theirs.classes
            model = resnet.build(
                config.replace(**options),
                input_shape=input_shape,
                input_tensor=input_tensor,
                include_top=include_top,
                num_classes=1000 if num_classes is None else num_classes,
                name=name,
            )
            if file is not None:
                load_weights(model, file)
            return model

        factory.__name__ = factory.__qualname__ = name
        factory.__module__ = function.__module__
        factory.__doc__ = inspect.cleandoc(function.__doc__) + _ARGUMENTS
        summary, _, description = inspect.cleandoc(function.__doc__).partition("\n\n")
        MODELS[name] = Entry(config, factory, summary, description)
        return factory

    return enter


_ARGUMENTS = """

All arguments are keyword-only, as in keras.applications.

Arguments:
    input_shape: (height, width, channels); (224, 224, 3) if None.
    input_tensor: a Keras tensor to build on, instead of input_shape.
    weights: None (random weights), the name of a data set with published weights, or the path of a file: .npz,
        .weights.h5, or another HDF5 or .keras file that Keras wrote. Published weights bring their own input shape,
        number of classes and options.
    include_top: True for an output of float32 probabilities (N, num_classes), False for features (N, h, w, c).
    num_classes: number of classes; 1,000 if None.
    **options: fields of `ResNetConfig` to change: width, nonlinearity, slopes, ...

Returns:
    A Keras model.

Raises:
    ConfigError: pictures are too small for the network, LCE cannot pack the width or the groups, no such weights are
        published, or they are for other classes or pictures.
    ModelFileError: the weights file is damaged, or of another network.
    UnknownNameError: an option or a non-linearity does not exist.
"""


def entry(name: str) -> Entry:
    """Configuration, builder and description of the model called `name`.

    Raises:
        UnknownNameError: there is no such model. The message gives the nearest names.
    """
    if name not in MODELS:
        raise UnknownNameError("model", name, MODELS)
    return MODELS[name]


def published_weights(name: str) -> list[str]:
    """Names of the data sets for which weights of the model `name` are published."""
    return sorted(path.stem.split("-", 1)[1] for path in WEIGHTS.glob(f"{name}-*.npz"))


def published(name: str, dataset: str, suffix: str = ".npz") -> Path:
    """Path of a published file, after checking its SHA-256.

    Arguments:
        name: the model.
        dataset: the data set it was trained on.
        suffix: ".npz" for weights, ".tflite" for the flatbuffer, ".json" for the flatbuffer's description and proof.

    Raises:
        UnknownNameError: there is no such model.
        ConfigError: nothing is published for that data set. The message names those with published weights.
        ModelFileError: the file is missing or not the published one.
    """
    entry(name)
    known = published_weights(name)
    if dataset not in known:
        raise ConfigError(
            f"{name} has no published weights {dataset!r} (published: {', '.join(known) or 'none'}): name a file of "
            f"your own, or train one with `ftbnn-larq train {name}`"
        )
    path = WEIGHTS / f"{name}-{dataset}{suffix}"
    wanted = read_json(WEIGHTS / CHECKSUMS).get(path.name)
    if not path.is_file() or sha256(path) != wanted:
        raise ModelFileError(
            f"{path}: its SHA-256 is not that of the published file, {wanted}: install the package again"
        )
    return path


def _weights_file(name: str, weights: str) -> Path:
    return (
        Path(weights)
        if weights not in published_weights(name) and Path(weights).is_file()
        else published(name, weights)
    )
