"""What the delegate takes of a flatbuffer: one part for a trunk, with the answers of LCE."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ftbnn_larq.inference import engines
from tests.runtime.native import isas, parts, run
from tests.runtime.sketch import Sketch, packed

STORED = [(np.int8, 0), (np.int8, None), (np.float16, None)]


def compare(sketch: Sketch, *outputs: int, taken: int, but=()) -> None:
    """The answers are LCE's on each instruction set `but` some; `taken` parts, where convolutions are taken."""
    flatbuffer = sketch.bytes(*outputs)
    shapes = [sketch.shapes[each] for each in sketch.graph.inputs]
    arrays = [np.random.default_rng(9).standard_normal(shape).astype(np.float32) for shape in shapes]
    expected = engines.load("lce", flatbuffer, "reference", 1).predict(arrays)
    assert parts(flatbuffer) == taken or isas() == ("portable",)
    for isa in set(isas()).difference(but):
        for one, other in zip(expected, run(flatbuffer, arrays, isa=isa), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5 * np.ptp(one), err_msg=isa)


@pytest.mark.parametrize("kind, axis", STORED)
def test_weights_stored_in_fewer_bits(kind, axis):
    """Their DEQUANTIZE is taken together with the convolution: the trunk stays whole."""
    sketch = Sketch(1)
    x = sketch.input((1, 7, 6, 20))
    value = sketch.window("CONV_2D", x, 40, (3, 3), (1, 1), stored=kind, axis=axis)
    value = sketch.add(sketch.bconv(sketch.quantize(value), 40, 40), value)
    axis = None if axis is None else 3
    value = sketch.window("DEPTHWISE_CONV_2D", value, 40, (2, 3), (2, 1), stored=kind, axis=axis)
    value = sketch.window("CONV_2D", value, 33, (1, 1), (1, 1), stored=kind, axis=axis)
    compare(sketch, sketch.bconv(sketch.quantize(value), 33, 32), taken=1)


@pytest.mark.parametrize("kind, axis", [*STORED, (np.float32, None)])
@pytest.mark.parametrize("filters, activation", [(10, 0), (133, 1)])
def test_dense_layers(kind, axis, filters, activation):
    """Filters stored in 8 bits stay so in memory; those in floats, or with a zero point, are the interpreter's."""
    sketch = Sketch(5)
    x = sketch.input((1, 4, 4, 40))
    value = sketch.pool("AVERAGE_POOL_2D", sketch.bconv(sketch.quantize(x), 40, 40), (4, 4), (4, 4))
    compare(sketch, sketch.dense(value, filters, kind, axis, activation), taken=1)


def test_dense_layers_of_several_pictures():
    sketch = Sketch(6)
    x = sketch.input((1, 4, 4, 32))
    value = sketch.pool("MAX_POOL_2D", sketch.bconv(sketch.quantize(x), 32, 32), (4, 4), (4, 4))
    flatbuffer = sketch.bytes(sketch.dense(value, 17, np.int8, 0))
    pictures = np.random.default_rng(1).standard_normal((3, 4, 4, 32)).astype(np.float32)
    one_by_one = np.concatenate([run(flatbuffer, [each[None]])[0] for each in pictures])
    np.testing.assert_array_equal(run(flatbuffer, [pictures])[0], one_by_one)


def test_weights_that_another_node_reads_too():
    """The interpreter keeps them, and the convolution: what a DEQUANTIZE makes is no constant for it."""
    sketch = Sketch(2)
    x = sketch.input((1, 8, 8, 32))
    value = sketch.bconv(sketch.quantize(x), 32, 32)
    value = sketch.window("DEPTHWISE_CONV_2D", value, 32, (4, 4), (1, 1), stored=np.int8, axis=3)
    weights = sketch.graph.operators[-1].inputs[1]
    value = sketch.bconv(sketch.quantize(value), 32, 32)
    compare(sketch, value, sketch.pool("MAX_POOL_2D", weights), taken=2)


def test_weights_of_a_later_part():
    """The interpreter puts each DEQUANTIZE into the first part, its convolution stands in another; both need it."""
    sketch = Sketch(8)
    x = sketch.input((1, 6, 5, 32))
    value = sketch.negate(x)
    for _ in range(2):
        value = sketch.negate(sketch.bconv(sketch.quantize(value), 32, 32))
        value = sketch.window("CONV_2D", value, 32, (3, 3), (1, 1), stored=np.int8, axis=0)
    weights = sketch.graph.operators[-1].inputs[1]
    # Portable kernels leave the convolution to XNNPACK, which leaves out an output that is also a weight.
    compare(sketch, sketch.bconv(sketch.quantize(value), 32, 32), weights, taken=3, but=["portable"])


def test_channels_that_are_cut_are_views():
    """Groups that were fused exchange their channels so: floats and packed signs, to the end and from it."""
    sketch = Sketch(3)
    x = sketch.input((1, 6, 5, 96))
    value = sketch.add(sketch.bconv(sketch.quantize(x), 96, 96, groups=3), x)
    whole = (0, 0, 0, 0)
    turned = sketch.concatenate(
        [sketch.slice(value, (0, 0, 0, 32), whole, (7, 15)), sketch.slice(value, whole, (0, 0, 0, 32), (15, 7))]
    )
    value = sketch.bconv(sketch.quantize(turned), 96, 96, groups=3)
    words = sketch.slice(sketch.quantize(value), (0, 0, 0, -2), (0, 9, 5, -1), (0, 1), np.int32)
    odd = sketch.slice(value, (0, 0, 0, 5), (0, 6, 5, 37), (3, 1))
    compare(sketch, sketch.bconv(words, 32, 32), turned, sketch.add(odd, sketch.bconv(words, 32, 32)), odd, taken=1)


@pytest.mark.parametrize("begin, end, masks", [((0, 1, 0, 0), (0,) * 4, (0, 15)), ((0,) * 4, (1, 0, 0, 8), (15, 6))])
def test_what_cuts_rows_or_pictures_stays_with_the_interpreter(begin, end, masks):
    sketch = Sketch(4)
    x = sketch.input((1, 6, 5, 32))
    cut = sketch.slice(sketch.bconv(sketch.quantize(x), 32, 32), begin, end, masks)
    compare(sketch, sketch.bconv(sketch.quantize(cut), sketch.shapes[cut][-1], 32), taken=2)


@pytest.mark.parametrize("shape, activation", [((48,), 0), ((), 3), ((1, 1, 1, 48), 1)])
def test_factors(shape, activation):
    """Batch norms that stay before a sign: a factor a channel, or one for all."""
    sketch = Sketch(5)
    x = sketch.input((1, 6, 5, 48))
    value = sketch.multiply(sketch.bconv(sketch.quantize(x), 48, 48), shape, activation)
    compare(sketch, sketch.bconv(sketch.quantize(value), 48, 32), value, taken=1)


def test_slopes_and_factors_a_row_are_none_a_channel():
    """There may be as many rows as channels."""
    sketch = Sketch(6)
    x = sketch.input((1, 32, 2, 32))
    value = sketch.prelu(sketch.bconv(sketch.quantize(x), 32, 32), (32, 1, 1))
    value = sketch.multiply(sketch.bconv(sketch.quantize(value), 32, 32), (32, 1, 1))
    compare(sketch, value, taken=2)


@pytest.mark.parametrize("size, channels", [((224, 224), 3), ((37, 261), 3), ((9, 8), 1), ((5, 300), 4), ((21, 40), 5)])
@pytest.mark.parametrize("rows, step", [(7, 2), (8, 3), (1, 1), (9, 2)])
@pytest.mark.parametrize("same", [True, False])
def test_stems_of_seven_columns(size, channels, rows, step, same):
    """Stride 2 from column to column: some kernels add up other products than the window's. Any stride of rows, rows
    that no window sees, borders, and maps that are wider than what such a kernel takes at once."""
    sketch = Sketch(rows)
    if not same and size[0] < rows:
        size = (rows, size[1])
    x = sketch.input((1, *size, channels))
    value = sketch.window("CONV_2D", x, 48, (rows, 7), (step, 2), same, activation=3 if rows == 8 else 0)
    flatbuffer = sketch.bytes(value, sketch.quantize(value))
    picture = np.random.default_rng(9).uniform(-2, 2, (2, *size, channels)).astype(np.float32)
    expected = run(flatbuffer, [picture], isa="portable")[0]
    for isa, threads in itertools.product(isas(), (1, 2)):
        found, signs = run(flatbuffer, [picture], isa=isa, threads=threads)
        # Of sums of products of about 1.
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * (rows * 7 * channels) ** 0.5, err_msg=isa)
        np.testing.assert_array_equal(signs, packed(found < 0), err_msg=isa)


@pytest.mark.parametrize("kind", ["MAX_POOL_2D", "AVERAGE_POOL_2D"])
@pytest.mark.parametrize("activation", [1, 2, 3])
def test_pools_with_an_activation(kind, activation):
    sketch = Sketch(7)
    x = sketch.input((1, 6, 5, 33))
    value = sketch.pool(kind, sketch.bconv(sketch.quantize(x), 33, 37), (3, 2), same=True, activation=activation)
    compare(sketch, value, sketch.bconv(sketch.quantize(value), 37, 8), taken=1)
