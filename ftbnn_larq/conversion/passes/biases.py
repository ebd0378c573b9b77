"""A constant that is added somewhere, in a bias that is there anyway."""

from __future__ import annotations

import numpy as np

from ftbnn_larq.conversion.census import BINARY_CONVOLUTION, POOLS
from ftbnn_larq.conversion.flatbuffer import FLOAT32, Graph

# Operator -> which of its inputs is its bias.
_BIAS = {"CONV_2D": 2, "DEPTHWISE_CONV_2D": 2, BINARY_CONVOLUTION: 3}


def channelwise(values: np.ndarray | None, channels: int) -> np.ndarray | None:
    """A constant that is one number for each channel, or one for all, as float64 (channels,); None for any other."""
    if values is None or values.size not in (1, channels) or (values.size > 1 and values.shape[-1] != channels):
        return None
    return np.broadcast_to(values.astype(np.float64).reshape(-1), (channels,))


def add(graph: Graph, tensor: int, offset: np.ndarray) -> bool:
    """Have `offset` (channels,) added to `tensor` by another operator than one of its own; whether there is one.

    That is what computes the other side of the sum that the tensor goes into, or the layer behind sums and pools.
    """
    reader = graph.only_reader(tensor)
    if reader is not None and graph.type(reader) == "ADD":
        others = [other for other in reader.inputs if other != tensor]
        if others and add_before(graph, others[0], offset):
            return True
    return _add_behind(graph, tensor, offset)


def add_before(graph: Graph, tensor: int, offset: np.ndarray) -> bool:
    """Have what computes `tensor` add `offset`, if it adds or scales by a constant and only one operator reads it."""
    producer = graph.producers().get(tensor)
    if producer is None or graph.only_reader(tensor) is None or _is_activated(producer):
        return False
    if graph.shape(tensor)[-1:] != offset.shape:
        # One number for all channels, as of an attention map.
        return False
    kind = graph.type(producer)
    if kind in _BIAS:
        return graph.tensors[tensor].type == FLOAT32 and _add_to_bias(graph, producer, _BIAS[kind], offset)
    if kind not in ("ADD", "MUL"):
        return False
    constants = [channelwise(graph.constant(each), len(offset)) for each in producer.inputs]
    if all(values is None for values in constants):
        return False
    if kind == "ADD":
        place = next(index for index, values in enumerate(constants) if values is not None)
        producer.inputs[place] = graph.add_constant(np.float32(constants[place] + offset))
        return True
    # Behind a MUL it costs no more than here, and the two may become one.
    shifted = graph.add_tensor(graph.shape(tensor), tensor, f"{graph.name(tensor)}/shifted")
    reader = graph.only_reader(tensor)
    new = graph.operator("ADD", [tensor, graph.add_constant(np.float32(offset))], [shifted])
    graph.operators.insert(graph.operators.index(producer) + 1, new)
    reader.inputs = [shifted if each == tensor else each for each in reader.inputs]
    return True


def _add_behind(graph: Graph, tensor: int, offset: np.ndarray) -> bool:
    """Follow `tensor` through what hands a constant on, to the dense layer whose bias takes it."""
    while (reader := graph.only_reader(tensor)) is not None:
        kind, output = graph.type(reader), reader.outputs[0]
        if kind == "FULLY_CONNECTED":
            kernel = graph.constant(reader.inputs[1])
            fits = kernel is not None and kernel.dtype == np.float32 and kernel.shape[1] == len(offset)
            return fits and _add_to_bias(graph, reader, 2, kernel.astype(np.float64) @ offset)
        if _is_activated(reader) or graph.shape(output)[-1:] != offset.shape:
            return False
        same_shape = graph.shape(output) == graph.shape(tensor)
        flat = np.prod(graph.shape(output)) == len(offset)
        averaged = kind == "MEAN" and len(graph.shape(tensor)) - 1 not in graph.constant(reader.inputs[1])
        hands_on = (kind == "ADD" and same_shape) or kind in POOLS or (flat and (averaged or kind == "RESHAPE"))
        if not hands_on:
            return False
        tensor = output
    return False


def _add_to_bias(graph: Graph, operator, place: int, offset: np.ndarray) -> bool:
    """Whether the operator has a bias that is known, or none yet."""
    operator.inputs += [-1] * (place + 1 - len(operator.inputs))
    bias = channelwise(graph.constant(operator.inputs[place]), len(offset)) if operator.inputs[place] >= 0 else 0.0
    if bias is None:
        return False
    operator.inputs[place] = graph.add_constant(np.float32(bias + offset))
    return True


def _is_activated(operator) -> bool:
    return bool(getattr(operator.builtinOptions, "fusedActivationFunction", 0))
