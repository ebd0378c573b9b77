"""Weights files (.weights.h5, as Keras writes them): written whole, and checked before they are loaded."""

from __future__ import annotations

import errno
import math
import os
import re
import shutil
from pathlib import Path

from ftbnn_larq.errors import ModelFileError, one_line
from ftbnn_larq.files import written_whole


def load_weights(model, path: str | os.PathLike) -> None:
    """Load a .weights.h5 file.

    Raises:
        ModelFileError: it is damaged, or of another network; the message names the first weights that differ.
    """
    try:
        stored = _stored_shapes(path)
    except Exception as error:  # h5py raises a dozen kinds for a damaged file
        raise ModelFileError(f"{path}: damaged, or no .weights.h5 file ({one_line(error, 160)})") from error
    # Keras compares one by one and loads until then, and takes no notice of weights that the model lacks.
    for key, layer, variable in _keys(model):
        found = stored.pop(key, None)
        name = f"{layer.name}/{variable.name.split('/')[-1].split(':')[0]}"
        if found is None:
            raise ModelFileError(f"{path}: not the weights of this {model.name}: it has none for {name}")
        if found != tuple(variable.shape):
            raise ModelFileError(
                f"{path}: not the weights of this {model.name}: {name} is {found} there, {tuple(variable.shape)} here"
            )
    if stored:
        raise ModelFileError(
            f"{path}: not the weights of this {model.name}: it has {len(stored)} more, first {min(stored)}"
        )
    try:
        model.load_weights(path)
    except Exception as error:
        raise ModelFileError(f"{path}: damaged ({one_line(error, 160)})") from error


def _stored_shapes(path) -> dict[str, tuple]:
    """Paths and shapes of the layers' weights in a .weights.h5 file; an optimizer's are left out."""
    import h5py

    shapes = {}

    def note(name, item):
        if isinstance(item, h5py.Dataset):
            shapes[f"layers/{name}"] = item.shape

    with h5py.File(path) as file:
        file["layers"].visititems(note)
    return shapes


def _keys(model):
    """Where Keras keeps each weight of a model in a .weights.h5 file: `(path, layer, variable)`."""
    used = {}
    for layer in model.layers:
        kind = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", type(layer).__name__)
        kind = re.sub(r"([a-z])([A-Z])", r"\1_\2", kind).lower()
        used[kind] = used.get(kind, -1) + 1
        folder = f"layers/{kind}_{used[kind]}" if used[kind] else f"layers/{kind}"
        for index, variable in enumerate(layer.weights):
            yield f"{folder}/vars/{index}", layer, variable


def save_weights(model, path: Path) -> None:
    """Write a .weights.h5 file whole; a compiled model's optimizer goes into it too.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    variables = [*model.weights, *(model.optimizer.variables if getattr(model, "optimizer", None) else [])]
    needed = sum(math.prod(variable.shape) * variable.dtype.size for variable in variables)
    # Asked first, since h5py prints tracebacks of its own when it runs out of disk.
    path.parent.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(path.parent).free < needed * 1.1 + (1 << 18):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    with written_whole(path) as temporary:
        model.save_weights(temporary)
