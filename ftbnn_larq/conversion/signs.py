"""The signs that a running flatbuffer computes, put into Keras in place of its own."""

from __future__ import annotations

import contextlib
import functools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from flatbuffers import flexbuffers

from ftbnn_larq.conversion import flatbuffer as fb
from ftbnn_larq.conversion import matching
from ftbnn_larq.conversion.census import BINARY_CONVOLUTION
from ftbnn_larq.conversion.network import Network
from ftbnn_larq.conversion.passes.groups import split
from ftbnn_larq.inference.interpreter import Interpreter

# Largest difference of two inputs of a sign, relative to the largest input of that sign in the picture. Float32 sums in
# another order, and batch norms folded into other operators, differ by some 1e-6 after eighteen layers.
ROUNDING = 1e-4
# Pictures that Keras takes at once.
BATCH = 16


class Exposed(NamedTuple):
    """A flatbuffer that gives out what its binary convolutions read.

    Attributes:
        flatbuffer: the bytes. Its first output is the scores.
        signs: for each binary convolution, in order of execution, the output with its input as -1 and 1.
        floats: likewise the output with the floats that those are the signs of; None where a convolution wrote the
            signs, so that no floats exist.
        kernels: their packed weights.
    """

    flatbuffer: bytes
    signs: list[int]
    floats: list[int | None]
    kernels: list[np.ndarray]


def expose(flatbuffer: bytes) -> Exposed:
    """The same flatbuffer with the inputs of all binary convolutions as further outputs."""
    graph = fb.Graph(flatbuffer)
    signs, floats, kernels, known = [], [], [], {}
    for convolution in [each for each in graph.operators if graph.type(each) == BINARY_CONVOLUTION]:
        packed = convolution.inputs[0]
        channels = flexbuffers.Loads(bytes(convolution.customOptions))["channels_in"]
        signs.append(graph.add_tensor((*graph.shape(packed)[:-1], channels), graph.inputs[0], "signs"))
        floats.append(_floats(graph, packed, known))
        kernels.append(graph.constant(convolution.inputs[1]))
        place = graph.operators.index(convolution)
        graph.operators.insert(place, graph.operator("LceDequantize", [packed], signs[-1:]))
    graph.outputs = list(dict.fromkeys([*graph.outputs, *signs, *(each for each in floats if each is not None)]))
    # Packing gives the tensors other numbers, and keeps the order of the outputs.
    places = {tensor: place for place, tensor in enumerate(graph.outputs)}
    return Exposed(graph.pack(), [places[each] for each in signs], [places.get(each) for each in floats], kernels)


def _floats(graph: fb.Graph, packed: int, known: dict[int, int | None]) -> int | None:
    """The tensor of floats whose signs are `packed`. What was done to the signs is done to the floats too."""
    if packed in known:
        return known[packed]
    known[packed] = None
    maker = graph.producers()[packed]
    kind = graph.type(maker)
    if kind == "LceQuantize" and maker.inputs[0] not in graph.inputs:
        known[packed] = maker.inputs[0]
    elif kind == "SPLIT":
        whole = _floats(graph, maker.inputs[1], known)
        if whole is not None and graph.shape(whole)[-1] % len(maker.outputs) == 0:
            pieces = split(graph, whole, len(maker.outputs))
            graph.operators.insert(graph.operators.index(maker), pieces)
            known.update(zip(maker.outputs, pieces.outputs, strict=True))
    elif kind == "LceBMaxPool2d":
        whole = _floats(graph, maker.inputs[0], known)
        if whole is not None:
            options = flexbuffers.Loads(bytes(maker.customOptions))
            known[packed] = graph.add_tensor((*graph.shape(packed)[:-1], graph.shape(whole)[-1]), whole, "pooled")
            pool = graph.operator(
                "MAX_POOL_2D",
                [whole],
                [known[packed]],
                padding=options["padding"],
                strideW=options["stride_width"],
                strideH=options["stride_height"],
                filterWidth=options["filter_width"],
                filterHeight=options["filter_height"],
            )
            graph.operators.insert(graph.operators.index(maker), pool)
    return known[packed]


@contextlib.contextmanager
def _given(layers: tuple, signs: list[np.ndarray]) -> Iterator[list[np.ndarray]]:
    """While the block runs, `layers` read `signs`, call after call; gives what they would have read."""
    original, binary, own = tf.keras.layers.Layer.__call__, set(map(id, layers)), []

    @functools.wraps(original)  # with Keras's name, AutoGraph does not rewrite this function
    def call(layer, *arguments, **keywords):
        if id(layer) not in binary:
            return original(layer, *arguments, **keywords)
        if not arguments:
            arguments = (keywords.pop("inputs"),)
        inputs, *others = arguments
        own.append(inputs.numpy())
        return original(layer, tf.constant(signs[len(own) - 1].reshape(inputs.shape)), *others, **keywords)

    # Keras has no hook for calls; those inside models inside the model are reached so, and each of a layer's own.
    tf.keras.layers.Layer.__call__ = call
    try:
        yield own
    finally:
        tf.keras.layers.Layer.__call__ = original


def same_but_for_rounding(
    network: Network, flatbuffer: bytes, pictures: np.ndarray, *, kernel: str | None, tolerance: float
) -> np.ndarray:
    """For each picture whether Keras gives the interpreter's answer once its signs are those that the interpreter saw.

    A sign whose input is zero but for rounding may come out differently, and all behind it differs then. Here every
    binary layer of Keras gets the signs that the interpreter's had. If all other signs and the scores agree then, each
    layer computes the same, and no sign differed but where its input was smaller than the rounding. Where the
    flatbuffer holds the floats that a sign was taken of, they have to agree too.

    Arguments:
        network: (n, h, w, c) to scores (n, classes).
        pictures: float32 (n, h, w, c).
        kernel: of LCE or ftbnn-runtime; None for LCE's fastest one.
        tolerance: of the scores, absolute; that of the inputs of signs is `ROUNDING`.

    Returns:
        bool (n,); all False where the flatbuffer's binary convolutions do not read what the network's layers read.
    """
    exposed = expose(flatbuffer)
    parts = matching.match(network, exposed.kernels)
    if parts is None:
        return np.zeros(len(pictures), bool)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "signs.tflite"
        path.write_bytes(exposed.flatbuffer)
        with Interpreter(path, kernel=kernel, several_outputs=True) as interpreter:
            batches = [pictures[first : first + BATCH] for first in range(0, len(pictures), BATCH)]
            answers = ([interpreter.outputs(picture[None]) for picture in batch] for batch in batches)
            outputs = ([np.concatenate(each) for each in zip(*answer, strict=True)] for answer in answers)
            agreed = [
                _agree(network, batch, exposed, parts, given, tolerance)
                for batch, given in zip(batches, outputs, strict=True)
            ]
    return np.concatenate(agreed)


def _agree(network: Network, pictures, exposed: Exposed, parts: list[list[int]], outputs, tolerance: float):
    signs = [_joined([outputs[exposed.signs[each]] for each in part]) for part in parts]
    if any(each is None for each in signs) or [each[0].size for each in signs] != network.binary_sizes:
        return np.zeros(len(pictures), bool)
    with _given(network.binary, signs) as own:
        expected = network.model(pictures, training=False).numpy()
    same = np.abs(expected - outputs[0]).max(axis=1) <= tolerance
    for part, theirs, ours in zip(parts, signs, own, strict=True):
        places = [exposed.floats[each] for each in part]
        floats = None if None in places else _joined([outputs[place] for place in places])
        same &= [
            _same(*each) for each in zip(ours, theirs, len(ours) * [None] if floats is None else floats, strict=True)
        ]
    return same


def _joined(groups: list[np.ndarray]) -> np.ndarray | None:
    """What groups that were kept apart read, side by side; None if they read maps of several sizes."""
    return None if len({each.shape[:-1] for each in groups}) > 1 else np.concatenate(groups, axis=-1)


def _same(ours: np.ndarray, signs: np.ndarray, floats: np.ndarray | None) -> bool:
    """Whether one picture's `signs` are those of Keras's `ours`, but where `ours` is zero but for rounding.

    Arguments:
        floats: that the interpreter took the signs of; they have to be equal but for rounding. None where there are
            none.
    """
    turned = (ours >= 0) != (signs.reshape(ours.shape) > 0)
    if floats is None and (ours == np.round(ours)).all():
        # Sums of signs, which Keras computes exactly: nothing is rounded.
        return not turned.any()
    rounding = ROUNDING * np.abs(ours).max()
    near = floats is None or np.abs(ours - floats.reshape(ours.shape)).max() <= rounding
    return bool(near and np.abs(ours[turned]).max(initial=0.0) <= rounding)
