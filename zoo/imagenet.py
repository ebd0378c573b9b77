"""What networks of others that were trained on ImageNet have in common: pictures, classes, and weights to download."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from ftbnn_larq.data import imagenet
from ftbnn_larq.data.preprocessing import KNOWN
from ftbnn_larq.documents import DataConfig
from ftbnn_larq.errors import ConfigError, ModelFileError, one_line

# What such weights are called behind a network's name, by larq-zoo and Keras too.
WEIGHTS = "imagenet"
# A server that is silent for so long is taken for gone. Keras waits for ever.
_SECONDS = 60


def config(preprocessing: str, input_shape: tuple[int, int, int] = (224, 224, 3)) -> DataConfig:
    """Preprocessing and labels of a network that was trained on ImageNet.

    Arguments:
        preprocessing: a key of `preprocessing.KNOWN`.
        input_shape: (height, width, channels).
    """
    return KNOWN[preprocessing].of(DataConfig(imagenet.NAME, input_shape, imagenet.labels(), crop="resized"))


def check_weights(name: str, weights: str) -> None:
    """Raise ConfigError for weights that the network called `name` does not have: all have those of ImageNet only."""
    if weights != WEIGHTS:
        raise ConfigError(f"{name} has no weights {weights!r}: say {name}:{WEIGHTS}")


@contextlib.contextmanager
def download(name: str) -> Iterator[None]:
    """For the time in which a library fetches the weights of `name` with Keras's get_file.

    Keras's progress bar goes to standard error, if that is a terminal, for standard output has results only.

    Raises:
        ModelFileError: the weights cannot be fetched, or have another checksum. They do not stay in Keras's cache.
    """
    before, timeout = _cached(), socket.getdefaulttimeout()
    socket.setdefaulttimeout(_SECONDS)
    try:
        with contextlib.redirect_stdout(sys.stderr if sys.stderr.isatty() else io.StringIO()):
            yield
    except Exception as error:  # get_file raises a bare Exception for what it cannot fetch, load_weights a dozen kinds
        # get_file keeps a file with a wrong checksum.
        for path, changed in _cached().items():
            if before.get(path) != changed:
                path.unlink(missing_ok=True)
        raise ModelFileError(
            f"the weights of {name} for ImageNet cannot be fetched: {one_line(error, 250)}; connect to the internet "
            f"and try again, or copy the file from another machine's {_cache()}"
        ) from error
    finally:
        socket.setdefaulttimeout(timeout)


def _cache() -> Path:
    """The folder where get_file keeps files: as it decides."""
    own = Path.home() / ".keras"
    return own if os.access(own, os.W_OK) else Path("/tmp/.keras")


def _cached() -> dict[Path, int]:
    """Files of weights in Keras's cache, and when they were changed."""
    return {path: path.stat().st_mtime_ns for path in _cache().rglob("*.h5")}
