"""What became of each Keras layer: the operators of the flatbuffer it is, and why it is not binary."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

import tensorflow as tf

from ftbnn_larq.conversion import census, proof
from ftbnn_larq.models.layers import is_binary

_DEPTHWISE = (tf.keras.layers.DepthwiseConv2D, tf.keras.layers.SeparableConv2D)
_WEIGHING = (tf.keras.layers.Conv2D, tf.keras.layers.Dense, *_DEPTHWISE)


def explain(model: tf.keras.Model, found: list[census.Operator]) -> list[dict]:
    """The way of each layer, in the model's order; those of models inside the model as "inner/layer".

    Arguments:
        model: as it was converted.
        found: the operators, by the names of whose outputs the layers are told.

    Returns:
        `[{layer, type, operators: {name: count}, within, float_because}]`. `within` names the layer in whose operators
        the layer is contained, if it has none of its own, else it is None; `float_because` says why a convolution or
        dense layer is not binary, None for any other layer.
    """
    paths = {id(layer): path for path, layer in _inside(model)}
    own = defaultdict(Counter)
    for operator, path in zip(found, layers(model, found), strict=True):
        own[path][operator.type] += 1
    rows = []
    for path, layer in _inside(model):
        operators, within = own[path], None
        near = _nearest(layer, model, lambda other: paths.get(id(other)) if own.get(paths.get(id(other))) else None)
        if is_binary(layer) and near and not operators[census.BINARY_CONVOLUTION]:
            # The convolution's output is called after the batch norm that it absorbed.
            operators = operators + Counter({census.BINARY_CONVOLUTION: own[near][census.BINARY_CONVOLUTION]})
        if not operators and near and not isinstance(layer, tf.keras.layers.InputLayer):
            operators, within = own[near], near
        rows.append(
            {
                "layer": path,
                "type": type(layer).__name__,
                "operators": dict(operators),
                "within": within,
                "float_because": _why_float(layer),
            }
        )
    return rows


def layers(model: tf.keras.Model, found: list[census.Operator]) -> list[str]:
    """The path of the layer that each operator belongs to; where its output's name tells none, that name."""
    known = [path for path, _ in _inside(model)]

    def of(operator) -> str:
        parts = operator.output.split(";")[0].split("/")
        spans = [(end - begin, begin) for begin in range(len(parts)) for end in range(begin + 1, len(parts) + 1)]
        paths = ("/".join(parts[begin : begin + length]) for length, begin in sorted(spans, reverse=True))
        return next((path for path in paths if path in known), known[-1] if operator is found[-1] else operator.output)

    return [of(operator) for operator in found]


def _inside(model: tf.keras.Model, prefix: str = "") -> Iterator[tuple[str, tf.keras.layers.Layer]]:
    for layer in model.layers:
        if isinstance(layer, tf.keras.Model):
            yield from _inside(layer, f"{prefix}{layer.name}/")
        else:
            yield f"{prefix}{layer.name}", layer


def _nearest(layer, model: tf.keras.Model, path_of) -> str | None:
    """The layer in whose operators `layer` is: the convolution that a batch norm follows, else the nearest behind it.

    Arguments:
        path_of: gives the path of a layer that has operators of its own, None for any other.
    """
    if isinstance(layer, tf.keras.layers.BatchNormalization):
        front = layer.inbound_nodes[0].inbound_layers
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


def _why_float(layer) -> str | None:
    if not isinstance(layer, _WEIGHING):
        return None
    if is_binary(layer):
        return proof.known_reason(layer)
    kernels = ("depthwise", "pointwise") if isinstance(layer, tf.keras.layers.SeparableConv2D) else ("depthwise",)
    parts = {"input": ("input",), "kernel": kernels if isinstance(layer, _DEPTHWISE) else ("kernel",)}
    lacking = [
        what
        for what, names in parts.items()
        if any(getattr(getattr(layer, f"{name}_quantizer", None), "precision", None) != 1 for name in names)
    ]
    if not lacking:
        return "LCE has no binary depthwise convolutions"
    return f"its {' and '.join(lacking)} {'is' if len(lacking) == 1 else 'are'} not quantized to one bit"
