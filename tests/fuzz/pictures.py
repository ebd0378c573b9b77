"""Picture files, damaged by chunk: sizes and types in headers, EXIF data, pixels that are cut."""

from __future__ import annotations

import functools
import io
import random
import struct
import zlib
from pathlib import Path

from tests.fuzz import damage

# Pillow's formats with the modes that are written.
FORMATS = {
    "PNG": ("RGB", "L", "P", "RGBA", "LA", "1", "I;16"),
    "JPEG": ("RGB", "L", "CMYK"),
    "WEBP": ("RGB", "RGBA"),
    "GIF": ("P", "L"),
    "BMP": ("RGB", "L", "1"),
    "TIFF": ("RGB", "L", "CMYK", "I;16", "1", "F"),
    "PPM": ("RGB", "L"),
    "TGA": ("RGB", "L"),
    "ICO": ("RGBA",),
    "SGI": ("RGB", "L"),
    "PCX": ("RGB", "L"),
    "JPEG2000": ("RGB", "L"),
    "AVIF": ("RGB",),
    "DIB": ("RGB",),
    "QOI": ("RGB",),
    "BLP": ("P",),
    "DDS": ("RGB",),
    "SPIDER": ("F",),
    "EPS": ("RGB",),
    "PDF": ("RGB",),
    "MPO": ("RGB",),
}
TURNED = ("PNG", "JPEG", "WEBP", "TIFF", "AVIF", "MPO")


@functools.cache
def whole(kind: str, mode: str, turned: bool) -> bytes:
    """A sound picture of 24x17, empty where this Pillow cannot write it."""
    import numpy as np
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (17, 24, 4), np.uint8)
    pixels[4:12] = 90
    sixteen = mode == "I;16"
    picture = Image.fromarray(pixels[..., :2].copy().view(np.uint16)[..., 0]) if sixteen else Image.fromarray(pixels)
    picture = picture if sixteen else picture.convert("RGB").convert(mode)
    options = {}
    if turned:
        exif = Image.Exif()
        exif[0x0112], exif[0x010E] = 6, "a picture"
        if kind != "TIFF":
            exif[0x8769] = {0x9003: "2026:01:02 03:04:05"}
        options["exif"] = exif
    if kind in ("GIF", "WEBP", "TIFF", "MPO", "AVIF") and not turned:
        options |= {"save_all": True, "append_images": [picture.rotate(180)]}
    out = io.BytesIO()
    try:
        picture.save(out, kind, **options)
    except (OSError, KeyError, ValueError):
        return b""
    return out.getvalue()


def damaged(rng: random.Random) -> tuple[str, bytes]:
    """A suffix and the bytes of a damaged picture."""
    kind = rng.choice([*FORMATS, "PNG", "JPEG", "JPEG", "WEBP", "TIFF"])
    content = whole(kind, rng.choice(FORMATS[kind]), kind in TURNED and rng.random() < 0.6)
    content = content or whole("PNG", "RGB", True)
    if rng.random() < 0.6:
        by_chunk = {
            "PNG": _png,
            "JPEG": _jpeg,
            "MPO": _jpeg,
            "WEBP": _riff,
            "TIFF": _tiff,
            "AVIF": _boxes,
            "JPEG2000": _boxes,
        }
        for _ in range(rng.randint(1, 2)):
            content = by_chunk.get(kind, _header)(rng, content)
    if rng.random() < 0.5:
        content = damage.raw(rng, content, 3)
    suffix = kind.lower() if rng.random() < 0.8 else rng.choice(("png", "jpg", "txt", "bmp"))
    return suffix, content


def _size(rng: random.Random) -> int:
    return rng.choice((0, 1, 2, 255, 4_096, 8_000, 20_000, 65_535, 2**16, 2**30, 2**31 - 1, 2**32 - 1))


def _header(rng: random.Random, content: bytes) -> bytes:
    """Another number in the first bytes, where formats have their sizes."""
    at, width = rng.randrange(2, 40), rng.choice((1, 2, 4))
    new = (_size(rng) & (256**width - 1)).to_bytes(width, rng.choice(("little", "big")))
    return content[:at] + new + content[at + width :]


def _rejoined(rng: random.Random, chunks: list, change) -> list:
    """Chunks of which one is lost, doubled, moved or changed."""
    if not chunks:
        return chunks
    at, other = rng.randrange(len(chunks)), rng.randrange(len(chunks))
    match rng.randrange(5):
        case 0:
            del chunks[at]
        case 1:
            chunks[at:at] = [chunks[other]] * rng.choice((1, 1, 50))
        case 2:
            chunks[at], chunks[other] = chunks[other], chunks[at]
        case _:
            chunks[at] = change(chunks[at])
    return chunks


def _png(rng: random.Random, content: bytes) -> bytes:
    chunks, at = [], 8
    while at + 12 <= len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += length + 12

    def change(chunk):
        name, data = chunk
        if name == b"IHDR" and len(data) == 13 and rng.random() < 0.7:
            width, height, *rest = struct.unpack(">IIBBBBB", data)
            if rng.random() < 0.6:
                width, height = rng.choice(((_size(rng), height), (width, _size(rng)), (_size(rng), _size(rng))))
            else:
                rest[rng.randrange(5)] = rng.randrange(17)
            return name, struct.pack(">IIBBBBB", width, height, *rest)
        if name == b"IDAT" and rng.random() < 0.5:
            try:
                pixels = zlib.decompress(data)
            except zlib.error:
                pixels = data
            return name, zlib.compress(
                rng.choice((damage.raw(rng, pixels), bytes(rng.choice((1, 10**6, 3 * 10**7))), b""))
            )
        if rng.random() < 0.3:
            text = zlib.compress(bytes(rng.choice((10, 2 << 20))))
            return rng.choice(
                (
                    (b"zTXt", b"a\0\0" + text),
                    (b"iCCP", b"a\0\0" + text),
                    (b"eXIf", rng.randbytes(20)),
                    (b"acTL", bytes(8)),
                )
            )
        return name, damage.raw(rng, data)

    chunks = _rejoined(rng, chunks, change)
    # The checksums are right, so that the chunks themselves are read.
    return content[:8] + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def _jpeg(rng: random.Random, content: bytes) -> bytes:
    segments, at = [], 2
    while at + 4 <= len(content) and content[at] == 0xFF and content[at + 1] != 0xDA:
        (length,) = struct.unpack(">H", content[at + 2 : at + 4])
        segments.append((content[at + 1], content[at + 4 : at + 2 + length]))
        at += length + 2
    rest = content[at:]

    def change(segment):
        marker, data = segment
        if 0xC0 <= marker <= 0xC2 and len(data) >= 6 and rng.random() < 0.7:
            height, width = rng.choice(((_size(rng), 24), (17, _size(rng)), (_size(rng), _size(rng))))
            return rng.choice((marker, 0xC0, 0xC1, 0xC2, 0xC3, 0xC9)), data[:1] + struct.pack(
                ">HH", height & 0xFFFF, width & 0xFFFF
            ) + data[5:]
        if data[:4] == b"Exif" and rng.random() < 0.7:
            return marker, data[:6] + _tiff(rng, data[6:])
        return rng.choice((marker, 0xE0 + rng.randrange(16), 0xFE)), damage.raw(rng, data)[:65_000]

    segments = _rejoined(rng, segments, change)
    rest = damage.raw(rng, rest) if rng.random() < 0.3 else rest
    return (
        content[:2]
        + b"".join(
            bytes([0xFF, marker]) + struct.pack(">H", min(len(data) + 2, 0xFFFF)) + data for marker, data in segments
        )
        + rest
    )


def _riff(rng: random.Random, content: bytes) -> bytes:
    chunks, at = [], 12
    while at + 8 <= len(content):
        (length,) = struct.unpack("<I", content[at + 4 : at + 8])
        chunks.append((content[at : at + 4], content[at + 8 : at + 8 + length]))
        at += 8 + length + length % 2

    def change(chunk):
        name, data = chunk
        if name == b"EXIF":
            return name, rng.choice((b"Exif\0\0" + data, _tiff(rng, data), data[: rng.randrange(20)], b"<x", b""))
        if name == b"XMP " or rng.random() < 0.2:
            return b"XMP ", rng.choice(
                (b"<a", b"<x:xmpmeta>" + b"<a>" * 1_000, b"\xff\xfe<", b'<a tiff:Orientation="6"/>')
            )
        return name, damage.raw(rng, data)

    body = b"".join(
        name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
        for name, data in _rejoined(rng, chunks, change)
    )
    return b"RIFF" + struct.pack("<I", len(body) + 4) + content[8:12] + body


def _tiff(rng: random.Random, content: bytes) -> bytes:
    """A TIFF, or EXIF data, with another entry in one of its tables."""
    order = "<" if content[:2] == b"II" else ">"
    if len(content) < 14:
        return damage.raw(rng, content)
    (table,) = struct.unpack(f"{order}I", content[4:8])
    if table + 2 > len(content):
        return damage.raw(rng, content)
    (count,) = struct.unpack(f"{order}H", content[table : table + 2])
    at = table + 2 + 12 * rng.randrange(max(1, min(count, 40)))
    entry = bytearray(content[at : at + 12].ljust(12, b"\0"))
    match rng.randrange(5):
        case 0:
            # Sizes, compression, bits, what counts the pixels, and where more tables stand.
            struct.pack_into(
                f"{order}H",
                entry,
                0,
                rng.choice((256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 317, 330, 338, 339, 0x112, 0x8769)),
            )
        case 1:
            struct.pack_into(f"{order}H", entry, 2, rng.randrange(20))
        case 2:
            struct.pack_into(f"{order}I", entry, 4, _size(rng))
        case _:
            struct.pack_into(f"{order}I", entry, 8, rng.choice((_size(rng), rng.randrange(len(content)), table)))
    return content[:at] + bytes(entry) + content[at + 12 :]


def _boxes(rng: random.Random, content: bytes) -> bytes:
    """A box of JPEG 2000 or AVIF with another size, name or content; boxes in boxes lie anywhere."""
    known = [
        at
        for name in (b"ftyp", b"meta", b"iloc", b"ispe", b"ihdr", b"jp2h", b"colr", b"av1C", b"mdat", b"jp2c", b"Exif")
        if (at := content.find(name)) >= 4
    ]
    if not known:
        return _header(rng, content)
    at = rng.choice(known)
    match rng.randrange(3):
        case 0:
            return content[: at - 4] + struct.pack(">I", _size(rng)) + content[at:]
        case 1:
            return content[:at] + rng.randbytes(4) + content[at + 4 :]
    start = at + 4 + rng.randrange(24)
    return content[:start] + struct.pack(">I", _size(rng)) + content[start + 4 :]


def picture(rng: random.Random, folder: Path) -> None:
    """As `predict` and `ftbnn-classify` read it, at the size of a network."""
    from ftbnn_larq.data import pictures
    from ftbnn_runtime import pictures as runtime

    suffix, content = damaged(rng)
    path = folder / f"picture.{suffix}"
    path.write_bytes(content)
    if rng.random() < 0.02:
        damage.instead(rng, path)
    if rng.random() < 0.4:
        runtime.fit(runtime.read(path), (32, 32, rng.choice((1, 3))))
        return
    pictures.check_picture(path)
    array = pictures.read_picture(path)
    assert array.ndim == 3 and array.shape[2] == 3 and array.size, f"pixels of {array.shape}"


def folder(rng: random.Random, root: Path) -> None:
    """A data set of class folders, with damaged pictures, odd names and links, read as for a training."""
    from ftbnn_larq import data
    from ftbnn_larq.data import pipeline

    place = root / "set"
    for label in rng.sample(("cat", "dog", "train", "test", "é", "x\udce9", " ", "a\nb", "val"), rng.randint(1, 4)):
        (place / label).mkdir(parents=True)
        for index in range(rng.choice((0, 1, 4, 4, 4))):
            kind = rng.choice(("PNG", "JPEG", "GIF", "WEBP", "BMP"))
            (place / label / f"{index}.{kind.lower()}").write_bytes(whole(kind, FORMATS[kind][0], False))
        match rng.randrange(5):
            case 0:
                (place / label / rng.choice(("up", "x.png"))).symlink_to(
                    rng.choice(("..", ".", "nowhere", "/dev/null"))
                )
            case 1 | 2:
                suffix, content = damaged(rng)
                # Of no name of a picture: it is left out, and all else is read.
                (place / label / f"odd.{rng.choice((suffix, 'dat'))}").write_bytes(content)
    data.check_name(f"folder:{place}")
    loaded = data.load(f"folder:{place}", input_size=rng.choice((None, 8, 16)))
    pipeline.sample(loaded.test, loaded.config, 4)
