"""Each of LCE's operators, and what is fused with it, beside LCE's reference kernel: equal to the bit."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest

from ftbnn_larq.inference import engines
from ftbnn_runtime import Error, benchmark
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


def test_a_network_that_takes_two_pictures_is_not_timed(tmp_path):
    sketch = Sketch(0)
    x = sketch.input((2, 4, 4, 32))
    (tmp_path / "two.tflite").write_bytes(sketch.bytes(sketch.dequantize(sketch.quantize(x), 32)))
    with pytest.raises(Error, match=r"two\.tflite: takes \(2, 4, 4, 32\): only a network that takes one picture"):
        benchmark.measure(tmp_path / "two.tflite", runs=1, warmup=0)


def _frames(sketch):
    """Two packed maps of one size in memory, of which the second has more outside of it."""
    first = sketch.bconv(sketch.quantize(sketch.input((1, 9, 9, 32))), 32, 32, kernel=(1, 1))
    pooled = sketch.pool("MAX_POOL_2D", first, (2, 2), (1, 1))
    return sketch.bconv(sketch.quantize(pooled), 32, 32, stride=(2, 2))


def _windows(sketch):
    first = sketch.bconv(sketch.quantize(sketch.input((1, 8, 8, 32))), 32, 32)
    second = sketch.bconv(sketch.quantize(first), 32, 32, kernel=(2, 2), same=False)
    return sketch.bconv(sketch.quantize(second), 32, 32, kernel=(4, 4))


def _groups(sketch, output="float"):
    """The last word of the signs of two groups of 40 has bits that no filter has."""
    first = sketch.bconv(sketch.quantize(sketch.input((1, 6, 6, 96))), 96, 64, kernel=(1, 1))
    grouped = sketch.bconv(sketch.quantize(first), 64, 80, groups=2, kernel=(1, 1), output=output)
    return sketch.bconv(grouped if output == "signs" else sketch.quantize(grouped), 80, 32, kernel=(1, 1))


def _groups_to_signs(sketch):
    return _groups(sketch, "signs")


@pytest.mark.parametrize("draw", [_frames, _windows, _groups, _groups_to_signs])
def test_what_lay_in_memory_before_changes_nothing(draw):
    sketch = Sketch(0)
    flatbuffer = sketch.bytes(draw(sketch))
    same(flatbuffer, values(np.random.default_rng(0), sketch.shapes[sketch.graph.inputs[0]]))


@pytest.mark.parametrize("kind", ["CONV_2D", "DEPTHWISE_CONV_2D", "AVERAGE_POOL_2D", "MAX_POOL_2D"])
@pytest.mark.parametrize("height, width, stride", [(64, 1, (1, 200)), (1, 64, (200, 1)), (1, 1, (3, 3))])
def test_windows_of_a_pixel_move_by_strides_that_leave_the_map(kind, height, width, stride):
    sketch = Sketch(0)
    x = sketch.input((1, height, width, 16))
    pools = kind.endswith("POOL_2D")
    y = sketch.pool(kind, x, (1, 1), stride) if pools else sketch.window(kind, x, 16, (1, 1), stride)
    same(sketch.bytes(sketch.quantize(y)), values(np.random.default_rng(0), (1, height, width, 16)))


@pytest.mark.parametrize("bias", [0.49999997, 0.5, -0.49999997, -0.5, 126.49999, 1e30, -1e30])
def test_int8_is_the_nearest_whole_number(bias):
    sketch = Sketch(0)
    x = sketch.input((1, 4, 4, 32))
    y = sketch.bconv(sketch.quantize(x), 32, 16, kernel=(1, 1), output="int8", scale=1.0, zero_point=0)
    for place, value in ((2, 0.0), (3, bias)):
        buffer = sketch.model.buffers[sketch.graph.tensors[sketch.graph.operators[-1].inputs[place]].buffer]
        buffer.data = np.frombuffer(np.full(16, value, np.float32).tobytes(), np.uint8)
    same(sketch.bytes(y), values(np.random.default_rng(0), (1, 4, 4, 32)))


def test_a_map_that_is_too_large_with_what_is_outside_of_it_is_refused(tmp_path):
    """In a process of its own, which it must not end."""
    sketch = Sketch(0)
    part = sketch.slice(sketch.input((1, 1, 257, 1 << 16), np.int32), (0, 0, 0, 0), (0, 0, 0, 1), (7, 7), np.int32)
    flatbuffer = sketch.bytes(sketch.bconv(part, 32, 16, kernel=(1, 256), dilation=(1, 256)))
    (tmp_path / "wide.tflite").write_bytes(flatbuffer)
    code = """
import sys
from ftbnn_runtime.errors import Error
from ftbnn_runtime.interpreters import Interpreter
try:
    network = Interpreter(sys.argv[1])
    network.allocate_tensors()
    network.invoke()
except (Error, RuntimeError, ValueError) as error:
    print("refused", error)
"""
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "wide.tflite"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("refused"), done.stderr
