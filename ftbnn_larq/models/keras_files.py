"""Load Keras model files without running code that they carry."""

from __future__ import annotations

import builtins
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

from ftbnn_larq.errors import ModelFileError, one_line

SUFFIXES = (".keras", ".h5")

# Modules that a file may name: Keras imports and calls whatever name it finds in one.
_MODULES = ("larq.layers", "larq.quantizers", "larq.constraints", "larq.activations", "larq.math")
# Ours; files of version 0.1 name the last two.
_MODULES += ("ftbnn_larq.models.layers", "ftbnn_larq.models.nonlinearities")
_MODULES += ("ftbnn_larq.layers", "ftbnn_larq.nonlinearities")
_KERAS = ("keras", "tf_keras")
_KERAS_PARTS = ("layers", "models", "initializers", "regularizers", "constraints", "activations", "mixed_precision")
_KERAS_PARTS += ("engine", "optimizers", "losses", "metrics")
# Layers that call a TensorFlow function, and the functions that are allowed: some others can write files.
_FUNCTION_LAYERS = ("TFOpLambda", "SlicingOpLambda")
_FUNCTIONS = ("math.", "nn.", "__operators__.")
_FUNCTIONS += (
    "concat",
    "split",
    "reshape",
    "transpose",
    "identity",
    "pad",
    "cast",
    "stack",
    "unstack",
    "clip_by_value",
)


def is_model_file(path) -> bool:
    """Whether `path` has the name of a Keras model file or is a SavedModel folder; False for a run folder."""
    path = Path(path)
    is_weights = path.name.endswith(".weights.h5")
    return (path.suffix in SUFFIXES and not is_weights) or (path / "saved_model.pb").is_file()


def check(path) -> None:
    """Refuse a file that `load` would not load. TensorFlow is not needed.

    Raises:
        ModelFileError: the path is a SavedModel, a missing or damaged file, a file of Keras 3, weights without a model,
            or a model with code of its own.
    """
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
    except Exception as error:  # zipfile, json and h5py raise a dozen kinds for a damaged file
        raise ModelFileError(f"{path}: damaged, or not a Keras model ({one_line(error, 160)})") from error
    if config is None:
        raise ModelFileError(f"{path}: it has weights but no model: save it with model.save, not model.save_weights")
    if not version.startswith("2."):
        raise ModelFileError(
            f"{path}: saved by Keras {version}, and Larq needs Keras 2: build and save the model with tf-keras "
            "(set TF_USE_LEGACY_KERAS=1 before TensorFlow is imported)"
        )
    for what in _code(config):
        raise ModelFileError(
            f"{path}: carries code, {what}, which is never run. Only layers of Keras, Larq and ftbnn_larq are loaded: "
            "build the model from them, or load it yourself and give it to ftbnn_larq.convert"
        )


def load(path):
    """Load the model in a .keras or .h5 file. Code in the file is never run.

    Raises:
        ModelFileError: `check` refuses the file, or Keras cannot build the model.
    """
    check(path)
    import larq  # noqa: F401 (registers its layers with Keras)
    import tensorflow as tf

    from ftbnn_larq.models import layers, nonlinearities  # noqa: F401

    try:
        return tf.keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # whatever a layer's constructor raises
        raise ModelFileError(f"{path}: Keras cannot build the model ({one_line(error, 300)})") from error


def _stored(path: Path) -> tuple[dict | None, str]:
    """The model's configuration in a file (None if it has only weights), and the version of Keras that wrote it."""
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            metadata = json.loads(archive.read("metadata.json"))
            config = json.loads(archive.read("config.json"))
        # Optimizer, loss and metrics: `load` skips them, but only those of the outermost model.
        config.pop("compile_config", None)
        return config, str(metadata["keras_version"])
    import h5py

    with h5py.File(path, "r") as file:
        config = file.attrs.get("model_config")
        version = file.attrs.get("keras_version", "unknown")
    text = version.decode() if isinstance(version, bytes) else str(version)
    return None if config is None else json.loads(config), text


def _code(config) -> Iterator[str]:
    """Parts of a model's configuration that would run code from outside Keras, Larq and ftbnn_larq."""
    if isinstance(config, list):
        for value in config:
            yield from _code(value)
    if not isinstance(config, dict):
        return
    kind, module = config.get("class_name"), config.get("module")
    if isinstance(kind, str):
        own = config.get("config") if isinstance(config.get("config"), dict) else {}
        name = own.get("name", kind)
        if "ambda" in kind and kind not in _FUNCTION_LAYERS:
            yield f"the Lambda layer {name}"
        elif kind == "ClassMethod":
            yield f"a call of tf.{own.get('cls_symbol')}"
        elif kind in _FUNCTION_LAYERS and not str(own.get("function")).startswith(_FUNCTIONS):
            yield f"a call of tf.{own.get('function')}"
        elif module == "builtins":
            # Keras names its own functions this way too, but it would look among Python's builtins first.
            name = str(config.get("config"))
            if kind != "function" or hasattr(builtins, name):
                yield f"Python's own {name}"
        elif module is not None and not _is_known(str(module)):
            yield f"{kind} of the module {module}"
    for value in config.values():
        yield from _code(value)


def _is_known(module: str) -> bool:
    root, *parts = module.split(".")
    if root in _KERAS:
        parts = parts[1:] if parts[:1] == ["src"] else parts
        return not parts or parts[0] in _KERAS_PARTS
    return module in _MODULES
