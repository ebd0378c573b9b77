"""Whether the weights of a zoo's model fit the pictures and classes that someone wants."""

from __future__ import annotations

from ftbnn_larq import documents
from ftbnn_larq.errors import ConfigError


def check(
    name: str, weights: str, theirs: documents.Network, *, shape: tuple | None, classes: int | None, is_published: bool
) -> None:
    """Refuse weights that do not fit.

    Arguments:
        name: the model.
        weights: as they were named.
        theirs: the model that their file describes.
        shape: wanted, (h, w, c); None for theirs.
        classes: wanted; None for theirs.
        is_published: whether `weights` is the name of a data set.

    Raises:
        ConfigError: they do not fit. The message says how they can be used.
    """
    given, own = f"{name}'s weights {weights!r}", theirs.input_shape
    if shape and shape[-1] != own[-1]:
        raise ConfigError(f"{given} take pictures of {own[-1]} channels, not {shape[-1]}: convert the pictures")
    if shape and _is_photograph(shape) != _is_photograph(own):
        advice = "128 pixels or more" if _is_photograph(own) else "less than 128 pixels, such as (96, 96, 3)"
        raise ConfigError(
            f"{given} are of pictures of {own}, and those of {tuple(shape)} need another stem, with or without the "
            f"top: give an input_shape of {advice}"
        )
    if classes and classes != theirs.classes:
        way = f", or train with init_from={name}:{weights}, which begins with a new head" if is_published else ""
        raise ConfigError(
            f"{given} are for {theirs.classes} classes, not {classes}: take include_top=False and put a head on the "
            f"features{way}"
        )


def _is_photograph(shape: tuple) -> bool:
    from ftbnn_larq.models.blocks import stem_stride

    return stem_stride(min(shape[:2]) if all(shape[:2]) else None) == 4
