"""Trained networks as sources of a training: start weights and teachers."""

from __future__ import annotations

import dataclasses
import fnmatch
import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from ftbnn_larq.analysis import preprocessing
from ftbnn_larq.data import Data, DataConfig, imagenet, pipeline
from ftbnn_larq.data.preprocessing import STANDARD
from ftbnn_larq.errors import ConfigError, UnknownNameError
from ftbnn_larq.models import ends
from ftbnn_larq.zoo import applications, trained


def absolute(reference: str) -> str:
    """Make a path absolute, so that a stored recipe works from any folder; other references are unchanged."""
    return os.path.abspath(reference) if os.path.exists(reference) else reference


def channels(reference: str) -> int:
    """Channels of the pictures that a trained network takes; ConfigError if it takes others, and as `trained.find`."""
    source = trained.find(reference)
    return source.data.input_shape[2] if source.data else _picture(source.load(), reference)[2]


def _picture(network: tf.keras.Model, reference: str) -> tuple:
    """(height, width, channels) of the one picture that a network takes; ConfigError if it takes anything else."""
    shapes = [tuple(each.shape) for each in network.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][3] not in (1, 3):
        raise ConfigError(
            f"{reference} takes {', '.join(map(str, shapes))}: a network of one picture with 1 or 3 channels is "
            "needed, such as (None, 32, 32, 3)"
        )
    return shapes[0][1:]


def initialise(network: tf.keras.Model, reference: str, labels: tuple[str, ...] = ()) -> list[str]:
    """Copy the weights of a trained network, layer by layer, matched by name.

    If the names differ but the number of layers does not, layers are matched in order: Keras numbers the layers of
    larq-zoo's networks differently each time.

    Arguments:
        network: the network that gets the weights.
        reference: a run folder, NAME:DATASET, or a Keras file.
        labels: the classes that the network learns.

    Returns:
        Names of the layers that keep their random weights: those of the head, if the classes differ. A Keras file does
            not say its classes; it has others if their number differs.

    Raises:
        ConfigError: a layer is missing in the trained network or in this one, or has another shape.
    """
    source = trained.find(reference)
    loaded = source.load()
    ours, theirs = _weighted(network), _weighted(loaded)
    if ours.keys() != theirs.keys() and len(ours) == len(theirs):
        theirs = dict(zip(ours, theirs.values(), strict=True))
    same = "give both the same model, width, input size and options"
    kept = theirs.keys() - {layer.name for layer in head(loaded)}
    if dropped := [name for name in theirs if name in kept and name not in ours]:
        raise ConfigError(
            f"{reference} cannot initialise this {network.name}: it has {len(dropped)} layers that are missing here, "
            f"such as {dropped[0]}; {same}"
        )
    order = imagenet.in_english(labels)
    known = imagenet.in_english(source.data.labels) if labels and source.data else order
    are_others = sorted(known) != sorted(order)
    # The same classes may come in another order.
    places = slice(None) if are_others or known == order else [known.index(label) for label in order]
    new = {layer.name for layer in head(network)}
    fresh = []
    for name, layer in ours.items():
        shapes, found = _shapes(layer), _shapes(theirs.get(name))
        if name in new and (are_others or found != shapes):
            fresh.append(name)
        elif found == shapes:
            weights = theirs[name].get_weights()
            layer.set_weights([each[..., places] for each in weights] if name in new else weights)
        else:
            raise ConfigError(
                f"{reference} cannot initialise this {network.name}: {name} is {shapes} here and "
                f"{found or 'missing'} there; {same}"
            )
    return fresh


def head(network: tf.keras.Model) -> list[tf.keras.layers.Layer]:
    """The last convolution or dense layer and what follows it: its shape depends on the number of classes."""
    layers = [*_weighted(network).values()]
    return layers[max(index for index, layer in enumerate(layers) if hasattr(layer, "kernel")) :]


def _weighted(network: tf.keras.Model) -> dict[str, tf.keras.layers.Layer]:
    return {layer.name: layer for layer in network.layers if layer.weights}


def _shapes(layer: tf.keras.layers.Layer | None) -> list[tuple]:
    return [] if layer is None else [tuple(weight.shape) for weight in layer.weights]


def freeze(network: tf.keras.Model, patterns: str, head_epochs: int = 0) -> None:
    """Make layers not trainable.

    Arguments:
        network: the network.
        patterns: shell patterns of layer names, separated by commas.
        head_epochs: as in a recipe.

    Raises:
        UnknownNameError: a pattern matches no layer.
        ConfigError: nothing is left to train, or nothing of a head that shall learn alone.
    """
    names = [layer.name for layer in network.layers]
    for pattern in filter(None, (part.strip() for part in patterns.split(","))):
        fitting = fnmatch.filter(names, pattern)
        if not fitting:
            raise UnknownNameError("layer to freeze", pattern, names)
        for name in fitting:
            network.get_layer(name).trainable = False
    if not network.trainable_weights:
        raise ConfigError(f"freeze = {patterns!r} leaves nothing to train: freeze fewer layers")
    if head_epochs and not any(layer.trainable_weights for layer in head(network)):
        raise ConfigError("head_epochs: the head is frozen and cannot learn alone: set head_epochs to 0")


def teacher(reference: str, data: Data, on_event: Callable[[str], None] = lambda line: None) -> tf.keras.Model:
    """Load a teacher, without its softmax, and check that it fits the data set.

    The result takes pictures that are normalized as `data` says, with its channels. How pictures were prepared for a
    Keras file is found on the training split; where that cannot be told, as for `data`.

    Arguments:
        reference: a run folder, NAME:DATASET, a Keras file, or keras:NAME for a network of tf.keras.applications with
            its weights of ImageNet.
        data: the training data.
        on_event: told how the pictures of a Keras file were prepared.

    Raises:
        ConfigError: the teacher takes anything but one picture of this size, or gives anything but a score per class.
        ModelFileError: its weights cannot be downloaded, or are damaged.
    """
    if reference in applications.NAMES:
        network, described = applications.pretrained(reference)
    else:
        source = trained.find(reference)
        network, described = source.load(), source.data
    ours = data.config
    labels = ours.labels
    if len(network.outputs) != 1 or len(network.outputs[0].shape) != 2:
        shapes = ", ".join(str(tuple(each.shape)) for each in network.outputs)
        raise ConfigError(f"teacher {reference} gives {shapes}: it needs one output, a score per class: (None, 10)")
    theirs = _picture(network, f"teacher {reference}")
    # What takes its picture by a name takes it alone too.
    network = ends.up_to_logits(tf.keras.Model(network.inputs[0], network.outputs[0], name=network.name))
    if any(side not in (None, own) for side, own in zip(theirs[:2], ours.input_shape[:2], strict=True)):
        way = f"train with --input-size {theirs[0]}" if theirs[0] == theirs[1] else "take another teacher"
        raise ConfigError(
            f"teacher {reference} takes pictures of {theirs}, the data set has {tuple(ours.input_shape)}: {way}"
        )
    same = not described or imagenet.in_english(described.labels) == imagenet.in_english(labels)
    if network.output_shape[-1] != len(labels) or not same:
        known = described.labels if described else ()
        said = f"classes {', '.join(known[:4])}..." if known else f"{network.output_shape[-1]} classes"
        raise ConfigError(
            f"teacher {reference} has {said}, the data set has {len(labels)} classes: {', '.join(labels[:4])}..."
        )
    described = described or _found(network, data, lambda line: on_event(f"teacher {reference}: {line}"))
    if ends.gives_probabilities(network):
        # An ensemble, or a sigmoid a class: logits of the same classes are their logarithms.
        scores = tf.math.log(tf.clip_by_value(tf.cast(network.output, tf.float32), 1e-7, 1.0))
        network = tf.keras.Model(network.input, scores, name=network.name)
    if (described.mean, described.std) != (ours.mean, ours.std):
        return _seeing(network, described, ours)
    return network


def _found(network: tf.keras.Model, data: Data, on_event: Callable[[str], None]) -> DataConfig:
    """The preprocessing of a teacher that does not say it, with its channels."""
    shape = (*data.config.input_shape[:2], network.input_shape[-1])
    if shape != tuple(data.config.input_shape):
        config = dataclasses.replace(data.config, input_shape=shape)
        data = pipeline.with_statistics(dataclasses.replace(data, config=config))
    sized = tf.keras.Sequential([tf.keras.Input(shape), network])
    data, choice = preprocessing.found(
        data,
        # Not predict_on_batch, which would talk to other workers.
        lambda pictures: sized(pictures, training=False),
        are_probabilities=ends.gives_probabilities(network),
        model=sized,
        assumed=STANDARD,
    )
    on_event(choice.told())
    return data.config


def _seeing(network: tf.keras.Model, theirs: DataConfig, ours: DataConfig) -> tf.keras.Model:
    """Adapt a network trained with normalization and channels of `theirs` to pictures with those of `ours`."""
    pictures = tf.keras.Input(ours.input_shape)
    pixels = tf.keras.layers.Rescaling(list(ours.std), list(ours.mean))(pictures)
    if len(theirs.mean) != len(ours.mean):
        pixels = tf.image.grayscale_to_rgb(pixels) if len(ours.mean) == 1 else tf.image.rgb_to_grayscale(pixels)
    scale, shift = 1 / np.array(theirs.std), -np.array(theirs.mean) / theirs.std
    rescaled = tf.keras.layers.Rescaling(scale.tolist(), shift.tolist())(pixels)
    return tf.keras.Model(pictures, network(rescaled), name=network.name)
