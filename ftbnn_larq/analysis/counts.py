"""Operation counts of any built Keras model, one multiply-accumulate being one operation.

OPs = FLOPs + BOPs / 64, both in multiply-accumulates (Bi-Real Net, arXiv 1808.00278, section 4.3): a 64-bit machine
does 64 binary ones in the time of a float one. Only convolutions and dense layers count, as in the literature;
batch norms, non-linearities, poolings and additions do not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import tensorflow as tf

from ftbnn_larq.layers import is_binary

BINARY_PER_FLOAT = 64


@dataclass(frozen=True)
class LayerCount:
    """One layer: parameters and multiply-accumulates for one picture, binary and float.

    `params_binary` are weights that need one bit; they can belong to a layer that multiplies them with floats.
    """

    name: str
    type: str
    output_shape: tuple
    params_binary: int
    params_float: int
    macs_binary: int
    macs_float: int

    @property
    def ops(self) -> float:
        return self.macs_float + self.macs_binary / BINARY_PER_FLOAT

    @property
    def weights_bytes(self) -> int:
        return math.ceil(self.params_binary / 8) + 4 * self.params_float


def _multiply_accumulates(layer) -> int:
    if isinstance(layer, tf.keras.layers.Dense):
        return math.prod(layer.output_shape[1:]) * layer.kernel.shape[0]
    if isinstance(layer, tf.keras.layers.SeparableConv2D):
        positions = math.prod(layer.output_shape[1:3])
        return positions * (math.prod(layer.depthwise_kernel.shape) + math.prod(layer.pointwise_kernel.shape))
    if isinstance(layer, tf.keras.layers.DepthwiseConv2D):
        return math.prod(layer.output_shape[1:3]) * math.prod(layer.depthwise_kernel.shape)
    if isinstance(layer, tf.keras.layers.Conv2DTranspose):
        return math.prod(layer.input_shape[1:3]) * math.prod(layer.kernel.shape)
    if isinstance(layer, tf.keras.layers.Conv2D):
        # The kernel's third axis holds the input channels of one group.
        return math.prod(layer.output_shape[1:3]) * math.prod(layer.kernel.shape)
    return 0


def _count_layer(layer) -> LayerCount:
    params_binary = sum(math.prod(weight.shape) for weight in layer.weights if getattr(weight, "precision", None) == 1)
    params = sum(math.prod(weight.shape) for weight in layer.weights)
    macs = _multiply_accumulates(layer)
    binary = is_binary(layer)
    shape = layer.output_shape
    return LayerCount(
        name=layer.name,
        type=type(layer).__name__,
        output_shape=tuple(shape[0] if isinstance(shape, list) else shape)[1:],
        params_binary=params_binary,
        params_float=params - params_binary,
        macs_binary=macs if binary else 0,
        macs_float=0 if binary else macs,
    )


def count(model: tf.keras.Model) -> dict:
    """Counts of a model with a fixed input size: totals and one row a layer, as the command `summary` prints them.

    Returns:
        `{name, input_shape, params: {binary, float}, macs: {binary, float}, ops, weights_bytes, layers: [...]}`;
        macs and ops are multiply-accumulates for one picture, weights_bytes a bit for a binary parameter and
        four bytes for any other.
    """
    layers = [_count_layer(layer) for layer in model.layers]

    def total(attribute):
        return sum(getattr(layer, attribute) for layer in layers)

    return {
        "name": model.name,
        "input_shape": list(model.input_shape[1:]),
        "params": {"binary": total("params_binary"), "float": total("params_float")},
        "macs": {"binary": total("macs_binary"), "float": total("macs_float")},
        "ops": total("ops"),
        "weights_bytes": total("weights_bytes"),
        "layers": [
            {
                "name": layer.name,
                "type": layer.type,
                "output_shape": list(layer.output_shape),
                "params": {"binary": layer.params_binary, "float": layer.params_float},
                "macs": {"binary": layer.macs_binary, "float": layer.macs_float},
                "ops": layer.ops,
            }
            for layer in layers
        ],
    }
