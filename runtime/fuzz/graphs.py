"""Write small graphs that have every operator, for fuzz.c: python -m runtime.fuzz.graphs FOLDER."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from ftbnn_larq.conversion import flatbuffer
from runtime.fuzz.dump import dump
from tests.runtime.sketch import Sketch


def trunk(sketch: Sketch) -> list[int]:
    """Convolutions with all that is fused with them, zero padding, groups that were split, float windows."""
    x = sketch.input((1, 9, 7, 40))
    stem = sketch.window("CONV_2D", x, 64, (3, 3), (1, 1))
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


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for make in (trunk, packed):
        sketch = Sketch(0)
        model = flatbuffer.unpack(sketch.bytes(*make(sketch)))
        (folder / f"{make.__name__}.graph").write_bytes(dump(model))
