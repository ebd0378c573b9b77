"""A training step with each unit as one operator: sign, convolution, batch norm, non-linearity, and the sum."""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple

import tensorflow as tf

from ftbnn_larq.models import native
from ftbnn_larq.models.layers import BinaryConv2D, ShuffleChannels
from ftbnn_larq.models.nonlinearities import Identity


class Unit(NamedTuple):
    """The layers of a unit, each of which nothing else takes from, and the tensors of its input and its shortcut.

    Attributes:
        turn: of the rotation before the convolution; 0 for none.
        before: the names of all layers but the last, which adds.
    """

    conv: BinaryConv2D
    norm: tf.keras.layers.BatchNormalization
    slopes: tf.keras.layers.Layer
    turn: int
    x: Any
    shortcut: Any
    before: tuple[str, ...]


class Fused:
    """The call of a network in training, in fewer passes over its activations where its layers are `native`.

    Arguments:
        network: a Keras model, of which `layers.train_with` has chosen how it is trained. Its layers and weights are
            taken, not copied.

    Attributes:
        units: by the name of the Add layer that is a unit's last.
    """

    def __init__(self, network: tf.keras.Model):
        self.network = network
        layers = network.layers if _is_plain(network) else ()
        self.units = {layer.name: unit for layer in layers if (unit := _unit(layer))}
        self._within = {name for unit in self.units.values() for name in unit.before}

    def __call__(self, pictures):
        """What `network(pictures, training=True)` gives, with the same effect on moving averages."""
        found = {id(self.network.input): tf.cast(pictures, self.network.input.dtype)}
        for layer in self.network.layers:
            if layer.name in self.units:
                unit = self.units[layer.name]
                found[id(layer.output)] = _run(unit, found[id(unit.x)], found[id(unit.shortcut)])
            elif layer.name not in self._within and id(layer.output) not in found:
                given = tf.nest.map_structure(lambda tensor: found[id(tensor)], layer.input)
                takes_training = "training" in inspect.signature(layer.call).parameters
                found[id(layer.output)] = layer(given, training=True) if takes_training else layer(given)
        return found[id(self.network.output)]


def _run(unit: Unit, x, shortcut):
    conv, norm = unit.conv, unit.norm
    vectors = map(tf.convert_to_tensor, (norm.gamma, *unit.slopes.behind_norm(norm.beta)))
    how = conv.native_form(unit.turn)
    y, mean, variance = native.unit(x, shortcut, conv.used_kernel(), *vectors, how=how, epsilon=norm.epsilon)
    # The moving average is of unbiased variances, as TensorFlow's fused batch norm takes them.
    count = tf.cast(tf.size(y) // tf.size(mean), tf.float32)
    for moving, value in (
        (norm.moving_mean, mean),
        (norm.moving_variance, variance * count / tf.maximum(count - 1, 1)),
    ):
        moving.assign_sub((moving - value) * (1 - norm.momentum))
    return y


def _is_plain(network: tf.keras.Model) -> bool:
    """Whether each layer is called once, with nothing but tensors, and gives one."""
    if isinstance(network.input, (list, dict)) or isinstance(network.output, (list, dict)):
        return False
    return all(
        len(layer.inbound_nodes) == 1
        and len(layer.inbound_nodes[0].call_args or [0]) == 1
        and not layer.inbound_nodes[0].call_kwargs
        and isinstance(layer.output, type(network.output))
        for layer in network.layers
    )


def _unit(last) -> Unit | None:
    """The unit that ends with a layer; None if none does."""
    if type(last) is not tf.keras.layers.Add or len(last.input) != 2 or last.input[0].shape != last.input[1].shape:
        return None
    for tensor, shortcut in last.input, last.input[::-1]:
        chain = [tensor.node.layer]
        slopes = Identity()
        if hasattr(chain[0], "behind_norm"):
            slopes = chain[0]
            chain.append(slopes.input.node.layer)
        norm = chain[-1]
        conv = norm.input.node.layer if _fits(norm) else None
        if not isinstance(conv, BinaryConv2D) or not conv.is_native_for(conv.input):
            continue
        chain.append(conv)
        x, turn = conv.input, 0
        shuffle = x.node.layer
        if isinstance(shuffle, ShuffleChannels) and shuffle.how == "rotate" and shuffle.groups == conv.groups:
            chain.append(shuffle)
            x, turn = shuffle.input, shuffle.turn
        if all(len(layer.outbound_nodes) == 1 for layer in chain):
            return Unit(conv, norm, slopes, turn, x, shortcut, tuple(layer.name for layer in chain))
    return None


def _fits(norm) -> bool:
    """Whether a layer is a batch norm of channels by the statistics of this machine's batch, in float32."""
    return (
        type(norm) is tf.keras.layers.BatchNormalization
        and list(norm.axis) == [len(norm.input.shape) - 1]
        and norm.scale
        and norm.center
        and norm.trainable
        and not norm.synchronized
        and norm.compute_dtype == norm.dtype == "float32"
    )
