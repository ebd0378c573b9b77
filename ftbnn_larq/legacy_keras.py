"""Settings that TensorFlow reads when it is imported: Keras 2, which Larq needs, and oneDNN's kernels."""

import os
import sys
import warnings

SWITCH = "TF_USE_LEGACY_KERAS"
ONEDNN = "TF_ENABLE_ONEDNN_OPTS"


def use_legacy_keras() -> None:
    """Make `tf.keras` Keras 2 (the package `tf-keras`) and switch oneDNN on, in this process and its children.

    TensorFlow reads both environment variables when it is first imported, so call this before. On processors without
    AVX-512 TensorFlow does not use oneDNN by default. Its other kernels have no gradient for grouped convolutions.

    Raises:
        ImportError: TensorFlow is already imported, with Keras 3.

    Warns:
        RuntimeWarning: TensorFlow is already imported, without oneDNN.
    """
    if "tensorflow" in sys.modules and os.environ.get(SWITCH) not in ("1", "true", "True"):
        raise ImportError(
            "TensorFlow was imported with Keras 3 before ftbnn_larq, and Larq needs Keras 2: put "
            "`import ftbnn_larq` before `import tensorflow`, or set the environment variable TF_USE_LEGACY_KERAS=1"
        )
    if "tensorflow" in sys.modules and not _onednn_is_used():
        warnings.warn(
            "TensorFlow was imported before ftbnn_larq, without oneDNN. It cannot train grouped convolutions on this "
            "processor then: put `import ftbnn_larq` before `import tensorflow`, or set the environment variable "
            f"{ONEDNN}=1",
            RuntimeWarning,
            stacklevel=3,
        )
    os.environ[SWITCH] = "1"
    os.environ[ONEDNN] = "1"


def _onednn_is_used() -> bool:
    """Whether TensorFlow uses oneDNN, as decided at its import; True if that cannot be found out."""
    try:
        from tensorflow.python.util._pywrap_util_port import IsMklEnabled
    except ImportError:
        return True
    return IsMklEnabled()
