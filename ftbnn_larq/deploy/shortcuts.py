"""A pooled shortcut and the batch norm behind it in one operator."""

from __future__ import annotations

import numpy as np

from ftbnn_larq.deploy.flatbuffer import Graph
from ftbnn_larq.deploy.fold import channelwise
from ftbnn_larq.deploy.groups import join


def merge(graph: Graph) -> None:
    """Average pool, repetition of the channels, scale and shift as one depthwise convolution for each repetition.

    The average of a window times the scale is a convolution with scale / window everywhere; it reads the input once
    more for each repetition, and writes each output once instead of three times.
    """
    for operator in list(graph.operators):
        if graph.type(operator) == "AVERAGE_POOL_2D":
            _merge(graph, operator)


def _merge(graph: Graph, pool) -> None:
    options, source = pool.builtinOptions, pool.inputs[0]
    window = (options.filterHeight, options.filterWidth)
    covers = all(side % step == 0 for side, step in zip(graph.shape(source)[1:3], window, strict=True))
    if not covers or window != (options.strideH, options.strideW) or options.fusedActivationFunction:
        return
    readers = graph.readers()

    def only_reader(tensor):
        return readers[tensor][0] if len(readers[tensor]) == 1 else None

    chain, copies, tensor = [pool], 1, pool.outputs[0]
    following = only_reader(tensor)
    if following and graph.type(following) == "CONCATENATION" and set(following.inputs) == {tensor}:
        chain.append(following)
        copies, tensor = len(following.inputs), following.outputs[0]
    channels = graph.shape(tensor)[-1]
    scale, shift = np.ones(channels), np.zeros(channels)
    while (following := only_reader(tensor)) and graph.type(following) in ("MUL", "ADD"):
        (other,) = [each for each in following.inputs if each != tensor] or [-1]
        values = channelwise(graph.constant(other), channels)
        if values is None or following.builtinOptions.fusedActivationFunction:
            break
        scale, shift = (scale * values, shift * values) if graph.type(following) == "MUL" else (scale, shift + values)
        chain.append(following)
        tensor = following.outputs[0]
    if chain[-1] is pool or graph.type(chain[-1]) == "CONCATENATION":
        return
    graph.replace(chain, _depthwise(graph, pool, tensor, copies, scale, shift))


def _depthwise(graph: Graph, pool, final: int, copies: int, scale, shift) -> list:
    options, source = pool.builtinOptions, pool.inputs[0]
    area = options.filterHeight * options.filterWidth
    size = graph.shape(source)[-1]
    operators, outputs = [], []
    for copy in range(copies):
        name = f"{graph.name(final)}/copy{copy + 1}" if copies > 1 else graph.name(final)
        part = slice(copy * size, (copy + 1) * size)
        kernel = np.broadcast_to(np.float32(scale[part] / area), (1, options.filterHeight, options.filterWidth, size))
        outputs.append(graph.add_tensor((*graph.shape(final)[:-1], size), final, name) if copies > 1 else final)
        inputs = [
            source,
            graph.add_constant(kernel),
            graph.add_constant(np.float32(shift[part])),
        ]
        operators.append(
            graph.operator(
                "DEPTHWISE_CONV_2D",
                inputs,
                [outputs[-1]],
                padding=options.padding,
                strideH=options.strideH,
                strideW=options.strideW,
                depthMultiplier=1,
            )
        )
    return [*operators, join(graph, outputs, final)] if copies > 1 else operators
