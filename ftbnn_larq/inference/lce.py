"""Load single modules of Larq Compute Engine that need no TensorFlow. Importing all of LCE takes seconds."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from types import ModuleType


@functools.cache
def load(relative: str) -> ModuleType:
    """Import one file of LCE as a module.

    Arguments:
        relative: path in the package larq_compute_engine, such as "mlir/python/tflite_schema.py".

    Raises:
        ImportError: larq-compute-engine is not installed.
    """
    package = importlib.util.find_spec("larq_compute_engine")
    if package is None or not package.submodule_search_locations:
        raise ImportError("larq-compute-engine is not installed: pip install larq-compute-engine")
    path = Path(package.submodule_search_locations[0]) / relative
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
