"""Write graphs for fuzz.c: small ones that have every operator, and those of flatbuffers.

python -m runtime.fuzz.graphs FOLDER [FILE.tflite...]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from ftbnn_larq.conversion import flatbuffer
from runtime.fuzz.dump import dump
from tests.runtime.sketch import Sketch


def trunk(sketch: Sketch) -> list[int]:
    """Convolutions with all that is fused with them, zero padding, groups that were split, float windows."""
    x = sketch.input((1, 18, 14, 3))
    stem = sketch.window("CONV_2D", sketch.window("CONV_2D", x, 48, (7, 7), (2, 2)), 64, (3, 3), (1, 1))
    value = sketch.add(sketch.prelu(sketch.bconv(sketch.quantize(stem), 64, 64, pad_values=0)), stem)
    parts = [sketch.bconv(part, 32, 32) for part in sketch.split(sketch.quantize(value), 2, np.int32)]
    parts = [sketch.add(*pair) for pair in zip(parts, sketch.split(value, 2), strict=True)]
    value = sketch.concatenate(parts)
    pooled = [sketch.window("DEPTHWISE_CONV_2D", value, 64, (2, 2), (2, 2)), sketch.pool("MAX_POOL_2D", value)]
    return [sketch.quantize(sketch.concatenate(pooled)), sketch.pool("AVERAGE_POOL_2D", value)]


def packed(sketch: Sketch) -> list[int]:
    """Signs that convolutions pack, pools of them, grouped filters, int8 on both sides."""
    x = sketch.input((1, 8, 10, 64), np.int8, scale=0.1, zero_point=3)
    words = sketch.bconv(sketch.quantize(x), 64, 96, groups=2, output="signs")
    words = sketch.bmaxpool(words, (3, 2), (2, 2), True)
    last = sketch.bconv(words, 96, 21, dilation=(2, 1), output="int8")
    return [last, sketch.dequantize(words, 96), sketch.dequantize(words, 96, np.int8, scale=0.02, zero_point=5)]


def stored(sketch: Sketch) -> list[int]:
    """Weights in fewer bits, of each kind, and one that two convolutions read; channels that are cut; factors; a dense
    layer behind a pool."""
    x = sketch.input((1, 7, 6, 33))
    value = sketch.window("CONV_2D", x, 64, (3, 3), (1, 1), stored=np.int8, axis=0)
    turned = [
        sketch.slice(value, (0, 0, 0, 32), (0,) * 4, (7, 15)),
        sketch.slice(value, (0,) * 4, (0, 0, 0, 32), (15, 7)),
    ]
    words = sketch.quantize(sketch.multiply(sketch.concatenate(turned), (64,), activation=1))
    value = sketch.bconv(words, 64, 64, groups=2)
    value = sketch.window("DEPTHWISE_CONV_2D", value, 64, (2, 2), (1, 1), stored=np.int8, axis=3)
    weights = sketch.graph.operators[-1].inputs[1:]
    value = sketch.window("DEPTHWISE_CONV_2D", sketch.multiply(value, ()), 64, (2, 2), (1, 1))
    sketch.graph.operators[-1].inputs[1:] = weights
    value = sketch.window("CONV_2D", value, 40, (1, 1), (2, 2), stored=np.float16)
    value = sketch.window("CONV_2D", value, 32, (1, 1), (1, 1), stored=np.int8)
    pooled = sketch.pool("AVERAGE_POOL_2D", value, sketch.shapes[value][1:3], sketch.shapes[value][1:3])
    classes = sketch.dense(pooled, 37, np.int8, 0, activation=1)
    return [value, classes, sketch.bconv(sketch.slice(words, (0, 0, 0, -1), (0, 7, 6, 2), (1, 1), np.int32), 32, 8)]


def shared(sketch: Sketch) -> list[int]:
    """Maps that may share memory and are not alike: other frames, bits that no filter has; parts of packed maps."""
    first = sketch.bconv(sketch.quantize(sketch.input((1, 9, 9, 96))), 96, 32, kernel=(1, 1))
    words = sketch.quantize(sketch.pool("MAX_POOL_2D", first, (2, 2), (1, 1)))
    grouped = sketch.quantize(sketch.bconv(sketch.concatenate([words, words], np.int32), 64, 80, groups=2))
    part = sketch.slice(grouped, (0, 0, 0, 0), (0, 0, 0, 1), (7, 7), np.int32)
    column = sketch.pool("MAX_POOL_2D", sketch.bconv(part, 32, 16, dilation=(3, 4)), (8, 8), (1, 8))
    return [sketch.quantize(sketch.window("DEPTHWISE_CONV_2D", column, 16, (1, 1), (1, 5))), grouped]


def write(folder: Path, flatbuffers: list[Path]) -> list[Path]:
    """Write the graphs of all that stands here, and of flatbuffers. Gives their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = {path.stem: path.read_bytes() for path in flatbuffers}
    for make in (trunk, packed, stored, shared):
        sketch = Sketch(0)
        contents[make.__name__] = sketch.bytes(*make(sketch))
    paths = [folder / f"{name}.graph" for name in contents]
    for path, content in zip(paths, contents.values(), strict=True):
        path.write_bytes(dump(flatbuffer.unpack(content)))
    return paths


if __name__ == "__main__":
    write(Path(sys.argv[1]), list(map(Path, sys.argv[2:])))
