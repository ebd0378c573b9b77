"""Between grouped convolutions in a row the groups stay apart: no joining and cutting again."""

from __future__ import annotations

import math

import numpy as np

from ftbnn_larq.conversion.census import BINARY_CONVOLUTION, POOLS
from ftbnn_larq.conversion.flatbuffer import Graph
from ftbnn_larq.conversion.passes.groups import WORD, join, split

_BY_ELEMENT = ("ADD", "SUB", "MUL", "PRELU", "RELU", "LEAKY_RELU")


def keep_apart(graph: Graph) -> None:
    """Run what stands between grouped convolutions on each group by itself, and join where something needs the whole.

    The groups' outputs are joined and the next convolution's inputs cut out again, at each layer a copy of all floats.
    PRELU, sum, LceQuantize and pooling do not mix channels: each group has its own, of its channels. Where the groups
    of the next layer are others, the packed signs are cut or joined, a thirty-second of the floats.
    """
    cut: dict[int, list[int]] = {}
    while True:
        streams = _Streams(graph, dict(cut))
        streams.run()
        if streams.cut == cut:
            break
        cut = streams.cut
    if streams.apart:
        graph.operators[:] = streams.operators


class _Streams:
    """Writes the operators of a graph again.

    Attributes:
        operators: those written so far.
        pieces: tensor -> the tensors that, side by side, make it up; it is joined only once it is needed whole.
        apart: tensors whose pieces stem from groups.
        convolved: outputs of binary convolutions, and what is computed of them alone. Where they are added to the
            residual stream, their pieces are the ones to keep: the stream is cut once, they are computed in each layer.
        cut: tensors -> numbers of channels in which they are wanted, known only at their readers: a convolution then
            computes them in these pieces, and pieces that have to be joined are joined before their signs are taken.
    """

    def __init__(self, graph: Graph, cut: dict[int, list[int]]):
        self.graph, self.cut = graph, cut
        self.operators: list = []
        self.pieces: dict[int, list[int]] = {}
        self.apart: set[int] = set()
        self.convolved: set[int] = set()
        self._joined: set[int] = set()
        self._alias: dict[int, int] = {}
        self._splits: dict[tuple[int, int], object] = {}
        self._producers = graph.producers()

    def run(self) -> None:
        for operator in self.graph.operators:
            inputs = [self._alias.get(tensor, tensor) for tensor in operator.inputs]
            self._note_convolved(operator, inputs)
            if not self._write(self.graph.type(operator), operator, inputs):
                inputs = [self._whole(tensor) for tensor in inputs]
                self.operators.append(self.graph.copy(operator, inputs, operator.outputs))
            for output in operator.outputs:
                if output in self.cut and output in self.apart:
                    self._in(output, self.cut[output])
        for tensor in self.graph.outputs:
            self._whole(tensor)

    def _note_convolved(self, operator, inputs: list[int]) -> None:
        computed = [tensor for tensor in inputs if tensor >= 0 and self.graph.constant(tensor) is None]
        if self.graph.type(operator) == BINARY_CONVOLUTION or all(tensor in self.convolved for tensor in computed):
            self.convolved.update(operator.outputs)

    def _write(self, kind: str, operator, inputs: list[int]) -> bool:
        """Write an operator in pieces; False if it has to be whole."""
        output = operator.outputs[0]
        if kind == "CONCATENATION":
            return self._concatenation(operator, inputs)
        if kind == "CONV_2D" and output in self.cut:
            return self._convolution(operator, inputs)
        if kind == "SPLIT" and inputs[1] in self.apart and self._is_of_channels(operator):
            sizes = [self._channels(tensor) for tensor in operator.outputs]
            self._alias.update(zip(operator.outputs, self._in(inputs[1], sizes), strict=True))
            return True
        if not any(tensor in self.apart for tensor in inputs):
            return False
        if kind in _BY_ELEMENT or kind in POOLS or kind == "LceQuantize":
            return self._by_piece(operator, inputs, kind)
        if kind == "DEPTHWISE_CONV_2D" and operator.builtinOptions.depthMultiplier == 1:
            return self._by_piece(operator, inputs, kind)
        return False

    def _is_of_channels(self, split) -> bool:
        """Whether a SPLIT cuts channels, not rows or columns."""
        return self.graph.constant(split.inputs[0]) in (-1, len(self.graph.shape(split.inputs[1])) - 1)

    def _concatenation(self, operator, inputs: list[int]) -> bool:
        output = operator.outputs[0]
        if operator.builtinOptions.axis not in (-1, len(self.graph.shape(output)) - 1):
            return False
        self.pieces[output] = [piece for tensor in inputs for piece in self.pieces.get(tensor, [tensor])]
        if any(tensor in self.apart for tensor in inputs) or all(map(self._is_group, operator.inputs)):
            self.apart.add(output)
        return True

    def _is_group(self, tensor: int) -> bool:
        """Whether a tensor is what one of several groups computes: a binary convolution of part of the signs."""
        convolution = self._producers.get(tensor)
        if convolution is None or self.graph.type(convolution) != BINARY_CONVOLUTION:
            return False
        cut = self._producers.get(convolution.inputs[0])
        return cut is not None and self.graph.type(cut) == "SPLIT"

    def _convolution(self, operator, inputs: list[int]) -> bool:
        """Filters are independent of each other: the output in pieces costs nothing but the operators."""
        kernel = self.graph.constant(inputs[1])
        if kernel is None or kernel.shape[-1] != self._channels(inputs[0]):
            # Of groups, each filter sees some of the channels.
            return False
        source, begin, pieces = self._whole(inputs[0]), 0, []
        for size in self.cut[operator.outputs[0]]:
            piece = self._new(operator.outputs[0], size, len(pieces))
            constants = [self.graph.constant(tensor) for tensor in inputs[1:]]
            parts = [self.graph.add_constant(values[begin : begin + size]) for values in constants]
            self.operators.append(self.graph.copy(operator, [source, *parts], [piece]))
            pieces.append(piece)
            begin += size
        self._set(operator.outputs[0], pieces)
        return True

    def _by_piece(self, operator, inputs: list[int], kind: str) -> bool:
        graph, output = self.graph, operator.outputs[0]
        leading = [tensor for tensor in inputs if tensor in self.convolved] or [
            tensor for tensor in inputs if tensor in self.apart
        ]
        if leading[0] not in self.apart:
            return False
        sizes = [self._channels(piece) for piece in self.pieces[leading[0]]]
        packed = kind == "LceQuantize"
        if packed and any(size % WORD for size in sizes):
            return False
        channels, columns = sum(sizes), []
        for tensor in inputs:
            values = graph.constant(tensor)
            if values is None and (tensor < 0 or self._channels(tensor) != channels):
                return False
            if values is None:
                columns.append(self._in(tensor, sizes))
            elif values.size == 1:
                columns.append([tensor] * len(sizes))
            elif values.shape[-1] == channels:
                parts = np.split(values, np.cumsum(sizes)[:-1], axis=-1)
                columns.append([graph.add_constant(part) for part in parts])
            else:
                return False
        pieces = []
        for row, size in zip(zip(*columns, strict=True), sizes, strict=True):
            pieces.append(self._new(output, size // WORD if packed else size, len(pieces)))
            self.operators.append(graph.copy(operator, row, [pieces[-1]]))
        self._set(output, pieces)
        return True

    def _in(self, tensor: int, sizes: list[int]) -> list[int]:
        """A tensor in pieces of those numbers of channels."""
        if tensor not in self.pieces:
            producer = self._producers.get(tensor)
            if producer is not None and self.graph.type(producer) == "CONV_2D":
                # Better made in pieces; its readers before this one have to know, too.
                self.cut[tensor] = sizes
            self._set(tensor, [tensor])
            self._joined.add(tensor)
        ends = list(np.cumsum(sizes))
        found: list[list[int]] = [[] for _ in sizes]
        position = 0
        for piece in self.pieces[tensor]:
            size = self._channels(piece)
            inner = [end - position for end in ends if position < end < position + size]
            for part in self._parts(piece, math.gcd(size, *map(int, inner))):
                found[int(np.searchsorted(ends, position, side="right"))].append(part)
                position += self._channels(part)
        if any(len(parts) > 1 for parts in found):
            self.cut[tensor] = sizes
        pieces = [parts[0] if len(parts) == 1 else self._join(tensor, parts) for parts in found]
        if tensor in self.apart:
            self.pieces[tensor] = pieces
        return pieces

    def _parts(self, piece: int, size: int) -> list[int]:
        count = self._channels(piece) // size
        if count == 1:
            return [piece]
        if (piece, count) not in self._splits:
            self._splits[piece, count] = split(self.graph, piece, count)
            self.operators.append(self._splits[piece, count])
        return self._splits[piece, count].outputs

    def _join(self, tensor: int, parts: list[int]) -> int:
        joined = self._new(tensor, sum(map(self._channels, parts)), 0)
        self.operators.append(join(self.graph, parts, joined))
        return joined

    def _whole(self, tensor: int) -> int:
        if tensor in self.pieces and tensor not in self._joined:
            self._joined.add(tensor)
            self.operators.append(join(self.graph, self.pieces[tensor], tensor))
        return tensor

    def _set(self, tensor: int, pieces: list[int]) -> None:
        self.pieces[tensor] = pieces
        self.apart.add(tensor)

    def _channels(self, tensor: int) -> int:
        return (self.graph.shape(tensor) or (1,))[-1]

    def _new(self, like: int, channels: int, index: int) -> int:
        shape = (*self.graph.shape(like)[:-1], channels)
        return self.graph.add_tensor(shape, like, f"{self.graph.name(like)}/piece{index + 1}")
