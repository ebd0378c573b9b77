"""What became of each Keras layer: the operators of the flatbuffer it is, and why it is not binary."""

from __future__ import annotations

from collections import Counter

import tensorflow as tf

from ftbnn_larq.deploy import census, proof
from ftbnn_larq.layers import is_binary

_WEIGHING = (tf.keras.layers.Conv2D, tf.keras.layers.Dense)


def explain(model: tf.keras.Model, found: list[census.Operator]) -> list[dict]:
    """The way of each layer, in the model's order.

    Arguments:
        model: as it was converted.
        found: the operators, by the names of whose outputs the layers are told.

    Returns:
        `[{layer, type, operators: {name: count}, within, float_because}]`. `within` names the layer in whose operators
        the layer is contained, if it has none of its own, else it is None; `float_because` says why a convolution or
        dense layer is not binary, None for any other layer.
    """
    own = {layer.name: Counter() for layer in model.layers}
    for operator in found:
        for part in operator.output.split("/"):
            if part in own:
                own[part][operator.type] += 1
                break
    last = found[-1].type
    rows = []
    for layer in model.layers:
        operators, within = own[layer.name], None
        following = _first_behind(layer, own)
        if is_binary(layer) and following and not operators[census.BINARY_CONVOLUTION]:
            # The convolution's output is called after the batch norm that it absorbed.
            operators = operators + Counter({census.BINARY_CONVOLUTION: own[following][census.BINARY_CONVOLUTION]})
        if not operators and not isinstance(layer, tf.keras.layers.InputLayer):
            operators, within = (own[following], following) if following else (Counter({last: 1}), None)
        rows.append(
            {
                "layer": layer.name,
                "type": type(layer).__name__,
                "operators": dict(operators),
                "within": within,
                "float_because": _why_float(layer),
            }
        )
    return rows


def _first_behind(layer, own: dict[str, Counter]) -> str | None:
    """The nearest layer that reads `layer`'s output, or reads what reads it, and has operators of its own."""
    waiting, seen = [layer], set()
    while waiting:
        for node in waiting.pop(0).outbound_nodes:
            reader = node.outbound_layer
            if reader.name not in seen:
                seen.add(reader.name)
                if own.get(reader.name):
                    return reader.name
                waiting.append(reader)
    return None


def _why_float(layer) -> str | None:
    if not isinstance(layer, _WEIGHING):
        return None
    if is_binary(layer):
        return proof.known_reason(layer)
    lacking = [
        what
        for what in ("input", "kernel")
        if getattr(getattr(layer, f"{what}_quantizer", None), "precision", None) != 1
    ]
    return f"its {' and '.join(lacking)} {'is' if len(lacking) == 1 else 'are'} not quantized to one bit"
