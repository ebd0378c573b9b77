"""Read picture files with Pillow, for `predict` and for what TensorFlow cannot read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from ftbnn_larq.errors import DataError, one_line
from ftbnn_larq.files import check_ends
from ftbnn_runtime.formats import FORMATS, in_rgb, is_deep, orientation, too_large, upright

# Formats that their first bytes prove. Any other file is a picture if it is of one of them.
PROVEN = ("AVIF", "GIF", "JPEG", "PNG", "TIFF", "WEBP")


def _open(path, formats=FORMATS):
    from PIL import Image

    try:
        check_ends(path)
        if reason := too_large(path):
            raise DataError(f"{path}: {reason}")
        Image.init()
        # Not every Pillow has them all: AVIF came with version 11.3.
        return Image.open(path, formats=[name for name in formats if name in Image.OPEN])
    except DataError:
        raise
    except Exception as error:  # Pillow's readers raise a dozen kinds for a damaged file
        reason = "not a picture file" if isinstance(error, Image.UnidentifiedImageError) else _reason(error)
        raise DataError(f"{path}: cannot be read as a picture ({reason})") from error


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or one_line(error, 120)


class Seen(NamedTuple):
    """What the head of a picture file says.

    Attributes:
        width, height: in pixels, upright.
        orientation: EXIF's, 1 to 8; 1 for upright.
        plain: whether TensorFlow reads the file as Pillow does: a JPEG or PNG of 8 bits a channel, grey or RGB.
    """

    width: int
    height: int
    orientation: int
    plain: bool


def look(path: str | os.PathLike, *, proven: bool = False) -> Seen:
    """Read the head of a picture file.

    Arguments:
        proven: whether only formats count that a file's first bytes prove.

    Raises:
        DataError: the file is not a picture. The message names it.
    """
    with _open(path, PROVEN if proven else FORMATS) as picture:
        modes = {"JPEG": ("L", "RGB"), "MPO": ("L", "RGB"), "PNG": ("L", "LA", "RGB", "RGBA", "P")}
        plain = picture.mode in modes.get(picture.format, ()) and not (
            picture.mode == "P" and "transparency" in picture.info
        )
        turned = orientation(picture)
        size = picture.size if turned < 5 else picture.size[::-1]
        return Seen(*size, turned, plain)


def check_picture(path: str | Path) -> None:
    """Read a picture to its end.

    Raises:
        DataError: the file is not a picture, or is damaged. The message names it.
    """
    with _open(path) as picture:
        # A JPEG is decoded at an eighth of its size. That finds a truncated file, and is much faster.
        picture.draft(None, (1, 1))
        _load(picture, path)


def read_picture(path: str | Path):
    """Read a picture as a uint8 array (h, w, 3), turned upright as its EXIF data says.

    Raises:
        DataError: the file is not a picture, or is damaged. The message names it.
    """
    import numpy as np

    with _open(path) as picture:
        _load(picture, path)
        turned = orientation(picture)
        try:
            array = np.asarray(in_rgb(picture), np.uint8)
        except Exception as error:  # as above
            raise DataError(f"{path}: damaged picture ({_reason(error)})") from error
    return upright(array, turned)


def as_image(pixels):
    """A Pillow image of uint8 pixels (h, w, c), grey or RGB."""
    from PIL import Image

    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def _load(picture, path) -> None:
    if picture.mode in ("I", "F") and not is_deep(picture):
        raise DataError(f"{path}: its pixels have 32 bits, whose range is unknown: store it with 8 or 16 bits")
    try:
        picture.load()
    except Exception as error:  # as above
        raise DataError(f"{path}: damaged picture ({_reason(error)})") from error
