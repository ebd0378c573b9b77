"""Channels that are pooled or repeated, and the batch norm behind them, in one operator."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ftbnn_larq.conversion.flatbuffer import Graph
from ftbnn_larq.conversion.passes.biases import channelwise
from ftbnn_larq.conversion.passes.groups import join


class Scaling(NamedTuple):
    """A row of MUL and ADD with constants: final = scale * x + shift, both float64 (channels,)."""

    operators: list
    final: int
    scale: np.ndarray
    shift: np.ndarray


def merge(graph: Graph) -> None:
    """Average pool, repetition of the channels, scale and shift as one depthwise convolution for each repetition.

    The average of a window times the scale is a convolution with scale / window everywhere; it reads the input once
    more for each repetition, and writes each output once instead of three times. Without a pool the window is 1x1.
    """
    for operator in list(graph.operators):
        if graph.type(operator) == "AVERAGE_POOL_2D":
            _merge_pool(graph, operator)
    for operator in list(graph.operators):
        if _is_of_channels(graph, operator) and _repeats(graph, operator):
            scaling = _scaling(graph, operator.outputs[0])
            if scaling.operators:
                new = _depthwise(graph, operator.inputs, scaling, (1, 1), padding=0)
                graph.replace([operator, *scaling.operators], new)


def _merge_pool(graph: Graph, pool) -> None:
    options, source = pool.builtinOptions, pool.inputs[0]
    window = (options.filterHeight, options.filterWidth)
    covers = all(side % step == 0 for side, step in zip(graph.shape(source)[1:3], window, strict=True))
    if not covers or window != (options.strideH, options.strideW) or options.fusedActivationFunction:
        return
    chain, copies, tensor = [pool], 1, pool.outputs[0]
    following = graph.readers()[tensor]
    if len(following) == 1 and _is_of_channels(graph, following[0]) and set(following[0].inputs) == {tensor}:
        chain += following
        copies, tensor = len(following[0].inputs), following[0].outputs[0]
    scaling = _scaling(graph, tensor)
    if scaling.operators:
        new = _depthwise(graph, [source] * copies, scaling, window, padding=options.padding)
        graph.replace([*chain, *scaling.operators], new)


def _is_of_channels(graph: Graph, operator) -> bool:
    """Whether an operator puts channels of pictures side by side."""
    if operator is None or graph.type(operator) != "CONCATENATION":
        return False
    return len(graph.shape(operator.outputs[0])) == 4 and operator.builtinOptions.axis in (-1, 3)


def _repeats(graph: Graph, concatenation) -> bool:
    """Whether channels of one tensor, all or some of them, are put side by side again and again."""
    producers, source = graph.producers(), concatenation.inputs[0]

    def is_part(tensor: int) -> bool:
        producer = producers.get(tensor)
        return producer is not None and graph.type(producer) == "STRIDED_SLICE" and producer.inputs[0] == source

    return all(tensor == source or is_part(tensor) for tensor in concatenation.inputs)


def _scaling(graph: Graph, tensor: int) -> Scaling:
    """What scales and shifts `tensor` for its only reader."""
    channels, operators = graph.shape(tensor)[-1], []
    scale, shift = np.ones(channels), np.zeros(channels)
    while (following := graph.only_reader(tensor)) and graph.type(following) in ("MUL", "ADD"):
        (other,) = [each for each in following.inputs if each != tensor] or [-1]
        values = channelwise(graph.constant(other), channels)
        if values is None or following.builtinOptions.fusedActivationFunction:
            break
        scale, shift = (scale * values, shift * values) if graph.type(following) == "MUL" else (scale, shift + values)
        operators.append(following)
        tensor = following.outputs[0]
    return Scaling(operators, tensor, scale, shift)


def _depthwise(graph: Graph, sources: list[int], scaling: Scaling, window: tuple[int, int], *, padding: int) -> list:
    """The averages over `window` of the `sources`, side by side, scaled and shifted."""
    final, several = scaling.final, len(sources) > 1
    operators, outputs, begin = [], [], 0
    for copy, source in enumerate(sources):
        size = graph.shape(source)[-1]
        part = slice(begin, begin + size)
        begin += size
        kernel = np.broadcast_to(np.float32(scaling.scale[part] / np.prod(window)), (1, *window, size))
        name = f"{graph.name(final)}/copy{copy + 1}"
        outputs.append(graph.add_tensor((*graph.shape(final)[:-1], size), final, name) if several else final)
        operators.append(
            graph.operator(
                "DEPTHWISE_CONV_2D",
                [source, graph.add_constant(kernel), graph.add_constant(np.float32(scaling.shift[part]))],
                [outputs[-1]],
                padding=padding,
                strideH=window[0],
                strideW=window[1],
                depthMultiplier=1,
            )
        )
    return [*operators, join(graph, outputs, final)] if several else operators
