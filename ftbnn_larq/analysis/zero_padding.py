"""Binary convolutions that LCE computes wrongly: padded with zeros, on a map that their kernel covers.

LCE has no zero among its signs. It pads with 1, and its default and indirect kernels then subtract what a kernel reads
outside of the map. They expect it to stick out on one side only. Where a window reaches from one border to the other,
or beyond, and is longer than the map, nothing is subtracted, or the wrong thing. LCE's reference kernel is right.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from ftbnn_larq.analysis.calls import trace
from ftbnn_larq.models.layers import is_binary


class Covered(NamedTuple):
    """A binary convolution, padded with zeros, of which a window covers the whole height or width of its map.

    Attributes:
        layer: its path in the model.
        kernel: (height, width) of a window, dilation included.
        map: (height, width) of what it reads.
    """

    layer: str
    kernel: tuple[int, ...]
    map: tuple[int, ...]

    def __str__(self) -> str:
        window, side = ("x".join(map(str, size)) for size in (self.kernel, self.map))
        return (
            f"{self.layer} pads its {side} map with zeros, and its {window} window covers that map: LCE computes this "
            "wrongly"
        )


def covered(model: tf.keras.Model) -> list[Covered]:
    """The convolutions of a built model that LCE would compute wrongly, in order of execution.

    Raises:
        ConfigError: the model is not built, or its input size is not fixed.
    """
    if not any(map(_pads_with_zeros, model.submodules)):
        return []
    found = []
    for call in trace(model):
        layer = call.layer
        if _pads_with_zeros(layer):
            window = tuple((k - 1) * d + 1 for k, d in zip(layer.kernel_size, layer.dilation_rate, strict=True))
            side = call.input_shape[1:-1]
            if any(map(_covers, window, side, layer.strides)):
                found.append(Covered(call.path, window, side))
    return found


def _pads_with_zeros(layer) -> bool:
    return is_binary(layer) and getattr(layer, "padding", None) == "same" and getattr(layer, "pad_values", None) == 0


def _covers(window: int, side: int, stride: int) -> bool:
    """Whether a window of a 'same' convolution is longer than the side of the map, and one lies on all of it."""
    outputs = -(-side // stride)
    before = max(0, (outputs - 1) * stride + window - side) // 2
    starts = (place * stride - before for place in range(outputs))
    return window > side and any(start <= 0 and start + window >= side for start in starts)
