"""A training step with the end of each unit as one operator: batch norm, non-linearity, and the shortcut added."""

from __future__ import annotations

import inspect

import tensorflow as tf

from ftbnn_larq.models import native


class Fused:
    """The call of a network in training, in fewer passes over its activations where its layers are `native`.

    Arguments:
        network: a Keras model. Its layers and weights are taken, not copied.

    Attributes:
        ends: by the name of an Add layer: the batch norm and the non-linearity before it, and the tensor of the
            shortcut.
    """

    def __init__(self, network: tf.keras.Model):
        self.network = network
        layers = network.layers if _is_plain(network) else ()
        self.ends = {layer.name: end for layer in layers if (end := _end(layer))}
        self._within = {layer.name for norm, slopes, _ in self.ends.values() for layer in (norm, slopes)}

    def __call__(self, pictures):
        """What `network(pictures, training=True)` gives, with the same effect on moving averages."""
        found = {id(self.network.input): tf.cast(pictures, self.network.input.dtype)}
        for layer in self.network.layers:
            if layer.name in self.ends:
                found[id(layer.output)] = self._run_end(layer, found)
            elif layer.name not in self._within and id(layer.output) not in found:
                given = tf.nest.map_structure(lambda tensor: found[id(tensor)], layer.input)
                takes_training = "training" in inspect.signature(layer.call).parameters
                found[id(layer.output)] = layer(given, training=True) if takes_training else layer(given)
        return found[id(self.network.output)]

    def _run_end(self, layer, found: dict[int, tf.Tensor]):
        norm, slopes, shortcut = self.ends[layer.name]
        vectors = map(tf.convert_to_tensor, (norm.gamma, *slopes.behind_norm(norm.beta)))
        x = found[id(norm.input)]
        y, mean, variance = native.norm_slopes_add(x, found[id(shortcut)], *vectors, epsilon=norm.epsilon)
        # The moving average is of unbiased variances, as TensorFlow's fused batch norm takes them.
        count = tf.cast(tf.size(x) // tf.size(mean), tf.float32)
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


def _end(layer):
    """Batch norm, non-linearity and shortcut of the end of a unit; None if a layer is not the last of one."""
    if type(layer) is not tf.keras.layers.Add or len(layer.input) != 2 or layer.input[0].shape != layer.input[1].shape:
        return None
    for tensor, shortcut in layer.input, layer.input[::-1]:
        slopes = tensor.node.layer
        if (
            hasattr(slopes, "behind_norm")
            and slopes.native
            and slopes.sharing == "channel"
            and len(slopes.outbound_nodes) == 1
        ):
            norm = slopes.input.node.layer
            if _fits(norm) and len(norm.outbound_nodes) == 1:
                return norm, slopes, shortcut
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
