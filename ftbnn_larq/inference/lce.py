"""Load single modules of LCE and TensorFlow that need no TensorFlow. Importing all of a package takes seconds."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from types import ModuleType


@functools.cache
def load(relative: str, package: str = "larq_compute_engine") -> ModuleType:
    """Import one file of a package as a module.

    Arguments:
        relative: path in the package, such as "mlir/python/tflite_schema.py".

    Raises:
        ImportError: the package is not installed.
    """
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        name = package.replace("_", "-")
        raise ImportError(f"{name} is not installed: pip install {name}")
    path = Path(found.submodule_search_locations[0]) / relative
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
