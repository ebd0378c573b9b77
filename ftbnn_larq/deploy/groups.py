"""Grouped binary convolutions as ordinary ones, one a group: LCE's default kernel refuses groups."""

from __future__ import annotations

import functools

import tensorflow as tf

from ftbnn_larq import nonlinearities
from ftbnn_larq.layers import is_binary

# What acts on each channel alone and may stand behind a convolution in each group.
_BY_CHANNEL = (
    tf.keras.layers.BatchNormalization,
    tf.keras.layers.ReLU,
    nonlinearities.Identity,
    nonlinearities.LeakyReLU,
    nonlinearities.PReLU,
    nonlinearities.FPReLU,
    nonlinearities.RPReLU,
)


class _Split(tf.keras.layers.Layer):
    """(N, H, W, C): split the channels, send each group through its own layers, join the results."""

    def __init__(self, parts: list[list[tf.keras.layers.Layer]], **kwargs):
        super().__init__(**kwargs)
        self.parts = parts

    def call(self, inputs):
        pieces = tf.split(inputs, len(self.parts), axis=-1)
        done = [
            functools.reduce(lambda x, layer: layer(x), part, piece)
            for part, piece in zip(self.parts, pieces, strict=True)
        ]
        return tf.concat(done, axis=-1)


def split_groups(model: tf.keras.Model) -> tf.keras.Model:
    """The same network with each grouped binary convolution as ordinary ones side by side.

    Each group gets its slice of the batch norm and non-linearity behind it, for LCE absorbs no batch norm that stands
    behind a concatenation. Values are the same; a model without groups is given back as it is.
    """
    chains = {layer.name: _chain(layer) for layer in model.layers if is_binary(layer) and _groups(layer) > 1}
    if not chains:
        return model
    absorbed = {layer.name for chain in chains.values() for layer in chain[1:]}

    def clone(layer):
        if layer.name in chains:
            return _split(chains[layer.name])
        if layer.name in absorbed:
            return tf.keras.layers.Activation("linear", name=layer.name)
        return type(layer).from_config(layer.get_config())

    lowered = tf.keras.models.clone_model(model, clone_function=clone)
    for layer in model.layers:
        if layer.name in chains:
            _set_weights(lowered.get_layer(layer.name), chains[layer.name])
        elif layer.name not in absorbed:
            lowered.get_layer(layer.name).set_weights(layer.get_weights())
    return lowered


def _groups(layer) -> int:
    return getattr(layer, "groups", 1)


def _chain(convolution) -> list[tf.keras.layers.Layer]:
    """The convolution and the layers behind it that can be cut into groups with it."""
    chain = [convolution]
    while True:
        readers = [node.outbound_layer for node in chain[-1].outbound_nodes]
        if len(readers) != 1 or not isinstance(readers[0], _BY_CHANNEL):
            return chain
        chain.append(readers[0])


def _split(chain) -> _Split:
    convolution, *others = chain
    groups = convolution.groups

    def part(index):
        name = f"{convolution.name}_group{index + 1}"
        config = {**convolution.get_config(), "groups": 1, "filters": convolution.filters // groups, "name": name}
        first = type(convolution).from_config(config)
        rest = [
            type(layer).from_config({**layer.get_config(), "name": f"{layer.name}_group{index + 1}"})
            for layer in others
        ]
        return [first, *rest]

    return _Split([part(index) for index in range(groups)], name=convolution.name)


def _set_weights(split: _Split, chain) -> None:
    channels, groups = chain[0].filters, chain[0].groups
    size = channels // groups
    for index, part in enumerate(split.parts):
        for layer, original in zip(part, chain, strict=True):
            # What is shared by the whole layer stays whole.
            layer.set_weights(
                [
                    weight[..., index * size : (index + 1) * size] if weight.shape[-1] == channels else weight
                    for weight in original.get_weights()
                ]
            )
