"""Damage that is the same for every kind of file: to bytes, to lines of text, and to documents by key.

All of it is drawn from a `random.Random`, so that a case comes again from its seed.
"""

from __future__ import annotations

import copy
import json
import os
import random
from pathlib import Path

NUMBERS = (0, 1, -1, 2, 3, 7, 127, 128, 255, 256, 65_535, 10**6, 2**31 - 1, 2**31, 2**32, 2**63, 2**64, 10**30, 10**400)
NUMBERS += (0.0, -0.0, 0.5, 1e-320, 1e-38, 1e38, 1e308, -1e308, float("nan"), float("inf"), float("-inf"))
WORDS = (
    "",
    " ",
    "0",
    "-1",
    "nan",
    "1e999",
    "null",
    "a\0b",
    "a\nb",
    "\udce9",
    "\ud800",
    "é",
    "日本",
    "\u202egnp.",
    "x" * 5_000,
)
WORDS += (
    "../../etc/passwd",
    "/dev/null",
    "folder:/",
    "$\\frac{1}{$",
    "<script>alert(1)</script>",
    "{{7*7}}",
    "%s%n",
    "[bold]",
)
SIGNS = (
    b"",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\0",
    b"\r",
    b"\n\n",
    b"\x1b[31m",
    b"\xc3\x28",
    b"\xed\xa0\x80",
    b"{",
    b"[",
    b'"',
    b"NaN",
)


def number(rng: random.Random):
    return rng.choice(NUMBERS) if rng.random() < 0.7 else rng.choice((rng.randint(-(2**70), 2**70), rng.gauss(0, 1e9)))


def value(rng: random.Random, depth: int = 0):
    """Any value of JSON."""
    kind = rng.randrange(8 if depth < 3 else 5)
    if kind < 2:
        return number(rng)
    if kind == 2:
        return rng.choice(WORDS)
    if kind < 5:
        return rng.choice((None, True, False))
    if kind == 5:
        return [value(rng, depth + 1) for _ in range(rng.choice((0, 1, 2, 3, 4, 100)))]
    if kind == 6:
        return {rng.choice(WORDS): value(rng, depth + 1) for _ in range(rng.randrange(3))}
    inner = value(rng, 3)
    for _ in range(rng.choice((1, 2, 30, 400))):
        inner = [inner] if rng.random() < 0.5 else {"a": inner}
    return inner


def near(rng: random.Random, old):
    """A value of the same type as `old`, but another one."""
    if isinstance(old, bool) or old is None:
        return rng.choice((True, False, None, 0))
    if isinstance(old, int | float):
        changed = (
            old + 1,
            old - 1,
            -old,
            old * 10,
            old // 2,
            old * 10**9,
            float(old) if abs(old) < 1e300 else 0,
            int(old == old),
        )
        return rng.choice(changed) if rng.random() < 0.5 else number(rng)
    if isinstance(old, str):
        cut = rng.randint(0, len(old))
        return rng.choice(
            (old[:cut], old + rng.choice(WORDS), old[:cut] + rng.choice(WORDS) + old[cut:], old.upper(), *WORDS)
        )
    if isinstance(old, list):
        longer = [*old, *old[: rng.randint(0, 3)], *([value(rng)] if rng.random() < 0.3 else [])]
        return rng.choice((old[: rng.randint(0, len(old))], longer, list(reversed(old)), old * rng.choice((2, 50))))
    return {**old, rng.choice(WORDS): value(rng)}


def places(document, place=()):
    """Where each value of a document stands."""
    for key, inner in (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    ):
        yield (*place, key)
        yield from places(inner, (*place, key))


def by_key(rng: random.Random, document, most: int = 3):
    """A copy of a document in which up to `most` keys are missing, doubled, or have another value."""
    document = copy.deepcopy(document)
    for _ in range(rng.randint(1, most)):
        known = list(places(document))
        if not known:
            return value(rng)
        # Rare at the top, where few keys stand: so each level is drawn alike.
        depth = rng.choice(sorted({len(place) for place in known}))
        *way, last = rng.choice([place for place in known if len(place) == depth])
        inner = document
        for key in way:
            inner = inner[key]
        match rng.randrange(6):
            case 0:
                del inner[last]
            case 1 if isinstance(inner, list):
                inner.insert(last, copy.deepcopy(inner[last]))
            case 1:
                inner[rng.choice(WORDS)] = inner.pop(last)
            case 2:
                inner[last] = value(rng)
            case _:
                inner[last] = near(rng, inner[last])
    return document


def as_json(rng: random.Random, document) -> bytes:
    """A document as JSON, damaged by key, now and then as text too."""
    text = json.dumps(by_key(rng, document), ensure_ascii=rng.random() < 0.5, indent=rng.choice((None, 2)))
    content = text.encode("utf-8", errors="surrogatepass")
    match rng.randrange(24):
        case 0:
            return text.encode(rng.choice(("utf-16", "utf-32", "utf-8-sig")), errors="surrogatepass")
        case 1:
            return content.replace(b"{", b'{"name": 1, "name": [], ', rng.randint(1, 3))
        case 2:
            return rng.choice((b"[", b'{"a":')) * rng.choice((10, 2_000, 100_000)) + content
        case 3 | 4 | 5:
            return raw(rng, content)
        case 6:
            return content.replace(b"1", b"9" * rng.choice((20, 400, 5_000)), 1)
    return content


def raw(rng: random.Random, content: bytes, most: int = 6) -> bytes:
    """Bytes that are changed, cut, doubled, or moved at up to `most` places."""
    out = bytearray(content)
    for _ in range(rng.randint(1, most)):
        at, length = rng.randint(0, len(out)), rng.choice((1, 2, 4, 8, 64, 1_000))
        match rng.randrange(7):
            case 0:
                out[at : at + 1] = bytes([rng.randrange(256)])
            case 1 if rng.random() < 0.3:
                del out[at:]
            case 1 | 2:
                del out[at : at + length]
            case 3:
                out[at:at] = out[at : at + length]
            case 4:
                out[at:at] = rng.choice(SIGNS)
            case 5:
                size = rng.choice((1, 2, 4, 8))
                wanted = rng.choice((0, 1, -1, 2**31 - 1, 2**15, 2**7, rng.getrandbits(31)))
                out[at : at + size] = (wanted & (256**size - 1)).to_bytes(size, rng.choice(("little", "big")))
            case 6:
                other = rng.randint(0, len(out))
                out[at : at + length] = out[other : other + length]
    return bytes(out)


def text(rng: random.Random, content: str) -> str:
    """Lines that are doubled, lost, moved, or have other numbers and words in them."""
    lines = content.split("\n")
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(lines))
        match rng.randrange(7):
            case 0:
                del lines[at : at + rng.choice((1, 1, 5, 50))]
                lines = lines or [""]
            case 1:
                lines.insert(at, rng.choice(lines))
            case 2:
                other = rng.randrange(len(lines))
                lines[at], lines[other] = lines[other], lines[at]
            case 3 | 4 | 5:
                lines[at] = _words(rng, lines[at])
            case 6:
                lines[at] = raw(rng, lines[at].encode(errors="replace"), 2).decode(errors="replace")
    return rng.choice(("\n", "\n", "\n", "\r\n")).join(lines)


def _words(rng: random.Random, line: str) -> str:
    """A line with one of its numbers or words replaced."""
    import re

    found = list(re.finditer(r"-?\d+(?:\.\d+)?|\w+", line))
    if not found:
        return line + rng.choice(WORDS)
    # Half of the time a number, for most words say nothing.
    figures = [match for match in found if match[0][-1].isdigit()]
    match = rng.choice(figures if figures and rng.random() < 0.7 else found)
    new = rng.choice((str(number(rng))[:400], rng.choice(WORDS), "", "-" + match[0], match[0] * 3, "9" * 500, "1e99"))
    return line[: match.start()] + new + line[match.end() :]


def instead(rng: random.Random, path: Path) -> None:
    """Put something else in the place of a file: nothing, a folder, a link in a circle, a pipe, an endless file."""
    if path.is_file() or path.is_symlink():
        path.unlink()
    match rng.randrange(9):
        case 0:
            path.mkdir()
        case 1:
            path.symlink_to(path.name)
        case 2:
            path.write_bytes(b"")
        case 3:
            path.symlink_to("nowhere")
        case 4:
            path.symlink_to("/dev/null")
        case 5:
            with open(path, "wb") as file:
                os.truncate(file.fileno(), rng.choice((1 << 20, 1 << 28)))
        case 6:
            path.write_bytes(rng.randbytes(rng.choice((1, 8, 500))))
        case 7:
            os.mkfifo(path)
        case 8:
            path.symlink_to("/dev/zero")
