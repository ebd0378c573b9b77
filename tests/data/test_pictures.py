"""Picture files that are damaged: what is told of them, and what is still a picture."""

from __future__ import annotations

import struct

import pytest
from PIL import Image

from ftbnn_larq.data import pictures
from ftbnn_larq.errors import DataError

# EXIF's header, and a directory of two rows: the orientation, and one that is cut off.
LYING = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)
EXIF_CUT = b"Exif\0\0II*\0\x08\0\0\0\x02\0" + LYING + b"\x1a\x01\x05"
EXIF_OF_NO_KIND = b"Exif\0\0MM\xff*\0\0\0\x08\0\x00"


def _half(path, picture) -> None:
    picture.convert("P").save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _large(path, picture) -> None:
    with open(path, "wb") as file:
        # No byte of it is written.
        file.truncate(3 * 10**9)


@pytest.mark.parametrize(
    ("name", "write", "told"),
    [
        # Pillow raises struct.error and SyntaxError for these two, and the pixels are sound.
        ("exif_cut.jpg", lambda path, picture: picture.save(path, exif=EXIF_CUT), (10, 12)),
        ("exif_of_no_kind.webp", lambda path, picture: picture.save(path, exif=EXIF_OF_NO_KIND), (12, 10)),
        ("cut.blp", _half, "not a picture file"),
        ("cut.gif", _half, "damaged picture"),
        ("large.tga", _large, "3.0 GB: pictures have at most 1 GB"),
    ],
)
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_damaged_file_is_told_of_and_damaged_exif_data_are_left_alone(tmp_path, name, write, told):
    path = tmp_path / name
    write(path, Image.effect_noise((12, 10), 50).convert("RGB"))
    if isinstance(told, tuple):
        pictures.check_picture(path)
        seen, read = pictures.look(path), pictures.read_picture(path)
        assert (seen.width, seen.height) == told and read.shape == (*told[::-1], 3)
        return
    for read in (pictures.check_picture, pictures.read_picture):
        with pytest.raises(DataError, match=f"{name}: .*{told}"):
            read(path)
