"""Which picture files are read, and how they are turned. numpy is not needed."""

from __future__ import annotations

import os

# Pillow's formats that hold pictures and are decoded without other programs.
FORMATS = ("AVIF", "BMP", "DIB", "GIF", "ICO", "JPEG", "JPEG2000", "PCX", "PNG", "PPM", "PSD", "QOI", "SGI")
FORMATS += ("SUN", "TGA", "TIFF", "WEBP")
# A file of such a name must be a picture.
SUFFIXES = {".apng", ".avif", ".bmp", ".dib", ".gif", ".ico", ".j2c", ".j2k", ".jfif", ".jp2", ".jpc", ".jpe", ".jpeg"}
SUFFIXES |= {".jpf", ".jpg", ".jpx", ".mpo", ".pbm", ".pcx", ".pgm", ".pjp", ".pjpeg", ".png", ".pnm", ".ppm", ".psd"}
SUFFIXES |= {".qoi", ".ras", ".sgi", ".tga", ".tif", ".tiff", ".webp"}


# Pillow reads files of some formats whole before it finds that they are damaged.
MOST_BYTES = 10**9


def too_large(path: str | os.PathLike) -> str | None:
    """Why a file is too large for a picture; None for one that is not. Raises OSError: there is none."""
    size = os.stat(path).st_size
    return f"{size / 1e9:,.1f} GB: pictures have at most {MOST_BYTES / 1e9:.0f} GB" if size > MOST_BYTES else None


def is_deep(picture) -> bool:
    """Whether a Pillow image has 16 bits a pixel, of which Pillow's own conversion to 8 clips all above 255."""
    # Of a PGM file Pillow makes a mode of 32 bits; older versions, which Debian 12 has, of a PNG file too.
    return picture.mode.startswith("I;16") or (picture.mode == "I" and picture.format in ("PNG", "PPM"))


def in_rgb(picture):
    """A Pillow image in RGB, of 8 bits. What is transparent has the color that is stored."""
    if is_deep(picture):
        import numpy as np
        from PIL import Image

        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    if picture.mode == "P" and isinstance(picture.info.get("transparency"), bytes):
        # Straight to RGB gives the same colors, and a warning.
        picture = picture.convert("RGBA")
    return picture.convert("RGB")


def orientation(picture) -> int:
    """EXIF's orientation of a Pillow image, 1 to 8; 1 for upright."""
    try:
        found = picture.getexif().get(0x0112, 1)
    except Exception:  # EXIF data are often damaged, and the picture is not
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def upright(array, turned: int):
    """An array (h, w, c) turned upright from EXIF's orientation `turned`."""
    array = array.transpose(1, 0, 2) if turned >= 5 else array
    array = array[:, ::-1] if turned in (2, 3, 6, 7) else array
    return array[::-1] if turned in (3, 4, 7, 8) else array
