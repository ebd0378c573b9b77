"""What became of each Keras layer: the operators of the flatbuffer it is, and why it is not binary."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import tensorflow as tf

from ftbnn_larq.conversion import census, dense
from ftbnn_larq.conversion.network import Layer, Network
from ftbnn_larq.conversion.passes.groups import WORD

_DEPTHWISE = (tf.keras.layers.DepthwiseConv2D, tf.keras.layers.SeparableConv2D)
_OF_PICTURES = (tf.keras.layers.Conv2D, tf.keras.layers.Dense)
_WEIGHING = (*_OF_PICTURES, *_DEPTHWISE)


def explain(network: Network, found: list[census.Operator], owners: list[str]) -> list[dict]:
    """What became of each layer, in the model's order.

    Arguments:
        found: the operators of the flatbuffer.
        owners: the layer of each; see `owners`.

    Returns:
        `[{layer, type, operators: {name: count}, within, float_because}]`. `within` names the layer in whose operators
        the layer is contained, if it has none of its own, else it is None; `float_because` says why a convolution or
        dense layer is not binary, None for any other layer.
    """
    paths = {id(layer.keras): layer.path for layer in network.layers}
    own = defaultdict(Counter)
    for operator, path in zip(found, owners, strict=True):
        own[path][operator.type] += 1

    def with_operators(keras) -> str | None:
        path = paths.get(id(keras))
        return path if own.get(path) else None

    rows = []
    for layer in network.layers:
        operators, within = own[layer.path], None
        near = _nearest(layer.keras, with_operators)
        if layer.binary and near and not operators[census.BINARY_CONVOLUTION]:
            # The convolution's output is called after the batch norm that it absorbed.
            operators = operators + Counter({census.BINARY_CONVOLUTION: own[near][census.BINARY_CONVOLUTION]})
        if not operators and near and not isinstance(layer.keras, tf.keras.layers.InputLayer):
            operators, within = own[near], near
        rows.append(
            {
                "layer": layer.path,
                "type": type(layer.keras).__name__,
                "operators": dict(operators),
                "within": within,
                "float_because": _why_float(layer),
            }
        )
    return rows


def owners(network: Network, found: list[census.Operator]) -> list[str]:
    """The path of the layer that each operator belongs to; where its output's name tells none, that name."""
    known = [layer.path for layer in network.layers]

    def of(operator) -> str:
        parts = operator.output.split(";")[0].split("/")
        spans = [(end - begin, begin) for begin in range(len(parts)) for end in range(begin + 1, len(parts) + 1)]
        paths = ("/".join(parts[begin : begin + length]) for length, begin in sorted(spans, reverse=True))
        return next((path for path in paths if path in known), known[-1] if operator is found[-1] else operator.output)

    return [of(operator) for operator in found]


def _nearest(layer, path_of) -> str | None:
    """The layer in whose operators `layer` is: the convolution that a batch norm follows, else the nearest behind it.

    Arguments:
        path_of: gives the path of a layer that has operators of its own, None for any other.
    """
    if isinstance(layer, tf.keras.layers.BatchNormalization):
        # A layer of a subclassed model has no nodes.
        front = layer.inbound_nodes[0].inbound_layers if layer.inbound_nodes else None
        if (hasattr(front, "kernel") or hasattr(front, "depthwise_kernel")) and path_of(front):
            return path_of(front)
    waiting, seen = [layer], set()
    while waiting:
        for node in waiting.pop(0).outbound_nodes:
            reader = node.outbound_layer
            if id(reader) not in seen:
                seen.add(id(reader))
                if path_of(reader):
                    return path_of(reader)
                waiting.append(reader.layers[0] if isinstance(reader, tf.keras.Model) else reader)
    return None


def known_reason(layer) -> str | None:
    """Why LCE has no binary operator for a binary layer; None if that is not known."""
    if isinstance(layer, tf.keras.layers.Dense) and not dense.is_convertible(layer):
        return "a binary dense layer with a call of its own; only Larq's QuantDense becomes a binary convolution"
    if not isinstance(layer, _OF_PICTURES) or isinstance(layer, tf.keras.layers.Conv2DTranspose):
        return "LCE has binary convolutions of pictures only, of Larq's QuantConv2D and QuantDense"
    groups = getattr(layer, "groups", 1)
    channels = layer.kernel.shape[-2]
    if groups > 1 and channels % WORD:
        return f"{channels} channels per group, LCE needs a multiple of {WORD}"
    if getattr(layer, "padding", None) == "same" and getattr(layer, "pad_values", 0.0) not in (0.0, 1.0):
        return f"padded with {layer.pad_values}, LCE pads with 0 or 1"
    if not np.all(layer.input_quantizer(-tf.ones((1, 1, 1, groups * channels)))):
        return f"its input quantizer {type(layer.input_quantizer).__name__} gives 0 and 1, LCE needs -1 and 1"
    return None


def _why_float(layer: Layer) -> str | None:
    keras = layer.keras
    if not isinstance(keras, _WEIGHING):
        return None
    if layer.binary:
        return known_reason(keras)
    kernels = ("depthwise", "pointwise") if isinstance(keras, tf.keras.layers.SeparableConv2D) else ("depthwise",)
    parts = {"input": ("input",), "kernel": kernels if isinstance(keras, _DEPTHWISE) else ("kernel",)}
    lacking = [
        what
        for what, names in parts.items()
        if any(getattr(getattr(keras, f"{name}_quantizer", None), "precision", None) != 1 for name in names)
    ]
    if not lacking:
        return "LCE has no binary depthwise convolutions"
    return f"its {' and '.join(lacking)} {'is' if len(lacking) == 1 else 'are'} not quantized to one bit"
