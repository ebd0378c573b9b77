"""Flatbuffers, damaged by field of TFLite's schema: read, and run in the processes of the interpreters."""

from __future__ import annotations

import copy
import functools
import random
from pathlib import Path

import numpy as np

from tests.fuzz import damage

SAMPLES = Path(__file__).parents[1] / "benchmarking" / "lce_benchmark"
INTEGERS = (0, 1, -1, 2, 3, 5, 16, 127, 128, 255, 1_000, 4_096, 20_000, 65_536, 10**6, 2**31 - 1, -(2**31))


@functools.cache
def whole() -> tuple[bytes, ...]:
    """Small networks: two that were converted, three with every operator of the runtime."""
    from runtime.fuzz import graphs
    from tests.runtime.sketch import Sketch

    found = [(SAMPLES / name).read_bytes() for name in ("plain.tflite", "grouped.tflite")]
    for make in (graphs.trunk, graphs.packed, graphs.stored):
        sketch = Sketch(0)
        found.append(sketch.bytes(*make(sketch)))
    return tuple(found)


def damaged(rng: random.Random) -> bytes:
    from ftbnn_larq.conversion import flatbuffer as fb

    content = rng.choice(whole()[: rng.choice((2, 5))])
    if rng.random() < 0.3:
        return _by_number(rng, content) if rng.random() < 0.6 else damage.raw(rng, content, 3)
    for _ in range(20):
        model = fb.unpack(content)
        try:
            for _ in range(rng.randint(1, 3)):
                _change(rng, model)
            return fb.pack(model)
        except Exception:  # Nothing is left to change, or the schema's writer refuses a value in its own way.
            continue
    return damage.raw(rng, content)


def _by_number(rng: random.Random, content: bytes) -> bytes:
    """Another 32-bit number, where offsets, sizes and tables lie."""
    out = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at = (
            4 * rng.randrange(len(out) // 4)
            if rng.random() < 0.6
            else len(out) - 4 * rng.randrange(1, min(2_000, len(out) // 4))
        )
        out[at : at + 4] = (rng.choice((*INTEGERS, rng.randrange(len(out)))) & 0xFFFFFFFF).to_bytes(4, "little")
    return bytes(out)


def _fields(value, depth: int = 0):
    """(owner, key) of all values below an object of the schema."""
    inner = vars(value).items() if hasattr(value, "__dict__") else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        # Names such as deprecatedBuiltinCode; all else that a class has is a method.
        yield value, key, each
        if depth < 8 and not isinstance(each, np.ndarray):
            yield from _fields(each, depth + 1)


def _change(rng: random.Random, model) -> None:
    """Another value of one field, an object that is lost, doubled, or stands in two places."""
    part = rng.choice(
        (
            model,
            *model.subgraphs,
            *rng.choice((model.subgraphs[0].tensors, model.subgraphs[0].operators)),
            *model.operatorCodes,
        )
    )
    found = [field for field in _fields(part, 4 if part is model else 0)]
    if rng.random() < 0.05:
        model.subgraphs.append(copy.deepcopy(model.subgraphs[0]))
    owner, key, old = rng.choice(found)
    new = _other(rng, old)
    if isinstance(owner, list):
        match rng.randrange(3):
            case 0:
                del owner[key]
            case 1:
                owner.insert(key, copy.deepcopy(old))
            case 2:
                owner[key] = new
    else:
        setattr(owner, key, new)


def _other(rng: random.Random, old):
    if isinstance(old, bool):
        return not old
    if isinstance(old, int | np.integer):
        return rng.choice((*INTEGERS, int(old) + 1, int(old) - 1, int(old) * 2))
    if isinstance(old, float | np.floating):
        return rng.choice((0.0, -1.0, float("nan"), float("inf"), 1e38, 1e-38))
    if isinstance(old, bytes):
        return rng.choice(
            (
                b"",
                b"\xff\xfe",
                b"a\0b",
                b"x" * 5_000,
                b"LceBconv2d",
                b"LceQuantize",
                b"FlexAdd",
                old[: len(old) // 2],
                "é".encode(),
            )
        )
    if isinstance(old, np.ndarray) and len(old):
        match rng.randrange(4):
            case 0:
                return old[: rng.randrange(len(old))]
            case 1:
                return np.concatenate([old, old])
            case 2 if old.dtype == np.uint8:
                return np.frombuffer(damage.raw(rng, old.tobytes()), np.uint8)
        new = old.copy()
        limits = np.iinfo(old.dtype) if old.dtype.kind in "iu" else None
        number = rng.choice(INTEGERS) if limits else rng.choice((0, -1, np.nan, np.inf, 1e38))
        new[rng.randrange(len(new))] = np.clip(number, limits.min, limits.max) if limits else number
        return new
    if isinstance(old, list) and old:
        return rng.choice(
            (
                old[:-1],
                old + old[:1],
                old[::-1],
                [],
                [_other(rng, each) if isinstance(each, int | np.integer) else each for each in old],
            )
        )
    return rng.choice((None, old))


def read(rng: random.Random, folder: Path) -> None:
    """What is asked of a flatbuffer before it is run."""
    from ftbnn_larq.benchmarking.models import read_model
    from ftbnn_larq.conversion import census
    from ftbnn_larq.inference.sidecar import gives_probabilities

    path = folder / "model.tflite"
    path.write_bytes(damaged(rng))
    if rng.random() < 0.02:
        damage.instead(rng, path)
    try:
        model = read_model(path)
        model.kernel(("default", "the fastest"))
        census.census(list(model.operators))
    finally:
        gives_probabilities(path)


def run(rng: random.Random, folder: Path) -> None:
    """Loaded and asked, as `evaluate`, `predict` and `benchmark` do."""
    from ftbnn_larq.inference.interpreter import Interpreter

    path = folder / "model.tflite"
    path.write_bytes(damaged(rng))
    with Interpreter(path, engine=rng.choice(("lce", "ftbnn"))) as interpreter:
        shape = interpreter.input_shape
        interpreter.predict(np.zeros((2, *shape[1:]), np.float32))
