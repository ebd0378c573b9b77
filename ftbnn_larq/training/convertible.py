"""What is said before a training whose network could not be converted afterwards."""

from __future__ import annotations

import dataclasses
import math

import tensorflow as tf

from ftbnn_larq.analysis import zero_padding
from ftbnn_larq.documents import Network
from ftbnn_larq.zoo import networks

# Sizes of pictures that are tried for advice. A network of others is built for each, which takes seconds.
TRIES = 3


def warning(network: tf.keras.Model, described: Network) -> str | None:
    """A line on why `convert` will refuse the network, and what to do; None where nothing is known against it.

    Arguments:
        described: the network, as `networks.rebuild` takes it.
    """
    found = zero_padding.covered(network)
    if not found:
        return None
    size = _larger(found, described)
    advice = f"take --input-size {size}, or train it for Keras alone" if size else "it can be trained for Keras alone"
    height, width, _ = described.input_shape
    return f"{described.name} cannot be converted for {height}x{width} pictures: {found[0]}; {advice}"


def _larger(found: list[zero_padding.Covered], described: Network) -> int | None:
    """A side of square pictures for which the network can be converted, or None."""
    height, width, channels = described.input_shape
    for _ in range(TRIES):
        growth = max(window / side for each in found for window, side in zip(each.kernel, each.map, strict=True))
        height = width = math.ceil(max(height, width) * growth)
        found = zero_padding.covered(
            networks.rebuild(dataclasses.replace(described, input_shape=(height, width, channels)))
        )
        if not found:
            return height
    return None
