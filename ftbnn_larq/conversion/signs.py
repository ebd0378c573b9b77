"""The inputs of the signs: read out of a running flatbuffer, and put into Keras in place of its own."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from ftbnn_larq.conversion import flatbuffer as fb
from ftbnn_larq.conversion.network import Network
from ftbnn_larq.inference.interpreter import Interpreter
from ftbnn_larq.models.layers import ShuffleChannels

# Largest difference of two inputs of a sign, relative to the largest input of that sign in the picture. Float32 sums in
# another order, and batch norms folded into other operators, differ by some 1e-6 after eighteen layers.
ROUNDING = 1e-4


def expose(flatbuffer: bytes) -> bytes:
    """The same flatbuffer with the float inputs of all signs as further outputs, in order of execution."""
    graph = fb.Graph(flatbuffer)
    signed = [operator.inputs[0] for operator in graph.operators if graph.type(operator) == "LceQuantize"]
    graph.outputs += dict.fromkeys(signed)
    return graph.pack()


def _joined(pieces: list[np.ndarray], shapes: list[tuple]) -> list[np.ndarray] | None:
    """Arrays of the wanted shapes, groups that were kept apart side by side; None if they are not those."""
    waiting, whole = list(pieces), []
    for shape in shapes:
        parts = []
        while waiting and sum(part.shape[-1] for part in parts) < shape[-1]:
            parts.append(waiting.pop(0))
        if not parts or any(part.shape[1:-1] != shape[:-1] for part in parts):
            return None
        whole.append(np.concatenate(parts, axis=-1))
    return None if waiting or [value.shape[1:] for value in whole] != shapes else whole


def _order_before(value) -> list[int] | None:
    """How a shuffle put the channels of a Keras tensor in order; the flatbuffer may take signs before or behind it."""
    layer = value._keras_history.layer
    return layer.order(value.shape[-1]) if isinstance(layer, ShuffleChannels) else None


def _nearest(candidates: list[np.ndarray], usual: np.ndarray) -> np.ndarray:
    return min(candidates, key=lambda candidate: np.abs(candidate - usual).sum())


def same_but_for_rounding(
    network: Network, flatbuffer: bytes, pictures: np.ndarray, *, kernel: str | None, tolerance: float
) -> np.ndarray:
    """For each picture whether Keras gives LCE's answer once its signs are those that LCE saw.

    A sign whose input is zero but for rounding may come out differently, and all behind it differs then. Here every
    binary layer of Keras gets the input that LCE's had. If all inputs of signs and the scores agree then, each layer
    computes the same, and no sign differed but where its input was smaller than the rounding.

    Arguments:
        network: (n, h, w, c) to scores (n, classes).
        pictures: float32 (n, h, w, c).
        kernel: of LCE's interpreter.
        tolerance: of the scores, absolute; that of the inputs of signs is `ROUNDING`.

    Returns:
        bool (n,); all False where the model cannot be cut at its signs, or the flatbuffer's are not the same ones.
    """
    model, own = network.model, {id(layer) for layer in network.model.layers}
    layers = [layer.keras for layer in network.layers if layer.binary and id(layer.keras) in own]
    try:
        # Binary layers that read one tensor share its sign.
        inputs = {layer.input.ref(): layer.input for layer in layers}
        outputs = [layer.output for layer in layers]
        follow = tf.keras.Model([*model.inputs, *outputs], [*model.outputs, *inputs.values()])
        look = tf.keras.Model(model.inputs, [*inputs.values()])
    except (AttributeError, ValueError):  # a layer that is called twice, or a sign of the picture itself
        return np.zeros(len(pictures), bool)
    places = [list(inputs).index(layer.input.ref()) for layer in layers]
    shapes = [tuple(value.shape)[1:] for value in inputs.values()]
    orders = [_order_before(value) for value in inputs.values()]

    def agrees(picture, answer) -> bool:
        scores, *pieces = answer
        signed = _joined(pieces, shapes)
        if signed is None:
            return False
        seen = tf.nest.flatten(look.predict_on_batch(picture))
        signed = [
            value if order is None else _nearest([value, value[..., order]], usual)
            for value, order, usual in zip(signed, orders, seen, strict=True)
        ]
        convolved = [layer(signed[place], training=False) for layer, place in zip(layers, places, strict=True)]
        expected, *own = follow.predict_on_batch([picture, *convolved])
        return np.abs(expected - scores).max() <= tolerance and all(
            np.abs(ours - theirs).max() <= ROUNDING * np.abs(ours).max()
            for ours, theirs in zip(own, signed, strict=True)
        )

    with tempfile.TemporaryDirectory() as folder:
        exposed = Path(folder) / "signs.tflite"
        exposed.write_bytes(expose(flatbuffer))
        with Interpreter(exposed, kernel=kernel, several_outputs=True) as interpreter:
            return np.array([agrees(picture[None], interpreter.outputs(picture[None])) for picture in pictures], bool)
