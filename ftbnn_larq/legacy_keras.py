"""What has to be asked of TensorFlow before it is imported: Keras 2, which Larq needs, and oneDNN's kernels."""

import os
import sys
import warnings

SWITCH = "TF_USE_LEGACY_KERAS"
ONEDNN = "TF_ENABLE_ONEDNN_OPTS"


def use_legacy_keras() -> None:
    """Make `tf.keras` Keras 2 (the package `tf-keras`) in this process and its children, on oneDNN's kernels.

    TensorFlow reads both switches when it is first imported, so this has to come before that import. On processors
    without AVX-512 it leaves oneDNN out unless told; its other kernels have no gradients of grouped convolutions.

    Raises:
        ImportError: TensorFlow was imported earlier, with Keras 3.

    Warns:
        RuntimeWarning: TensorFlow was imported earlier, without oneDNN.
    """
    if "tensorflow" in sys.modules and os.environ.get(SWITCH) not in ("1", "true", "True"):
        raise ImportError(
            "TensorFlow was imported with Keras 3 before ftbnn_larq, and Larq needs Keras 2: put "
            "`import ftbnn_larq` before `import tensorflow`, or set the environment variable TF_USE_LEGACY_KERAS=1"
        )
    if "tensorflow" in sys.modules and not _onednn_is_used():
        warnings.warn(
            "TensorFlow was imported before ftbnn_larq, without oneDNN, and cannot train grouped convolutions on this "
            "processor: put `import ftbnn_larq` before `import tensorflow`, or set the environment variable "
            f"{ONEDNN}=1",
            RuntimeWarning,
            stacklevel=3,
        )
    os.environ[SWITCH] = "1"
    os.environ[ONEDNN] = "1"


def _onednn_is_used() -> bool:
    """What TensorFlow decided when it was imported; True where it does not tell."""
    try:
        from tensorflow.python.util._pywrap_util_port import IsMklEnabled
    except ImportError:
        return True
    return IsMklEnabled()
