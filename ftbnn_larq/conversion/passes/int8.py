"""Float kernels in 8 bits: rounded in Keras, stored so in the flatbuffer, multiplied as floats."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from ftbnn_larq.conversion.flatbuffer import Graph

# Symmetric, as TFLite wants weights: whole multiples, up to this one either way, of a scale for each filter.
LEVELS = 127
# Smaller kernels, such as those of a light stem, are half a percent of a file, and every sign depends on them.
FEWEST_WEIGHTS = 4096

_ROUNDED = (tf.keras.layers.Conv2D, tf.keras.layers.Dense)
_STORED = ("CONV_2D", "FULLY_CONNECTED")


@contextlib.contextmanager
def rounded(model: tf.keras.Model) -> Iterator[list[str]]:
    """While the block runs, the float kernels of `model` hold what 8 bits can hold; gives the names of their layers.

    Each weight moves by half a step at most, a step being the largest weight of its filter / 127. Batch norms behind
    a kernel scale whole filters and keep it on the grid, so that the flatbuffer's kernel, batch norm folded in, is
    stored in 8 bits without any further rounding, and has to give this model's answers.
    """
    kept = []
    try:
        for layer in model.submodules:
            transposed = isinstance(layer, tf.keras.layers.Conv2DTranspose)
            if isinstance(layer, _ROUNDED) and not transposed and getattr(layer, "kernel_quantizer", None) is None:
                values = layer.kernel.numpy()
                if values.size >= FEWEST_WEIGHTS:
                    kept.append((layer, values))
                    layer.kernel.assign(_on_grid(values))
        yield [layer.name for layer, _ in kept]
    finally:
        for layer, values in kept:
            layer.kernel.assign(values)


def _on_grid(values: np.ndarray) -> np.ndarray:
    """Weights (..., filters) rounded."""
    steps = np.abs(values).max(axis=tuple(range(values.ndim - 1)), keepdims=True).astype(np.float64) / LEVELS
    steps = np.where(steps == 0, 1.0, steps)
    return (np.round(values / steps) * steps).astype(values.dtype)


def store(graph: Graph) -> None:
    """Store kernels that lie on a grid of 8 bits as int8, and let DEQUANTIZE make floats of them.

    TFLite runs DEQUANTIZE of a constant once, at the first inference, so that it costs no time, and the arithmetic
    stays that of floats; its hybrid kernels would round the activations too.
    """
    for operator in list(graph.operators):
        if graph.type(operator) in _STORED:
            kernel = graph.constant(operator.inputs[1])
            if kernel is not None and kernel.dtype == np.float32 and _may_be_rounded(kernel):
                _store(graph, operator, kernel)


def _may_be_rounded(kernel: np.ndarray) -> bool:
    # It may also have been cut into small ones; but so many weights a filter lie on no grid by chance.
    return kernel.size >= FEWEST_WEIGHTS or kernel[0].size >= 32


def _store(graph: Graph, operator, kernel: np.ndarray) -> None:
    steps = np.abs(kernel).reshape(len(kernel), -1).max(axis=1).astype(np.float64) / LEVELS
    steps = np.where(steps == 0, 1.0, steps).reshape(-1, *[1] * (kernel.ndim - 1))
    levels = np.round(kernel / steps)
    if np.abs(kernel / steps - levels).max() > 1e-3:
        return
    stored = graph.add_quantized(levels.astype(np.int8), steps.reshape(-1))
    restored = graph.add_tensor(kernel.shape, operator.inputs[1], f"{graph.name(operator.outputs[0])}/kernel")
    place = graph.operators.index(operator)
    graph.operators.insert(place, graph.operator("DEQUANTIZE", [stored], [restored]))
    operator.inputs[1] = restored
