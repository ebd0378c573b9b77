"""Weights files: those of Keras, and .npz, our compact form. Files are checked before loading.

An .npz file has 1 bit for each binary weight, 32 bits for every other one, and a description of the network.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import math
import os
import re
import shutil
import tempfile
import zipfile
from pathlib import Path

from ftbnn_larq import documents, leash
from ftbnn_larq.errors import ModelFileError, one_line
from ftbnn_larq.files import check_ends, written_whole
from ftbnn_larq.models import hdf5


def load_weights(model, path: str | os.PathLike) -> None:
    """Load a weights file into a model: an .npz file, or an HDF5 or .keras file that Keras wrote.

    A model built without its top can be loaded from an .npz file; the weights of the top are skipped. Of a file with a
    whole model only the weights are read.

    Raises:
        ModelFileError: the file is damaged or of another network. The message names the first weights that differ.
    """
    if is_compact(path):
        _load_compact(model, path)
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            file = by_keras_name(Path(path), Path(folder))
            stored = _shapes(file, "layers") if file.name == WEIGHTS else None
        except ModelFileError:
            raise
        except Exception as error:  # zipfile and h5py raise a dozen kinds for a damaged file
            raise ModelFileError(f"{path}: damaged, or not a .weights.h5 file ({one_line(error, 160)})") from error
        if stored is not None:
            _check_shapes(model, path, stored)
        try:
            model.load_weights(file)
        except Exception as error:
            reason = "damaged" if stored is not None else f"not the weights of this {model.name}"
            raise ModelFileError(f"{path}: {reason} ({one_line(error, 160)})") from error


def check_finite(model, error: type[Exception], where: str = "") -> None:
    """Raise `error` if a weight of a model is NaN or infinite: its scores would be no numbers.

    Arguments:
        where: begins the message, such as "network.keras: ".
    """
    import numpy as np

    for layer in model.submodules:
        for variable in getattr(layer, "_trainable_weights", []) + getattr(layer, "_non_trainable_weights", []):
            if variable.dtype.is_floating and not np.isfinite(variable.numpy()).all():
                name = variable.name.split("/")[-1].split(":")[0]
                raise error(
                    f"{where}{layer.name}/{name} holds NaN or infinity: the training went wrong; take weights from "
                    "before that"
                )


def is_compact(path: str | os.PathLike) -> bool:
    """Whether a weights file has the name of our compact form."""
    return Path(path).suffix.lower() == ".npz"


# What Keras calls the weights in a .keras file.
WEIGHTS = "model.weights.h5"


def by_keras_name(path: Path, folder: Path) -> Path:
    """The file `path`, or the weights in it, under a name in `folder` that tells Keras of its form.

    "model.h5" is the older form, which files with a whole model have too.

    Raises:
        ModelFileError: `hdf5.check` refuses the weights. What is no zip file or lacks them raises other exceptions.
    """
    check_ends(path)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if (size := archive.getinfo(WEIGHTS).file_size) > leash.memory():
                raise ModelFileError(f"{path}, {WEIGHTS}: damaged: {size / 1e9:.1f} GB, more than this machine takes")
            extracted = Path(archive.extract(WEIGHTS, folder))
        hdf5.check(extracted, f"{path}, {WEIGHTS}")
        return extracted
    hdf5.check(path)
    import h5py

    with h5py.File(path) as file:
        older = "layer_names" in file.attrs or "model_weights" in file
    link = folder / ("model.h5" if older else WEIGHTS)
    link.symlink_to(path.absolute())
    return link


def _check_shapes(model, path, stored: dict[str, tuple]) -> None:
    """Compare shapes, because Keras loads layer by layer until one differs, and ignores weights that the model lacks.

    Raises:
        ModelFileError: the file is of another network.
    """
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


def optimizer_shapes(path: str | os.PathLike) -> list[tuple]:
    """Shapes of the optimizer's variables in a .weights.h5 file.

    Raises:
        ModelFileError: the file is damaged, or has none.
    """
    try:
        shapes = _shapes(path, "optimizer")
        return [shape for _, shape in sorted(shapes.items(), key=lambda item: int(item[0].rpartition("/")[2]))]
    except Exception as error:  # as above
        raise ModelFileError(f"{path}: damaged, or without an optimizer ({one_line(error, 160)})") from error


def _shapes(path, part: str) -> dict[str, tuple]:
    """Paths and shapes of the variables in a part, "layers" or "optimizer", of a .weights.h5 file."""
    import h5py

    shapes = {}

    def note(name, item):
        if isinstance(item, h5py.Dataset):
            shapes[f"{part}/{name}"] = item.shape

    with h5py.File(path) as file:
        if not isinstance(group := file[part], h5py.Group):
            raise ValueError(f"{part} is no group")
        group.visititems(note)
    return shapes


def _keys(model):
    """Yield `(path, layer, variable)`: where Keras stores each weight of a model in a .weights.h5 file."""
    used = {}
    for layer in model.layers:
        kind = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", type(layer).__name__)
        kind = re.sub(r"([a-z])([A-Z])", r"\1_\2", kind).lower()
        used[kind] = used.get(kind, -1) + 1
        folder = f"layers/{kind}_{used[kind]}" if used[kind] else f"layers/{kind}"
        for index, variable in enumerate(layer.weights):
            yield f"{folder}/vars/{index}", layer, variable


def save_weights(model, path: Path) -> None:
    """Write a .weights.h5 file, with the optimizer's variables if the model is compiled.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    variables = [*model.weights, *(model.optimizer.variables if getattr(model, "optimizer", None) else [])]
    needed = sum(math.prod(variable.shape) * variable.dtype.size for variable in variables)
    # Checked first, because h5py prints its own tracebacks when the disk is full.
    path.parent.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(path.parent).free < needed * 1.1 + (1 << 18):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    with written_whole(path) as temporary:
        model.save_weights(temporary)


DESCRIPTION = "description"


def save_compact(model, path: str | os.PathLike, description: documents.Training) -> None:
    """Write a network's weights as an .npz file: binary kernels as their signs and the mean magnitude.

    Arguments:
        model: the network.
        path: the file to write.
        description: what the network is and what it was trained on; `documents.Weights` where more is to be told.
    """
    import numpy as np

    from ftbnn_larq.models.layers import is_binary

    arrays = {DESCRIPTION: np.frombuffer(json.dumps(dataclasses.asdict(description)).encode(), np.uint8)}
    for layer in model.layers:
        for index, value in enumerate(layer.get_weights()):
            name = f"{layer.name}/{index}"
            if index == 0 and is_binary(layer):
                arrays[f"{name}/signs"] = np.packbits(value >= 0)
                arrays[f"{name}/size"] = np.float32(np.abs(value).mean())
            else:
                arrays[name] = value
    with written_whole(path) as temporary:
        np.savez_compressed(temporary, **arrays)


def read_description(path: str | os.PathLike) -> documents.Weights:
    """The description in an .npz file. Raises ModelFileError if `save_compact` did not write the file."""
    with _opened(path) as file:
        (size,) = _shape(file, DESCRIPTION)
        if size > documents.MOST_BYTES:
            raise ModelFileError(f"{path}: damaged: its description has {size:,} bytes")
        content = file[DESCRIPTION].tobytes()
    source = f"{path}, {DESCRIPTION}"
    return documents.check(documents.parse(content, source, ModelFileError), documents.Weights, source, ModelFileError)


def _load_compact(model, path) -> None:
    with _opened(path) as file:
        left, values = set(file.files) - {DESCRIPTION}, []
        for layer in model.layers:
            for index, variable in enumerate(layer.weights):
                stored = [name for name in (f"{layer.name}/{index}", f"{layer.name}/{index}/signs") if name in left]
                own_name = f"{layer.name}/{variable.name.split('/')[-1].split(':')[0]}"
                if not stored:
                    raise ModelFileError(f"{path}: not the weights of this {model.name}: it has none for {own_name}")
                values.append(_values(path, file, stored[0], model, own_name, tuple(variable.shape)))
                left -= {stored[0], f"{layer.name}/{index}/size"}
    names = [layer.name for layer in model.layers]
    more = [name for name in left if not (name.startswith("logits/") and "logits" not in names)]
    if more:
        raise ModelFileError(
            f"{path}: not the weights of this {model.name}: it has {len(more)} more, first {min(more)}"
        )
    for variable, value in zip((each for layer in model.layers for each in layer.weights), values, strict=True):
        variable.assign(value)


def _values(path, file, name: str, model, own_name: str, shape: tuple):
    """The weights called `name` in an .npz file. Their size is compared with `shape` before they are read."""
    import numpy as np

    count, found, binary = math.prod(shape), _shape(file, name), name.endswith("/signs")
    if binary and found == (-(-count // 8),) and _shape(file, size := name.removesuffix("signs") + "size") == ():
        return (file[size] * (2.0 * np.unpackbits(file[name])[:count] - 1)).reshape(shape)
    if binary or found != shape:
        found = f"{8 * math.prod(found)} bits" if binary else found
        raise ModelFileError(f"{path}: not the weights of this {model.name}: {own_name} is {found} there, {shape} here")
    return file[name]


def _shape(file, name: str) -> tuple[int, ...]:
    """The shape of an array in an .npz file, without reading the array. Raises ValueError: it is none of numbers."""
    from numpy.lib import format as npy

    with file.zip.open(f"{name}.npy") as member:
        known = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
        shape, _, kind = known[npy.read_magic(member)](member)
    if kind.kind not in "fiu" or kind.itemsize > 8:
        raise ValueError(f"{name} holds {kind}")
    return shape


@contextlib.contextmanager
def _opened(path):
    import numpy as np

    try:
        check_ends(path)
        with zipfile.ZipFile(path):
            pass  # Of another file numpy reads all at once.
        with np.load(path, allow_pickle=False) as file:
            yield file
    except ModelFileError:
        raise
    except Exception as error:  # zipfile, zlib and numpy raise a dozen kinds for a damaged file
        raise ModelFileError(f"{path}: damaged, or not a weights file ({one_line(error, 160)})") from error
