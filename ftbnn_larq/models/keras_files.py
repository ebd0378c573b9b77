"""Load Keras model files without running code that they carry.

    python -m ftbnn_larq.models.keras_files FILE

Builds the model of a file, and ends with exit status 0 if Keras comes to an end with it.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import zipfile
from pathlib import Path

from ftbnn_larq import documents, leash
from ftbnn_larq.errors import ModelFileError, one_line
from ftbnn_larq.models import hdf5, keras_graph, keras_sizes
from ftbnn_larq.models.keras_code import LARQ_ZOO, PACKAGE, code_in
from ftbnn_larq.models.weights import WEIGHTS, by_keras_name

SUFFIXES = (".keras", ".h5", ".hdf5")


def is_model_file(path) -> bool:
    """Whether `path` has the name of a Keras model file or is a SavedModel folder; False for a run folder."""
    path = Path(path)
    name = path.name.lower()
    return (name.endswith(SUFFIXES) and not name.endswith(".weights.h5")) or (path / "saved_model.pb").is_file()


def check(path) -> None:
    """Refuse a file that `load` would not load. TensorFlow is not needed.

    Raises:
        ModelFileError: the path is a SavedModel, a missing or damaged file, a file of Keras 3, weights without a model,
            or a model with code of its own.
    """
    _checked(path)


def load(path):
    """Load the model in a .keras, .h5 or .hdf5 file. Code in the file is never run.

    Raises:
        ModelFileError: `check` refuses the file, Keras cannot build the model, or it is larger than the file's weights
            or than this machine takes.
    """
    config = _checked(path)
    if keras_sizes.has_no_bounds(config):
        _check_in_child(path)
    import tensorflow as tf

    model = _built(path, config)
    if not isinstance(model, tf.keras.Model):
        raise ModelFileError(f"{path}: damaged: Keras makes a {type(model).__name__} of it, not a model")
    keras_sizes.check_maps(path, model)
    return model


def _built(path, config: dict):
    import larq  # noqa: F401 (registers its layers with Keras)
    import tensorflow as tf

    from ftbnn_larq.models import layers, nonlinearities  # noqa: F401

    if any(name in json.dumps(config) for name in LARQ_ZOO):
        import larq_zoo  # noqa: F401

    try:
        with tempfile.TemporaryDirectory() as folder:
            copy, weights = _copy(path, Path(folder), config)
            with keras_sizes.limited(path, weights):
                return tf.keras.models.load_model(copy, compile=False, safe_mode=True)
    except ModelFileError:
        raise
    except Exception as error:  # whatever a layer's constructor raises
        raise ModelFileError(f"{path}: Keras cannot build the model ({one_line(error, 300)})") from error


def _check_in_child(path) -> None:
    """Build the model of a file in a process of its own, with limits on memory and time. Raises ModelFileError."""
    done = leash.run(__name__, str(path))
    if done.returncode == 2:
        raise ModelFileError(one_line(ValueError(done.stdout.decode(errors="replace"))))
    if done.returncode:
        raise ModelFileError(f"{path}: Keras cannot build the model ({leash.why_ended(done.returncode, done.stderr)})")


def main(path: str) -> None:
    import larq  # noqa: F401 (with TensorFlow, which takes its own time)

    leash.begin()
    leash.library_loaded()
    try:
        _built(path, _checked(path))
    except ModelFileError as error:
        # TensorFlow's word for memory that it does not get.
        if "OOM" in str(error):
            raise
        # Names of files need not be text.
        sys.stdout.reconfigure(errors="backslashreplace")
        print(error)
        sys.exit(2)


def _checked(path) -> dict:
    """The description of the model in a file. Raises ModelFileError as `check` does."""
    path = Path(path)
    if path.is_dir():
        raise ModelFileError(
            f"{path}: a SavedModel holds a traced graph and no layers, so a flatbuffer cannot be proven against it: "
            "save the model as a .keras file with tf-keras, model.save('model.keras')"
        )
    if not path.is_file():
        raise ModelFileError(f"{path}: no such file")
    try:
        config, version = _stored(path)
    except ModelFileError:
        raise
    except Exception as error:  # zipfile, json and h5py raise a dozen kinds for a damaged file
        raise ModelFileError(f"{path}: damaged, or not a Keras model ({one_line(error, 160)})") from error
    if config is None:
        raise ModelFileError(f"{path}: it has weights but no model: save it with model.save, not model.save_weights")
    if not version.startswith("2."):
        raise ModelFileError(
            f"{path}: saved by Keras {version}, and Larq needs Keras 2: build and save the model with tf-keras "
            "(set TF_USE_LEGACY_KERAS=1 before TensorFlow is imported)"
        )
    for what in code_in(config):
        raise ModelFileError(
            f"{path}: carries code, {what}, which is never run. Only layers of Keras, Larq and ftbnn_larq are loaded: "
            "build the model from them, or load it yourself and give it to ftbnn_larq.convert"
        )
    try:
        keras_graph.check(config)
    except ValueError as error:
        raise ModelFileError(f"{path}: Keras cannot build the model ({error})") from error
    return config


# What Keras calls the parts of a .keras file. Its weights may also lie in a .npz file, which Keras reads as pickles:
# those are code.
_CONFIG, _METADATA = "config.json", "metadata.json"
# Of a file that does not say. Keras 1 would have its weights turned.
_OLDEST = "2.0.0"


def _stored(path: Path) -> tuple[dict | None, str]:
    """The model's configuration in a file (None if it has only weights), and the version of Keras that wrote it.

    The content decides, not the suffix: until Keras 2.11 a .keras file was an .h5 file.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            metadata, config = (_json(path, archive, name) for name in (_METADATA, _CONFIG))
            archive.getinfo(WEIGHTS)
        return _whole(config), str(metadata.get("keras_version", _OLDEST))
    hdf5.check(path)
    import h5py

    with h5py.File(path, "r") as file:
        config = file.attrs.get("model_config")
        version = file.attrs.get("keras_version", _OLDEST)
    text = version.decode() if isinstance(version, bytes) else str(version)
    if config is not None:
        content = config if isinstance(config, bytes) else str(config).encode()
        config = _whole(documents.parse(content, f"{path}, model_config", ModelFileError))
    return config, text


def _json(path: Path, archive: zipfile.ZipFile, name: str) -> dict:
    """A JSON file in a .keras file, which may unpack to any size."""
    if (size := archive.getinfo(name).file_size) > documents.MOST_BYTES:
        raise ModelFileError(f"{path}, {name}: damaged: {size:,} bytes, expected at most {documents.MOST_BYTES:,}")
    return documents.parse(archive.read(name), f"{path}, {name}", ModelFileError)


def _whole(config: dict) -> dict:
    """The configuration of the model of a file.

    A graph of layers is described entirely, also where it has a class of its own, which trains it in another way. That
    class is not needed.
    """
    plain = _plain(config)
    graph = plain.get("config")
    if isinstance(graph, dict) and graph.keys() >= {"layers", "input_layers", "output_layers"}:
        plain["class_name"] = "Functional"
        if "module" in plain:
            plain |= {"module": "keras.src.engine.functional", "registered_name": "Functional"}
    return plain


def _plain(config):
    """A configuration with what is needed, by names that are unique and of today.

    Optimizers, losses and metrics are left out. A model in a model in an .h5 file has our layers by the names of their
    classes, some of which Keras has too. Until Keras 2.12 some modules had other names.
    """
    if isinstance(config, list):
        return [_plain(value) for value in config]
    if not isinstance(config, dict):
        return config
    plain = {key: _plain(value) for key, value in config.items() if key != "compile_config"}
    if str(plain.get("registered_name")).startswith(PACKAGE):
        plain["class_name"] = plain["registered_name"]
    if isinstance(plain.get("module"), str):
        plain["module"] = re.sub(r"^keras\.(engine|layers\.core)\.", r"keras.src.\1.", plain["module"])
    return plain


def _copy(path, folder: Path, config: dict) -> tuple[Path, Path]:
    """A file in `folder` that has a suffix Keras knows, the checked `config`, and the weights of the file `path`.

    Also the HDF5 file of its weights.
    """
    if zipfile.is_zipfile(path):
        copy = folder / "model.keras"
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy, "w") as new:
            new.writestr(_CONFIG, json.dumps(config))
            new.writestr(_METADATA, old.read(_METADATA))
            weights = by_keras_name(Path(path), folder)
            new.write(weights, WEIGHTS)
        return copy, weights
    import h5py

    copy = folder / "model.h5"
    with h5py.File(path, "r") as old, h5py.File(copy, "w") as new:
        old.copy("model_weights", new)
        new.attrs["model_config"] = json.dumps(config)
        attributes = new["model_weights"].attrs
        attributes["keras_version"] = attributes.get("keras_version", _OLDEST)
    return copy, copy


if __name__ == "__main__":
    main(sys.argv[1])
