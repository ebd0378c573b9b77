"""What goes through a pipe to a child and back: JSON and plain float32 arrays. Nothing that is read becomes code.

A message is one line of JSON, an object whose key "shapes" tells how many numbers follow it, and those numbers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import BinaryIO

from ftbnn_larq import documents
from ftbnn_larq.errors import ModelFileError

# Of float32: 4 GB.
_MOST_NUMBERS = 1 << 30


def send(stream: BinaryIO, document: dict, arrays: Sequence = ()) -> None:
    """Write a message.

    Arguments:
        document: values of JSON.
        arrays: of float32, any shape.

    Raises:
        OSError: nobody reads the pipe any more.
    """
    import numpy as np

    arrays = [np.ascontiguousarray(array, np.float32) for array in arrays]
    line = json.dumps({**document, "shapes": [np.shape(array) for array in arrays]})
    stream.write(line.encode() + b"\n")
    for array in arrays:
        stream.write(array.reshape(-1).view(np.uint8).data)
    stream.flush()


def receive(stream: BinaryIO, source: object) -> tuple[dict, list]:
    """Read a message: the document, and arrays of float32.

    Arguments:
        source: whom it is from, for messages.

    Raises:
        EOFError: the pipe ended before the message did.
        ModelFileError: it is no message.
    """
    import numpy as np

    line = stream.readline(documents.MOST_BYTES + 1)
    if not line.endswith(b"\n"):
        raise EOFError
    value = documents.parse(line, source, ModelFileError)
    document = documents.check(value, dict, source, ModelFileError)
    shapes = documents.check(document.pop("shapes", None), list[list[int]], source, ModelFileError)
    if any(side < 0 for shape in shapes for side in shape) or sum(map(math.prod, shapes)) > _MOST_NUMBERS:
        raise ModelFileError(f"{source}: arrays of {str(shapes)[:100]} are no answer")
    arrays = [np.empty(shape, np.float32) for shape in shapes]
    for array in arrays:
        _fill(stream, array.reshape(-1).view(np.uint8).data)
    return document, arrays


def _fill(stream: BinaryIO, wanted: memoryview) -> None:
    while wanted:
        count = stream.readinto(wanted)
        if not count:
            raise EOFError
        wanted = wanted[count:]
