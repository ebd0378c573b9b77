"""Groups become convolutions of their own, which stay apart while nothing mixes them."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from ftbnn_larq.conversion.convert import convert_model
from ftbnn_larq.conversion.converter import to_flatbuffer
from ftbnn_larq.conversion.flatbuffer import FLOAT32, Graph
from ftbnn_larq.errors import ConversionError, ModelFileError
from ftbnn_larq.inference.interpreter import Interpreter
from ftbnn_larq.models.layers import binary_conv
from tests.conversion.helpers import as_trained, counts, grouped_network, normed, rewritten, same_answers

keras_layers = tf.keras.layers


@pytest.mark.slow
@pytest.mark.parametrize("shuffle", ["none", "rotate", "butterfly", "interleave"])
def test_groups_read_packed_words_and_stay_apart_while_nothing_mixes_them(tmp_path, shuffle):
    before = to_flatbuffer(grouped_network(shuffle))[0]
    with pytest.raises(ModelFileError, match="refuses"):
        path = tmp_path / "fused.tflite"
        path.write_bytes(before)
        Interpreter(path, kernel="default")
    folded = rewritten(before, "fold", "shortcuts")
    split = rewritten(folded, "groups")
    apart = rewritten(split, "streams")
    same_answers(before, split, tmp_path, (32, 32, 3))
    same_answers(before, apart, tmp_path, (32, 32, 3))
    assert counts(split)["LceBconv2d"] == counts(apart)["LceBconv2d"] > 5
    assert copied(split, "SPLIT") == 0
    if shuffle != "interleave":
        # What the classifier and ungrouped convolutions read is joined, nothing else; neighbours cost no copies.
        copies = ("SPLIT", "CONCATENATION", "STRIDED_SLICE")
        assert copied(apart, *copies) < copied(split, *copies)
        assert "STRIDED_SLICE" not in counts(split)


@pytest.mark.slow
def test_groups_that_grow_are_joined_before_their_signs_are_taken_once_for_each_convolution(tmp_path):
    """Two groups of 32, then, behind their copies, four of 64."""
    before = to_flatbuffer(grouped_network("rotate", units=(1, 2), widening=(1, 2), group_channels=(32, 64), width=64))[
        0
    ]
    after = rewritten(before, "fold", "shortcuts", "groups", "streams")
    same_answers(before, after, tmp_path, (32, 32, 3))
    found = counts(after)
    assert found["LceBconv2d"] == 2 + 2 * 4
    assert found["LceQuantize"] <= found["LceBconv2d"]


def copied(flatbuffer: bytes, *kinds: str) -> int:
    """How many floats operators of those kinds write."""
    graph = Graph(flatbuffer)
    written = [tensor for operator in graph.operators if graph.type(operator) in kinds for tensor in operator.outputs]
    return sum(np.prod(graph.shape(tensor)) for tensor in written if graph.tensors[tensor].type == FLOAT32)


@pytest.mark.slow
def test_a_narrow_stage_between_wide_ones_and_other_stems_stay_right(tmp_path):
    model = grouped_network(
        "none", stem="conv", shortcut="depthwise", widening=(4.0, 2.0, 2.0), group_channels=(32, 64, 32)
    )
    before = to_flatbuffer(model)[0]
    after = rewritten(before, "fold", "shortcuts", "groups", "streams")
    same_answers(before, after, tmp_path, (32, 32, 3))


@pytest.mark.slow
@pytest.mark.parametrize(("filters", "splits"), [(48, False), (64, True), (96, False)])
def test_groups_whose_packed_outputs_share_a_word_are_refused(tmp_path, filters, splits):
    tf.keras.utils.set_random_seed(1)
    inputs = tf.keras.Input((8, 8, 3))
    x = keras_layers.Conv2D(64, 3, padding="same")(inputs)
    x = keras_layers.BatchNormalization()(binary_conv(filters, groups=2, name="mine")(x))
    model = as_trained(tf.keras.Model(inputs, keras_layers.GlobalAveragePooling2D()(normed(x, 32))))
    pictures = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype(np.float32)
    if splits:
        assert convert_model(model, tmp_path / "split.tflite", pictures)["binary_operators"] == 3
    else:
        told = rf"behind mine/\S+ has {filters // 2} filters per group.*: take a multiple of 32 .* --groups fused"
        with pytest.raises(ConversionError, match=told):
            convert_model(model, tmp_path / "split.tflite", pictures)
    assert convert_model(model, tmp_path / "fused.tflite", pictures, groups="fused")["binary_operators"] == 2
