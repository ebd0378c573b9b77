"""Read picture files with Pillow, for picture folders and for `predict`."""

from __future__ import annotations

from pathlib import Path

from ftbnn_larq.errors import DataError, one_line

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}


def _open(path: str | Path):
    from PIL import Image

    try:
        return Image.open(path)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = "not a picture file" if isinstance(error, Image.UnidentifiedImageError) else _reason(error)
        raise DataError(f"{path}: cannot be read as a picture ({reason})") from error


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or one_line(error, 120)


def check_picture(path: str | Path) -> tuple[int, int]:
    """The size (width, height) of a picture, after reading it to its end.

    Raises:
        DataError: the file is not a picture, or is damaged. The message names it.
    """
    with _open(path) as picture:
        size = picture.size
        # A JPEG is decoded at an eighth of its size. That finds a truncated file, and is much faster.
        picture.draft(None, (1, 1))
        _load(picture, path)
        return size


def read_picture(path: str | Path):
    """Read a picture as a uint8 array (h, w, 3), turned upright as its EXIF data says.

    Raises:
        DataError: the file is not a picture, or is damaged. The message names it.
    """
    import numpy as np
    from PIL import Image, ImageOps

    with _open(path) as picture:
        _load(picture, path)
        upright = ImageOps.exif_transpose(picture)
        if upright.mode.startswith("I;16"):
            # Pillow's own conversion clips 16-bit values at 255.
            upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
        return np.asarray(upright.convert("RGB"), np.uint8)


def _load(picture, path) -> None:
    if picture.mode in ("I", "F"):
        raise DataError(f"{path}: its pixels have 32 bits, whose range is unknown: store it with 8 or 16 bits")
    try:
        picture.load()
    except (OSError, ValueError, SyntaxError, EOFError, IndexError) as error:
        raise DataError(f"{path}: damaged picture ({_reason(error)})") from error
