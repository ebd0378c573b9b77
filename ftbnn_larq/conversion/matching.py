"""Which binary convolution of a flatbuffer is which layer: told by the weights, for LCE keeps no names and no order."""

from __future__ import annotations

import larq as lq
import numpy as np
import tensorflow as tf

from ftbnn_larq.conversion.network import Network
from ftbnn_larq.conversion.passes.groups import WORD


def match(network: Network, kernels: list[np.ndarray]) -> list[list[int]] | None:
    """The convolutions that each binary layer became: one, or one for each group where groups were split.

    What the weights say is a guess, the nearest one where none fits; whether it is right shows when the network is run
    with it. Of equal kernels, as those of a layer that is called twice, the first one comes first.

    Arguments:
        kernels: packed, int32 (filters, h, w, words), in order of execution.

    Returns:
        Places in `kernels`; None where there are not as many of such shapes.
    """
    split = len(kernels) > len(network.binary)
    waiting, found = dict(enumerate(kernels)), []
    for layer in network.binary:
        with lq.context.quantized_scope(True):
            negative = tf.convert_to_tensor(layer.kernel).numpy() < 0
        parts = []
        for piece in np.split(negative, getattr(layer, "groups", 1) if split else 1, axis=-1):
            distances = {place: _distance(words, piece) for place, words in waiting.items()}
            place = min(distances, key=distances.get, default=None)
            if place is None or distances[place] == np.inf:
                return None
            del waiting[place]
            parts.append(place)
        found.append(parts)
    return None if waiting else found


def _distance(words: np.ndarray, negative: np.ndarray) -> float:
    """How many signs of packed weights are not those of a kernel (..., filters); infinity for another shape.

    LCE turns all signs of a filter where a negative scale follows it, so that either is the same filter.
    """
    filters, *window, depth = words.shape
    channels, rest = divmod(negative.size, filters * int(np.prod(window)))
    if rest or negative.shape[-1] != filters or -(-channels // WORD) != depth:
        return np.inf
    bits = np.unpackbits(np.ascontiguousarray(words).view(np.uint8), axis=-1, bitorder="little")[..., :channels]
    different = (bits.reshape(filters, -1) != negative.reshape(-1, filters).T).sum(axis=1)
    return float(np.minimum(different, bits.size // filters - different).sum())
