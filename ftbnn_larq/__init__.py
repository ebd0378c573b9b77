"""FTBNN binary neural networks: model zoo, trainer and deployment kit on TensorFlow, Larq and LCE.

Importing this package is cheap: TensorFlow is loaded by the first call that needs it, as Keras 2.
"""

import importlib
import sys
from pathlib import Path

from ftbnn_larq.legacy_keras import use_legacy_keras

__version__ = "0.1.0"
__all__ = ["benchmark", "convert", "create_model", "evaluate", "list_models", "predict", "train", "zoo"]

use_legacy_keras()

# The zoo stands at the root of a checkout and inside this package once installed.
if not (Path(__file__).parent / "zoo").is_dir():
    __path__.append(str(Path(__file__).parents[1]))
# So does the runtime, in a folder of its own; once installed it stands beside this package.
_runtime = Path(__file__).parents[1] / "runtime"
if (_runtime / "ftbnn_runtime").is_dir() and str(_runtime) not in sys.path:
    sys.path.insert(1, str(_runtime))

_HOMES = {
    "benchmark": "ftbnn_larq.benchmarking",
    "convert": "ftbnn_larq.conversion.convert",
    "create_model": "ftbnn_larq.zoo",
    "evaluate": "ftbnn_larq.inference.evaluation",
    "list_models": "ftbnn_larq.zoo",
    "predict": "ftbnn_larq.inference.prediction",
    "train": "ftbnn_larq.training",
}


def __getattr__(name: str):
    if name == "zoo":
        return importlib.import_module("ftbnn_larq.zoo")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'ftbnn_larq' has no attribute {name!r}")
