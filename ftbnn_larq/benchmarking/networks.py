"""Networks by name, the zoo's and larq-zoo's, as flatbuffers with random weights: the time does not depend on them."""

from __future__ import annotations

import re
from pathlib import Path

from ftbnn_larq import zoo
from ftbnn_larq.errors import UnknownNameError
from ftbnn_larq.zoo import networks
from ftbnn_larq.zoo.peers import PREFIX

# Two show that the flatbuffer gives Keras's answers; more would only take longer.
_PICTURES = 2


def is_network(name: str) -> bool:
    """Whether that is a network's name and not a file, one of the published NAME:DATASET included.

    Raises:
        UnknownNameError: it is neither, and not written like a file; ConfigError: nothing is published for DATASET.
    """
    if Path(name).exists() or zoo.published_flatbuffer(name) != Path(name):
        return False
    known = networks.names()
    if name not in known and (name.startswith(PREFIX) or not re.search(r"[./]", name)):
        raise UnknownNameError("file or network", name, known)
    return name in known


def build(name: str, folder: str | Path, *, input_size: int, classes: int) -> Path:
    """Convert a network with random weights as trained ones are converted. Loads TensorFlow.

    Raises:
        ConfigError: the size does not fit it.
        ConversionError: the conversion or its proof failed.
    """
    import numpy as np

    from ftbnn_larq.conversion.convert import convert_model
    from ftbnn_larq.models.ends import up_to_logits

    network = up_to_logits(networks.create(name, input_shape=(input_size, input_size, 3), num_classes=classes))
    pictures = np.random.default_rng(0).standard_normal((_PICTURES, input_size, input_size, 3), np.float32)
    path = Path(folder) / f"{name.replace(':', '-')}.tflite"
    convert_model(network, path, pictures)
    return path
