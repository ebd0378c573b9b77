"""Networks by name: the zoo's, larq-zoo's as `larq_zoo:NAME`, and those of tf.keras.applications as `keras:NAME`.

Checking a name does not import TensorFlow.
"""

from __future__ import annotations

import dataclasses

from ftbnn_larq import zoo
from ftbnn_larq.errors import ConfigError, UnknownNameError
from ftbnn_larq.recipe import Recipe
from ftbnn_larq.zoo import applications, peers

# Networks of others. Each module has PREFIX, NAMES, known_options, check_options and create.
OTHERS = (peers, applications)
HINT = f"(networks of others: {', '.join(f'{others.PREFIX}NAME' for others in OTHERS)})"


def names() -> list[str]:
    return [*zoo.list_models(), *(name for others in OTHERS for name in others.NAMES)]


def _others(name: str):
    """The module of `OTHERS` that has a network; None for the zoo's own."""
    return next((others for others in OTHERS if name in others.NAMES), None)


def check(name: str, options: dict) -> None:
    """Refuse a name or options that fit no network.

    Raises:
        UnknownNameError: a name or an option that does not exist; the message has the nearest.
        ConfigError: a value that cannot be used, or an option of a network that has none.
    """
    if others := _others(name):
        others.check_options(name, options)
    elif name in zoo.list_models():
        zoo.entry(name).config.replace(**options)
    else:
        raise UnknownNameError("model", name, names(), hint=HINT)


def check_recipe(name: str, how: Recipe) -> None:
    """Raises ConfigError for a recipe that the network called `name` cannot be trained by."""
    if name in applications.NAMES:
        raise ConfigError(f"{name} is there to compare with, and is not trained here: train a model of the zoo")
    if name in peers.NAMES and how.float_weights_epochs:
        raise ConfigError(
            f"float_weights_epochs = {how.float_weights_epochs}: {name} has Larq's own layers, whose weights are "
            "always binary; set it to 0"
        )


def options_of(name: str, options: dict) -> dict:
    """Those of `options` that the network called `name` knows: all of them for the zoo's, the width for some peers."""
    others = _others(name)
    return {key: value for key, value in options.items() if not others or key in others.known_options(name)}


def whole_configuration(name: str, options: dict) -> dict:
    """Every field of what `options` make of the network called `name`, for a file that outlives the zoo's choices.

    A network of others has no configuration but the options. Raises as `check` does.
    """
    check(name, options)
    return options if _others(name) else dataclasses.asdict(zoo.entry(name).config.replace(**options))


def create(name: str, **arguments):
    """Build the network called `name`; arguments as for `zoo.create_model`, `peers.create`, `applications.create`."""
    others = _others(name)
    return others.create(name, **arguments) if others else zoo.create_model(name, **arguments)


def rebuild(described: dict):
    """The network that a run or a weights file describes, with random weights.

    Arguments:
        described: `name`, `options`, `input_shape` (height, width, channels) and `classes`.
    """
    shape = {"input_shape": tuple(described["input_shape"]), "num_classes": described["classes"]}
    return create(described["name"], **shape, **described["options"])
