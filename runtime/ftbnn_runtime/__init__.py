"""Runs Larq Compute Engine's flatbuffers in the stock TFLite and LiteRT interpreters.

Importing this package is cheap: numpy and the interpreter are loaded by the first call that needs them.
"""

import importlib

__version__ = "0.1.0"
__all__ = ["Classifier", "Error", "Interpreter", "isa", "library", "load_delegate"]

_HOMES = {
    "Classifier": "classifier",
    "Error": "errors",
    "Interpreter": "interpreters",
    "isa": "native",
    "library": "native",
    "load_delegate": "interpreters",
}


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(importlib.import_module(f"ftbnn_runtime.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'ftbnn_runtime' has no attribute {name!r}")
