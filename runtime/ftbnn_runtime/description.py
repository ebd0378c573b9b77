"""What stands in model.json beside a flatbuffer. The file is not trusted: all that is read of it is checked."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

from ftbnn_runtime.errors import Error, one_line, shown

MOST_BYTES = 64 << 20
OUTPUTS = ("logits", "probabilities")


@dataclasses.dataclass(frozen=True)
class Description:
    """How pictures are prepared, and what the output says.

    Attributes:
        labels: class names, in the order of the network's outputs.
        input_shape: (height, width, channels).
        mean: mean per channel, of pixel values from 0 to 1; empty where the network takes pixels as they are.
        std: standard deviation per channel, likewise.
        is_probability: whether the output is probabilities, and not logits.
    """

    labels: tuple[str, ...]
    input_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    is_probability: bool


def read(flatbuffer: str | os.PathLike) -> Description:
    """Read the JSON file beside a flatbuffer: the same path with the suffix .json.

    Raises:
        Error: it is missing, or damaged.
    """
    path = Path(flatbuffer).with_suffix(".json")
    try:
        if path.exists() and not path.is_file():
            raise Error(f"{shown(path)}: not a file")
        if path.stat().st_size > MOST_BYTES:
            raise Error(f"{shown(path)}: larger than {MOST_BYTES >> 20} MB, and so not what `ftbnn-larq convert` wrote")
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise Error(
            f"{shown(path)} is missing. `ftbnn-larq convert` wrote labels and preprocessing to it, beside "
            f"{shown(Path(flatbuffer).name)}: keep the two files together"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise Error(f"{shown(path)}: damaged ({type(error).__name__}: {one_line(error)})") from error
    if isinstance(document, dict) and "data" not in document:
        raise Error(f"{shown(path)} names no data set: convert the network again with --dataset NAME")
    try:
        return _checked(document)
    except (ValueError, RecursionError) as error:  # to quote may take a level more than to read
        raise Error(f"{shown(path)}: damaged ({error})") from error


def _checked(document) -> Description:
    output = _of_type("the document", document, dict).get("output")
    if not isinstance(output, str) or output not in OUTPUTS:
        raise ValueError(f'"output" is {_quoted(output)}, and not "logits" or "probabilities"')
    data = _of_type('"data"', document["data"], dict)
    labels = _of_type('"labels"', data.get("labels"), list)
    if not labels or not all(isinstance(label, str) for label in labels):
        raise ValueError('"labels" is not a list of names')
    shape = _of_type('"input_shape"', data.get("input_shape"), list)
    if len(shape) != 3 or not all(type(side) is int and 1 <= side < 2**15 for side in shape):
        raise ValueError(f'"input_shape" is {_quoted(shape)}, and not height, width and channels')
    if shape[2] not in (1, 3):
        raise ValueError(f'"input_shape" has {shape[2]} channels, and pictures have 1 or 3')
    mean, std = (_numbers(key, data.get(key), shape[2]) for key in ("mean", "std"))
    if len(mean) != len(std) or not all(value > 0 for value in std):
        raise ValueError('"std" is not a number above 0 a channel')
    return Description(tuple(labels), tuple(shape), mean, std, output == "probabilities")


def _of_type(name: str, value, kind: type):
    if not isinstance(value, kind):
        raise ValueError(f"{name} is {_quoted(value)}, and not {'a list' if kind is list else 'an object'}")
    return value


def _numbers(name: str, value, channels: int) -> tuple[float, ...]:
    values = _of_type(f'"{name}"', value, list)
    # Beyond that, float32 has no number or none but 0.
    if len(values) not in (0, channels) or not all(
        type(number) in (int, float) and (number == 0 or 1e-30 < abs(number) < 1e30) for number in values
    ):
        raise ValueError(f'"{name}" is {_quoted(values)}, and not {channels} numbers')
    return tuple(map(float, values))


def _quoted(value) -> str:
    return one_line(json.dumps(value), 60)
