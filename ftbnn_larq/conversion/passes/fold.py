"""Element by element arithmetic behind a convolution as the convolution's scale and bias, and one PRELU."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ftbnn_larq.conversion.census import BINARY_CONVOLUTION
from ftbnn_larq.conversion.flatbuffer import FLOAT32, Graph
from ftbnn_larq.conversion.passes import biases

# A steeper slope of PRELU is a sign that the other side's slope, which it was divided by, is nearly zero.
_STEEP = 1e6


class Bent(NamedTuple):
    """One function a channel, straight on both sides of one point; all float64 of shape (channels,).

    f(x) = value + left * (x - kink) for x < kink, value + right * (x - kink) for x >= kink.
    """

    kink: np.ndarray
    value: np.ndarray
    left: np.ndarray
    right: np.ndarray

    @property
    def straight(self) -> np.ndarray:
        return self.left == self.right

    def at(self, kink: np.ndarray) -> Bent:
        """The same function said at another point, where it is straight."""
        value = np.where(self.straight, self.value + self.left * (kink - self.kink), self.value)
        return Bent(np.where(self.straight, kink, self.kink), value, self.left, self.right)

    def plus(self, other: Bent) -> Bent | None:
        """The sum; None if the two bend at different points."""
        other = other.at(self.kink)
        one = self.at(other.kink)
        if not np.allclose(one.kink, other.kink, rtol=1e-5, atol=1e-7):
            return None
        return Bent(one.kink, one.value + other.value, one.left + other.left, one.right + other.right)

    def times(self, factor) -> Bent:
        return Bent(self.kink, self.value * factor, self.left * factor, self.right * factor)

    def shifted(self, by) -> Bent:
        return self._replace(value=self.value + by)

    def rectified(self) -> Bent | None:
        """max(f, 0); None if that bends twice."""
        if np.any(~self.straight & (self.value != 0)):
            return None
        rising = self.straight & (self.left != 0)
        zero = self.kink - np.divide(self.value, self.left, out=np.zeros_like(self.value), where=rising)
        constant = self.straight & ~rising
        return Bent(
            np.where(rising, zero, self.kink),
            np.where(constant, np.maximum(self.value, 0), 0.0),
            np.minimum(self.left, 0),
            np.maximum(self.right, 0),
        )


def identity(channels: int) -> Bent:
    zero, one = np.zeros(channels), np.ones(channels)
    return Bent(zero, zero, one, one)


def fold(graph: Graph) -> None:
    """Behind each binary convolution, and behind each sum, leave as few elementwise operators as its function needs.

    Whatever function of the convolution's output is straight but for one bend in each channel (every non-linearity of
    the zoo, however it is written, and any batch norm around it) equals s * PRELU(k * x + b) + t with s = 1 or -1.
    Scale k and bias b go into the convolution. s is -1 only where the function rises nowhere above the value of its
    bend, which PRELU cannot; that takes a MUL for the layer. t stays an ADD where no bias takes it; see `biases`.

    Behind a sum there is nothing to scale: s * PRELU(x + b) + t, with s > 0 a MUL, and b in the bias of the
    convolution that is added.
    """
    done: set[int] = set()
    for operator in list(graph.operators):
        kind = graph.type(operator)
        output = operator.outputs[0]
        starts = kind in (BINARY_CONVOLUTION, "ADD") and graph.tensors[output].type == FLOAT32 and graph.shape(output)
        if starts and output not in done:
            region, functions = _region(graph, output)
            done |= set(functions)
            _rewrite(graph, operator, region, functions)


def _region(graph: Graph, start: int):
    """What is computed of `start` alone, element by element: the operators, and tensor -> function of `start`."""
    functions = {start: identity(graph.shape(start)[-1])}
    region = []
    for operator in graph.operators:
        same_shape = graph.shape(operator.outputs[0]) == graph.shape(start)
        if same_shape and any(tensor in functions for tensor in operator.inputs):
            function = _function(graph, operator, functions)
            if function is not None:
                functions[operator.outputs[0]] = function
                region.append(operator)
    return region, functions


def _function(graph: Graph, operator, functions: dict[int, Bent]) -> Bent | None:
    """What an operator computes of the start of its region; None if that is not one of these functions."""
    kind = graph.type(operator)
    known = [functions.get(tensor) for tensor in operator.inputs]
    constants = [
        biases.channelwise(graph.constant(tensor), graph.shape(operator.outputs[0])[-1])
        if tensor >= 0 and tensor not in functions
        else None
        for tensor in operator.inputs
    ]
    if any(one is None and other is None for one, other in zip(known, constants, strict=True)):
        return None
    first, second = [*known, None][:2]
    result = None
    if kind in ("ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM"):
        if kind == "MUL":
            if first is not None and second is not None:
                return None
            result = first.times(constants[1]) if first is not None else second.times(constants[0])
        else:
            blank = identity(len((first or second).kink)).times(0.0)
            one = first if first is not None else blank.shifted(constants[0])
            other = second if second is not None else blank.shifted(constants[1])
            result = _joined(kind, one, other)
    elif kind == "NEG":
        result = first.times(-1.0)
    elif kind == "RELU":
        return first.rectified()
    elif kind in ("PRELU", "LEAKY_RELU"):
        slope = constants[1] if kind == "PRELU" else operator.builtinOptions.alpha
        positive, negative = first.rectified(), first.times(-1.0).rectified()
        return None if positive is None or negative is None else positive.plus(negative.times(-slope))
    activation = getattr(operator.builtinOptions, "fusedActivationFunction", 0)
    if result is None or activation == 0:
        return result
    return result.rectified() if activation == 1 else None


def _joined(kind: str, one: Bent, other: Bent) -> Bent | None:
    if kind == "ADD":
        return one.plus(other)
    difference = one.plus(other.times(-1.0))
    if kind == "SUB" or difference is None:
        return difference
    # max(f, g) = g + max(f - g, 0), min(f, g) = g - max(g - f, 0)
    sign = 1.0 if kind == "MAXIMUM" else -1.0
    above = difference.times(sign).rectified()
    return None if above is None else other.plus(above.times(sign))


def _rewrite(graph: Graph, start, region: list, functions: dict[int, Bent]) -> None:
    inside = {id(operator) for operator in region}
    readers = graph.readers()
    seen_outside = [tensor for tensor in functions if any(id(reader) not in inside for reader in readers[tensor])]
    if not region or len(seen_outside) != 1 or seen_outside[0] == start.outputs[0]:
        return
    final, function = seen_outside[0], functions[seen_outside[0]]
    if graph.type(start) == BINARY_CONVOLUTION:
        operators = _behind_convolution(graph, start, final, function, len(region))
    else:
        operators = _behind_sum(graph, start, final, function, len(region))
    if operators is not None:
        graph.replace([start, *region], operators)


def _behind_convolution(graph: Graph, convolution, final: int, function: Bent, before: int) -> list | None:
    sign, scale, slope = _as_prelu(function)
    bent = ~function.straight
    kink = np.where(bent, function.kink, 0.0)
    # Of a straight channel all goes into the bias.
    intercept = np.where(bent, 0.0, function.value - function.left * function.kink)
    offset = np.where(bent, function.value, 0.0)
    moved = offset.any() and biases.add(graph, final, offset)
    steps = []
    if bent.any():
        steps.append(("PRELU", slope))
    if (sign < 0).any():
        steps.append(("MUL", sign))
    if offset.any() and not moved:
        steps.append(("ADD", offset))
    if len(steps) >= before and not moved:
        return None
    channels = len(scale)
    multiplier, bias = (biases.channelwise(graph.constant(tensor), channels) for tensor in convolution.inputs[2:4])
    inputs = list(convolution.inputs)
    inputs[2] = graph.add_constant(np.float32(multiplier * scale))
    inputs[3] = graph.add_constant(np.float32(scale * (bias - kink) + intercept))
    first = convolution.outputs[0] if steps else final
    return [graph.copy(convolution, inputs, [first]), *_elementwise(graph, first, steps, final)]


def _behind_sum(graph: Graph, total, final: int, function: Bent, before: int) -> list | None:
    if (function.right == 0).any() or getattr(total.builtinOptions, "fusedActivationFunction", 0):
        return None
    function = function.at(np.zeros_like(function.kink))
    shifted = function.kink.any() and any(biases.add_before(graph, each, -function.kink) for each in total.inputs)
    moved = function.value.any() and biases.add(graph, final, function.value)
    steps = [("ADD", -function.kink)] if function.kink.any() and not shifted else []
    if (~function.straight).any():
        steps.append(("PRELU", function.left / function.right))
    if (function.right != 1).any():
        steps.append(("MUL", function.right))
    if function.value.any() and not moved:
        steps.append(("ADD", function.value))
    if len(steps) >= before and not (shifted or moved):
        return None
    first = total.outputs[0] if steps else final
    return [graph.copy(total, total.inputs, [first]), *_elementwise(graph, first, steps, final)]


def _elementwise(graph: Graph, tensor: int, steps: list, final: int) -> list:
    operators = []
    for index, (kind, values) in enumerate(steps):
        name = f"{graph.name(final)}/{kind.lower()}"
        output = final if index == len(steps) - 1 else graph.add_tensor(graph.shape(final), final, name)
        if kind == "PRELU":
            # PRELU's slopes have the axes of a picture too; a row of features has none.
            values = values.reshape(*[1] * (len(graph.shape(final)) - 2), -1)
        constant = graph.add_constant(np.float32(values))
        operators.append(graph.operator(kind, [tensor, constant], [output]))
        tensor = output
    return operators


def _as_prelu(function: Bent) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(s, k, a) of each channel such that, at the bend, f = s * PRELU(k * x) with the slope a for negative inputs.

    PRELU's output is positive on one side and there rises with slope 1, so k or -k is one of the two slopes, and s is
    -1 only where neither side rises above zero; or where that slope is so small that the other, divided by it, is huge.
    """
    sign, scale, slope = np.ones_like(function.left), np.copy(function.left), np.ones_like(function.left)
    for channel in np.flatnonzero(~function.straight):
        left, right = function.left[channel], function.right[channel]
        ways = [
            (s, s * own, other / own)
            for s in (1.0, -1.0)
            for own, other, rises in ((right, left, s * right > 0), (left, right, s * left < 0))
            if rises
        ]
        sign[channel], scale[channel], slope[channel] = min(
            ways, key=lambda way: (abs(way[2]) > _STEEP, way[0] < 0, abs(way[2]))
        )
    return sign, scale, slope
