"""Larq and Larq Compute Engine need Keras 2. This module is the one place that asks TensorFlow for it."""

import os
import sys

SWITCH = "TF_USE_LEGACY_KERAS"


def use_legacy_keras() -> None:
    """Make `tf.keras` Keras 2 (the package `tf-keras`) in this process and its children.

    TensorFlow reads the switch when it is first imported, so this has to come before that import.

    Raises:
        ImportError: TensorFlow was imported earlier, with Keras 3.
    """
    if "tensorflow" in sys.modules and os.environ.get(SWITCH) not in ("1", "true", "True"):
        raise ImportError(
            "TensorFlow was imported with Keras 3 before ftbnn_larq, and Larq needs Keras 2: put "
            "`import ftbnn_larq` before `import tensorflow`, or set the environment variable TF_USE_LEGACY_KERAS=1"
        )
    os.environ[SWITCH] = "1"
