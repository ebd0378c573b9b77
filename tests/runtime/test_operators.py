"""Each of LCE's operators, and what is fused with it, beside LCE's reference kernel: equal to the bit."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ftbnn_larq.inference import engines
from tests.runtime.native import isas, run
from tests.runtime.sketch import Sketch

SEEDS = range(60)


def same(flatbuffer: bytes, *arrays: np.ndarray, **options) -> list[np.ndarray]:
    """The answers of the delegate, which are LCE's on every instruction set."""
    expected = engines.load("lce", flatbuffer, "reference", 1).predict(list(arrays))
    for isa, claim in itertools.product(isas(), ("all", "lce")):
        found = run(flatbuffer, arrays, isa=isa, claim=claim, **options)
        for one, other in zip(expected, found, strict=True):
            np.testing.assert_array_equal(one, other, err_msg=f"{isa}, {claim}")
    return expected


def values(random, shape) -> np.ndarray:
    """Floats among which are zeros of both signs, which no sign may be made of."""
    found = random.standard_normal(shape).astype(np.float32)
    found[random.random(shape) < 0.05] = 0.0
    found[random.random(shape) < 0.05] = -0.0
    return found


def choice(random, *options):
    return options[random.integers(len(options))]


@pytest.mark.parametrize("seed", SEEDS)
def test_binary_convolutions(seed):
    """Paddings, strides, dilations, groups, odd channels, activations, and all three outputs."""
    random = np.random.default_rng(seed)
    sketch = Sketch(seed)
    groups = choice(random, 1, 1, 2, 3)
    channels = 32 * groups * choice(random, 1, 2) if groups > 1 else choice(random, 32, 64, 10, 48, 70, 128, 2)
    filters = groups * choice(random, 16, 32, 7, 24, 40)
    kernel = (choice(random, 1, 2, 3, 5), choice(random, 1, 3, 3, 7))
    dilation = (choice(random, 1, 1, 2), choice(random, 1, 1, 3))
    height, width = (
        int(random.integers((k - 1) * d + 1, (k - 1) * d + 9)) for k, d in zip(kernel, dilation, strict=True)
    )
    same_padding = bool(random.integers(2))
    output = choice(random, "float", "float", "int8", "signs")
    activation = choice(random, 0, 0, 1, 2, 3) if output != "signs" else 0
    # LCE itself takes zero padding for even channels alone, and crashes where it would pack the signs.
    pad_values = choice(random, 0, 1) if channels // groups % 2 == 0 and output != "signs" else 1
    x = sketch.input((1, height, width, channels))
    words = sketch.bconv(
        sketch.quantize(x),
        channels,
        filters,
        kernel=kernel,
        stride=(choice(random, 1, 2, 3), choice(random, 1, 1, 2)),
        dilation=dilation,
        same=same_padding,
        pad_values=pad_values,
        groups=groups,
        activation=activation,
        output=output,
    )
    out = sketch.dequantize(words, filters) if output == "signs" else words
    same(sketch.bytes(out), values(random, (1, height, width, channels)))


@pytest.mark.parametrize("seed", SEEDS)
def test_what_follows_a_convolution_is_fused_with_it(seed):
    """PRELU, ADD and the next sign, and a value that others need too."""
    random = np.random.default_rng(seed)
    sketch = Sketch(seed)
    channels = choice(random, 32, 48, 64, 20)
    x = sketch.input((1, 9, 7, channels))
    value, outputs = x, []
    for _ in range(3):
        following = sketch.bconv(sketch.quantize(value), channels, channels, pad_values=choice(random, 0, 1))
        if random.integers(2):
            following = sketch.prelu(following)
        if random.integers(3):
            following = sketch.add(following, value, activation=choice(random, 0, 1))
        if not random.integers(3):
            outputs.append(following)
        value = following
    last = sketch.bconv(sketch.quantize(value), channels, 40, stride=(2, 2))
    same(sketch.bytes(*dict.fromkeys([last, *outputs])), values(random, (1, 9, 7, channels)))


@pytest.mark.parametrize("seed", SEEDS)
def test_groups_that_were_split_are_views(seed):
    random = np.random.default_rng(seed)
    sketch = Sketch(seed)
    groups, each = choice(random, 2, 3), choice(random, 32, 64)
    x = sketch.input((1, 6, 8, groups * each))
    packed = sketch.quantize(x)
    parts = [sketch.prelu(sketch.bconv(part, each, each)) for part in sketch.split(packed, groups, np.int32)]
    parts = [sketch.add(part, other) for part, other in zip(parts, sketch.split(x, groups), strict=True)]
    order = random.permutation(groups)
    joined = sketch.concatenate([parts[place] for place in order])
    signs = sketch.concatenate([sketch.quantize(parts[place]) for place in order], np.int32)
    if random.integers(2):
        signs = sketch.quantize(joined)
    whole = sketch.add(sketch.bconv(signs, groups * each, groups * each), joined)
    outputs = [whole] + ([joined, parts[0]] if random.integers(2) else [])
    same(sketch.bytes(*outputs), values(random, (1, 6, 8, groups * each)))


@pytest.mark.parametrize("seed", SEEDS)
def test_signs_that_a_convolution_packs_are_pooled_and_convolved(seed):
    random = np.random.default_rng(seed)
    sketch = Sketch(seed)
    channels, filters = choice(random, 32, 40), choice(random, 32, 48, 9)
    x = sketch.input((1, 11, 13, channels))
    words = sketch.bconv(sketch.quantize(x), channels, filters, output="signs")
    if random.integers(2):
        window = (choice(random, 2, 3), choice(random, 1, 2))
        words = sketch.bmaxpool(words, window, (choice(random, 1, 2), 2), bool(random.integers(2)))
    last = sketch.bconv(words, filters, 21, pad_values=1, output=choice(random, "float", "int8"))
    outputs = [last] + ([sketch.dequantize(words, filters)] if random.integers(2) else [])
    same(sketch.bytes(*outputs), values(random, (1, 11, 13, channels)))


@pytest.mark.parametrize("channels", [1, 31, 32, 33, 100])
def test_packing_of_int8_and_back(channels):
    random = np.random.default_rng(channels)
    sketch = Sketch(channels)
    x = sketch.input((1, 5, 4, channels), np.int8, scale=0.1, zero_point=-4)
    words = sketch.quantize(x)
    outputs = [
        sketch.dequantize(words, channels),
        sketch.dequantize(words, channels, np.int8, scale=0.02, zero_point=5),
    ]
    same(sketch.bytes(*outputs), random.integers(-128, 128, (1, 5, 4, channels)).astype(np.int8))


def test_several_pictures_and_threads():
    random = np.random.default_rng(0)
    sketch = Sketch(0)
    x = sketch.input((1, 12, 12, 64))
    value = sketch.add(sketch.bconv(sketch.quantize(x), 64, 64), x)
    flatbuffer = sketch.bytes(sketch.bconv(sketch.quantize(value), 64, 48), value)
    pictures = values(random, (5, 12, 12, 64))
    alone = [run(flatbuffer, [picture[None]]) for picture in pictures]
    for threads in (1, 2, 3):
        together = run(flatbuffer, [pictures], threads=threads)
        for place, answers in enumerate(zip(*alone, strict=True)):
            np.testing.assert_array_equal(np.concatenate(answers), together[place])
