"""Networks by name as flatbuffers with random weights: the time does not depend on them."""

from __future__ import annotations

import re
from pathlib import Path

from ftbnn_larq import zoo
from ftbnn_larq.errors import UnknownNameError
from ftbnn_larq.zoo import applications, networks

# Behind the name of a network of tf.keras.applications; without it, it is measured in float.
INT8 = ":int8"
# Two show that the flatbuffer gives Keras's answers; more would only take longer.
_PICTURES = 2


def names() -> list[str]:
    """Names of all networks that can be measured."""
    return [*networks.names(), *(name + INT8 for name in applications.NAMES)]


def is_network(name: str) -> bool:
    """Whether that is a network's name and not a file, one of the published NAME:DATASET included.

    Raises:
        UnknownNameError: it is neither, and not written like a file; ConfigError: nothing is published for DATASET.
    """
    if Path(name).exists() or zoo.published_flatbuffer(name) != Path(name):
        return False
    known = names()
    prefixes = tuple(others.PREFIX for others in networks.OTHERS)
    if name not in known and (name.startswith(prefixes) or not re.search(r"[./]", name)):
        raise UnknownNameError("file or network", name, known)
    return name in known


def build(name: str, folder: str | Path, *, input_size: int, classes: int) -> Path:
    """Convert a network with random weights: Keras's by TFLite's converter, others as trained ones are converted.

    Loads TensorFlow.

    Raises:
        ConfigError: the size does not fit it.
        ConversionError: the conversion or its proof failed.
    """
    import numpy as np

    from ftbnn_larq.models.ends import up_to_logits

    shape = (input_size, input_size, 3)
    network = up_to_logits(networks.create(name.removesuffix(INT8), input_shape=shape, num_classes=classes))
    path = Path(folder) / f"{name.replace(':', '-')}.tflite"
    if name.startswith(applications.PREFIX):
        from ftbnn_larq.conversion.plain import to_tflite

        path.write_bytes(to_tflite(network, int8=name.endswith(INT8)))
    else:
        from ftbnn_larq.conversion.convert import convert_model

        convert_model(network, path, np.random.default_rng(0).standard_normal((_PICTURES, *shape), np.float32))
    return path
