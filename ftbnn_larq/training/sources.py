"""Networks that a training begins from: what it is initialised with, and whom it learns from."""

from __future__ import annotations

import fnmatch
import os

import numpy as np
import tensorflow as tf

from ftbnn_larq.data import DataConfig
from ftbnn_larq.errors import ConfigError, UnknownNameError
from ftbnn_larq.models import ends
from ftbnn_larq.zoo import trained


def absolute(reference: str) -> str:
    """`reference` as a stored recipe needs it: paths don't depend on where the next command is typed."""
    return os.path.abspath(reference) if os.path.exists(reference) else reference


def initialise(network: tf.keras.Model, reference: str) -> list[str]:
    """Give a network the weights of another one, layer by layer, by name.

    Layers of larq-zoo's networks, which Keras numbers anew in each, are taken in their order.

    Returns:
        The layers that keep their random weights: those of the head, where the classes differ.

    Raises:
        ConfigError: a layer that the other one lacks, or has in another shape.
    """
    source = trained.find(reference).load()
    ours, theirs = _weighted(network), _weighted(source)
    if ours.keys() != theirs.keys() and len(ours) == len(theirs):
        theirs = dict(zip(ours, theirs.values(), strict=True))
    # The last convolution or dense layer, and what follows it, depend on the classes.
    head = max(index for index, layer in enumerate(ours.values()) if hasattr(layer, "kernel"))
    fresh = []
    for index, (name, layer) in enumerate(ours.items()):
        shapes, found = _shapes(layer), _shapes(theirs.get(name))
        if found == shapes:
            layer.set_weights(theirs[name].get_weights())
        elif index >= head:
            fresh.append(name)
        else:
            raise ConfigError(
                f"{reference} cannot initialise this {network.name}: {name} is {shapes} here and "
                f"{found or 'missing'} there; give both the same width, size of pictures and options"
            )
    return fresh


def _weighted(network: tf.keras.Model) -> dict[str, tf.keras.layers.Layer]:
    return {layer.name: layer for layer in network.layers if layer.weights}


def _shapes(layer: tf.keras.layers.Layer | None) -> list[tuple]:
    return [] if layer is None else [tuple(weight.shape) for weight in layer.weights]


def freeze(network: tf.keras.Model, patterns: str) -> None:
    """Take the layers that the comma-separated shell patterns name out of training.

    Raises:
        UnknownNameError: a pattern that fits no layer.
        ConfigError: nothing is left to train.
    """
    names = [layer.name for layer in network.layers]
    for pattern in filter(None, (part.strip() for part in patterns.split(","))):
        fitting = fnmatch.filter(names, pattern)
        if not fitting:
            raise UnknownNameError("layer to freeze", pattern, names)
        for name in fitting:
            network.get_layer(name).trainable = False
    if not network.trainable_weights:
        raise ConfigError(f"freeze = {patterns!r} leaves nothing to train")


def teacher(reference: str, data: DataConfig) -> tf.keras.Model:
    """The network to learn from, up to its logits, checked to tell the classes of `data` apart by its pictures.

    It takes them normalised as `data` says; a Keras file is taken to have been trained so.

    Raises:
        ConfigError: it takes other pictures, has other classes, or several outputs.
    """
    source = trained.find(reference)
    network, described = source.load(), source.data
    labels = data.labels
    if len(network.outputs) != 1:
        raise ConfigError(f"teacher {reference} has {len(network.outputs)} outputs: one row of scores is learned from")
    network = ends.up_to_logits(network)
    theirs = tuple(network.input_shape[1:])
    if any(side not in (None, ours) for side, ours in zip(theirs, data.input_shape, strict=True)):
        raise ConfigError(f"teacher {reference} takes pictures of {theirs}, the data are {tuple(data.input_shape)}")
    if network.output_shape[-1] != len(labels) or (described and described.labels != labels):
        known = described.labels if described else ()
        said = f"classes {', '.join(known[:4])}..." if known else f"{network.output_shape[-1]} classes"
        raise ConfigError(f"teacher {reference} has {said}, the data {len(labels)}: {', '.join(labels[:4])}...")
    if described and (described.mean, described.std) != (data.mean, data.std):
        return _seeing(network, described, data)
    return network


def _seeing(network: tf.keras.Model, theirs: DataConfig, ours: DataConfig) -> tf.keras.Model:
    """A network that was trained on pictures normalised in `theirs` way, for those normalised in `ours`."""
    scale, shift = np.divide(ours.std, theirs.std), np.subtract(ours.mean, theirs.mean) / theirs.std
    pictures = tf.keras.Input(network.input_shape[1:])
    rescaled = tf.keras.layers.Rescaling(scale.tolist(), shift.tolist())(pictures)
    return tf.keras.Model(pictures, network(rescaled), name=network.name)
