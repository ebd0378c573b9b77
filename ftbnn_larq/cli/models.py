"""Models by name, the zoo's and those of others, for the commands that count them."""

from __future__ import annotations

import fnmatch

import click

from ftbnn_larq.documents import MOST_CLASSES, MOST_SIDE
from ftbnn_larq.errors import ConfigError, UnknownNameError
from ftbnn_larq.zoo import applications, networks


def size_options(command):
    """The options `input_size`, the side of a square picture in pixels, and `classes`."""
    size = click.option(
        "--input-size",
        type=click.IntRange(1, MOST_SIDE),
        default=224,
        show_default=True,
        help="Side of the square picture, in pixels.",
    )
    classes = click.option(
        "--classes",
        type=click.IntRange(1, MOST_CLASSES),
        default=1000,
        show_default=True,
        help="Classes to tell apart.",
    )
    return size(classes(command))


def find(given: tuple[str, ...], options: dict) -> list[str]:
    """The names that `given` names and shell patterns stand for, in that order; TensorFlow is not loaded.

    Raises:
        UnknownNameError: a name, a pattern or an option that fits nothing.
        ConfigError: an option with a value that cannot be used, or one that none of the models has.
    """
    known = networks.names()
    found = []
    for name in given:
        # Of Keras's networks there are many, and some take minutes to build: a pattern has to name them.
        among = [each for each in known if name.startswith(applications.PREFIX) or each not in applications.NAMES]
        fitting = [name] if name in known else fnmatch.filter(among, name)
        if not fitting:
            raise UnknownNameError("model", name, known, hint=networks.HINT)
        found += [each for each in fitting if each not in found]
    for name in found:
        networks.check(name, networks.options_of(name, options))
    taken = {option for name in found for option in networks.options_of(name, options)}
    if left := [f"{name} {value}" for name, value in options.items() if name not in taken]:
        raise ConfigError(f"{', '.join(left)}: not an option of {', '.join(found)}, built as published")
    return found


def counted(name: str, input_size: int, classes: int, options: dict) -> dict:
    """Build the model called `name` and count it, as `counts.count` does; `options` are for those that know them."""
    from ftbnn_larq.analysis.counts import count

    arguments = {"input_shape": (input_size, input_size, 3), "num_classes": classes}
    network = networks.create(name, **arguments, **networks.options_of(name, options))
    return {**count(network), "name": name}


def tell_uncounted(document: dict) -> None:
    """A line on standard output if a model has layers whose cost is not known."""
    if document.get("uncounted"):
        layers = ", ".join(document["uncounted"])
        click.echo(f"{document['name']}: MACs and OPs are too low: these layers are not counted: {layers}")
