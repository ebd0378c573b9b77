"""Networks by name: models of the zoo, larq-zoo's as `larq_zoo:NAME`, tf.keras.applications' as `keras:NAME`.

Checking a name does not import TensorFlow.
"""

from __future__ import annotations

import dataclasses

from ftbnn_larq import documents, zoo
from ftbnn_larq.errors import ConfigError, UnknownNameError
from ftbnn_larq.models.config import check_size
from ftbnn_larq.recipe import Recipe
from ftbnn_larq.zoo import applications, peers

# Networks of others. Each module has PREFIX, NAMES, known_options, check_options and create.
OTHERS = (peers, applications)
HINT = f"(networks of others: {', '.join(f'{others.PREFIX}NAME' for others in OTHERS)})"


def names() -> list[str]:
    """Names of all networks that can be built."""
    return [*zoo.list_models(), *(name for others in OTHERS for name in others.NAMES)]


def _others(name: str):
    """The module of `OTHERS` that has a network; None for the zoo's own."""
    return next((others for others in OTHERS if name in others.NAMES), None)


def check(name: str, options: dict) -> None:
    """Refuse an unknown name, or options that do not fit the network.

    Raises:
        UnknownNameError: a name or an option does not exist. The message gives the nearest ones.
        ConfigError: a value cannot be used, or the network does not have this option.
    """
    if others := _others(name):
        others.check_options(name, options)
    elif name in zoo.list_models():
        zoo.entry(name).config.replace(**options)
    else:
        raise UnknownNameError("model", name, names(), hint=HINT)


def check_recipe(name: str, how: Recipe) -> None:
    """Raise ConfigError if the network called `name` cannot be trained with a recipe."""
    if name in applications.NAMES:
        raise ConfigError(f"{name} is there for comparison and is not trained here: train a model of the zoo")
    if name in peers.NAMES and how.float_weights_epochs:
        raise ConfigError(
            f"float_weights_epochs = {how.float_weights_epochs}: {name} has Larq's own layers, whose weights are "
            "always binary; set it to 0"
        )
    if name in peers.NAMES and how.precision == "bfloat16":
        raise ConfigError(
            f"precision = bfloat16: {name} has Larq's own layers, which compute in float32 only; set it to auto"
        )


def options_of(name: str, options: dict) -> dict:
    """The `options` that the network called `name` has: all for models of the zoo, at most the width for others."""
    others = _others(name)
    return {key: value for key, value in options.items() if not others or key in others.known_options(name)}


def whole_configuration(name: str, options: dict) -> dict:
    """The full configuration of the network called `name` with `options`.

    A run stores it, so the run can be rebuilt after the zoo's defaults change. A network of others has only the
    options.

    Raises:
        UnknownNameError: as for `check`.
        ConfigError: as for `check`.
    """
    check(name, options)
    return options if _others(name) else dataclasses.asdict(zoo.entry(name).config.replace(**options))


def create(name: str, **arguments):
    """Build the network called `name`. Arguments as for `zoo.create_model`, `peers.create`, `applications.create`."""
    others = _others(name)
    check_size(arguments.get("input_shape"), arguments.get("num_classes") or 1)
    return others.create(name, **arguments) if others else zoo.create_model(name, **arguments)


def rebuild(described: documents.Network):
    """Build the network that a run or a weights file describes, with random weights.

    Raises:
        UnknownNameError, ConfigError: there is no such network any more, or it cannot be built with these options.
    """
    check(described.name, described.options)
    shape = {"input_shape": described.input_shape, "num_classes": described.classes}
    return create(described.name, **shape, **described.options)
