"""How large the Keras model of a file can be: as the weights in the file are, and as this machine takes."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator

from ftbnn_larq import leash
from ftbnn_larq.documents import MOST_SIDE
from ftbnn_larq.errors import ModelFileError

# Of numbers that are no weights of a file: states of generators, and of layers that keep one from batch to batch.
_MOST_MORE = 10**6
# For these Keras runs a loop in Python, over pixels, as for RNNs that are unrolled over steps of time. A layer that is
# stateful takes memory for its maps.
_IN_LOOPS = re.compile(r"(Quant)?LocallyConnected[12]D")


@contextlib.contextmanager
def limited(path, weights) -> Iterator[None]:
    """Within this, Keras makes as many weights as an HDF5 file holds, and no more.

    Arguments:
        path: what messages name.
        weights: the HDF5 file.

    Raises:
        ModelFileError: the model has more weights. They are counted before any memory is taken for them.
    """
    import tensorflow as tf

    stored, made = _numbers(weights), 0

    def count(create, **given):
        nonlocal made
        shape = tf.TensorShape(given.get("shape"))
        made += math.prod(shape) if shape.is_fully_defined() else 0
        if made > stored + _MOST_MORE:
            raise ModelFileError(
                f"{path}: damaged: its layers need more than {made:,} weights, and it holds {stored:,} numbers"
            )
        return create(**given)

    with tf.variable_creator_scope(count):
        yield


def _numbers(weights) -> int:
    """How many an HDF5 file holds."""
    import h5py

    found = 0

    def add(_, item) -> None:
        nonlocal found
        found += item.size or 0 if isinstance(item, h5py.Dataset) else 0

    with h5py.File(weights, "r") as file:
        file.visititems(add)
    return found


def check_maps(path, model) -> None:
    """Refuse a model whose pictures or maps no machine such as this computes. Raises ModelFileError."""
    for shape in (tuple(each.shape) for each in model.inputs or ()):
        if len(shape) == 4 and max(side or 1 for side in shape) > MOST_SIDE:
            raise ModelFileError(f"{path}: its input is {shape}: pictures have at most {MOST_SIDE} pixels a side")
    for layer in model.submodules:
        for node in getattr(layer, "inbound_nodes", ()):
            for shape in _shapes(node.output_shapes):
                if 4 * math.prod(side or 1 for side in shape) > leash.memory():
                    raise ModelFileError(
                        f"{path}: the layer {layer.name} gives {shape}, which takes more than "
                        f"{leash.memory() / 1e9:.1f} GB of memory, half of this machine's"
                    )


def _shapes(value) -> Iterator[tuple]:
    """The shapes in what Keras tells of a call: one, or lists or dicts of them."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, tuple) and all(side is None or isinstance(side, int) for side in value):
        yield value
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _shapes(each)


def has_no_bounds(config) -> bool:
    """Whether the time or memory to build a model may have nothing to do with its weights."""
    if isinstance(config, list):
        return any(map(has_no_bounds, config))
    if not isinstance(config, dict):
        return False
    if config.get("unroll") or config.get("stateful") or _IN_LOOPS.fullmatch(str(config.get("class_name"))):
        return True
    return any(map(has_no_bounds, config.values()))
