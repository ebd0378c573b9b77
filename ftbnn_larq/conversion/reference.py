"""The flatbuffer that a reference stands for: of a network of larq-zoo it is made for the occasion."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ftbnn_larq import zoo
from ftbnn_larq.zoo import peers


def is_converted(reference: str | os.PathLike) -> bool:
    """Whether `flatbuffer_of` has to convert a network: larq_zoo:NAME:imagenet. TensorFlow is not needed."""
    return peers.is_reference(str(reference))


def flatbuffer_of(
    reference: str | os.PathLike, folder: str | os.PathLike, on_event: Callable[[str], None] = lambda line: None
) -> Path:
    """The path of a flatbuffer, with its JSON file beside it where there is one.

    Arguments:
        reference: a flatbuffer's path, NAME:DATASET for a published one, or larq_zoo:NAME:imagenet.
        folder: where the flatbuffer of a network of larq-zoo is written; that loads TensorFlow.
        on_event: told what goes on, a line at a time.

    Raises:
        UnknownNameError, ConfigError: there is no such network, or it has no such weights.
        ModelFileError: the published file is damaged, or larq-zoo's weights cannot be downloaded.
        ConversionError: the conversion or its proof failed.
    """
    if not is_converted(reference):
        return zoo.published_flatbuffer(reference)
    from ftbnn_larq.conversion.convert import carry_out, plan

    order = plan(reference, output=Path(folder) / f"{str(reference).replace(':', '-')}.tflite")
    on_event(f"converting {reference} ...")
    carry_out(order, on_event)
    return order.path
