"""Float networks of tf.keras.applications as peers: counted, converted to plain TFLite, and run by its interpreter."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import tensorflow as tf

from ftbnn_larq.benchmarking import networks as measured
from ftbnn_larq.benchmarking.models import read_model
from ftbnn_larq.cli.models import find
from ftbnn_larq.conversion import flatbuffer as fb
from ftbnn_larq.conversion.plain import to_tflite
from ftbnn_larq.errors import ConversionError, ModelFileError, UnknownNameError
from ftbnn_larq.inference import lce
from ftbnn_larq.inference.interpreter import Interpreter, host_kernel
from ftbnn_larq.models.ends import up_to_logits
from ftbnn_larq.zoo import applications, networks
from tests.boards.helpers import PLAIN, calls, tool
from tests.conftest import line_of_refusal, run_without_tensorflow

NAME = "keras:MobileNetV3Small"
INT8 = NAME + measured.INT8
SIZE = ("--input-size", 96, "--classes", 10)


@pytest.fixture(scope="module")
def network():
    """`NAME` for 96x96 pictures in 10 classes, up to its logits."""
    tf.keras.utils.set_random_seed(0)
    return up_to_logits(networks.create(NAME, input_shape=(96, 96, 3), num_classes=10))


@pytest.fixture(scope="module")
def files(network, tmp_path_factory):
    """The flatbuffers of `network`: {"float": path, "int8": path}."""
    folder = tmp_path_factory.mktemp("keras")
    paths = {bits: folder / f"{bits}.tflite" for bits in ("float", "int8")}
    for bits, path in paths.items():
        path.write_bytes(to_tflite(network, int8=bits == "int8"))
    return paths


def test_every_classifier_of_keras_is_known_and_no_other():
    functions = inspect.getmembers(tf.keras.applications, inspect.isfunction)
    assert {applications.PREFIX + name for name, _ in functions} == set(applications.NAMES)


def test_what_cannot_be_is_refused_without_tensorflow(tmp_path):
    cases = (
        (("summary", "keras:MobilNetV3Small"), "did you mean keras:MobileNetV3Small"),
        (("compare", "keras:MobileNet*", "--width", "32"), "width 32: not an option of keras:MobileNet"),
        (("compare", "keras:NoNet*"), "larq_zoo:NAME, keras:NAME"),
        (("summary", INT8), f"did you mean {NAME}"),
        (("benchmark", "keras:MobileNetV3Small:int4"), f"did you mean {INT8}"),
        (("train", NAME), f"{NAME} is there for comparison"),
        (("train", NAME, "--width", "32"), f"{NAME} is built as published"),
    )
    results = run_without_tensorflow(*(arguments for arguments, _ in cases), cwd=tmp_path)
    for (arguments, words), result in zip(cases, results, strict=True):
        assert words in line_of_refusal(result), arguments
        assert len(result.err.splitlines()) == 1


def test_pictures_that_are_too_small_are_refused(refused):
    assert f"{NAME} cannot be built for 16x16x3" in refused("summary", NAME, "--input-size", 16)
    with pytest.raises(UnknownNameError, match=f"did you mean {NAME}"):
        applications.create("keras:mobilenetv3small")


def test_patterns_take_keras_networks_only_where_they_name_them():
    assert not any(name.startswith(applications.PREFIX) for name in find(("*",), {}))
    assert find(("keras:MobileNetV3*", "bireal_r18"), {}) == ["keras:MobileNetV3Large", NAME, "bireal_r18"]


@pytest.mark.slow
def test_costs_are_those_that_were_published(command):
    """MobileNetV2, arXiv 1801.04381, table 4: 300 M multiply-adds, 3.4 M parameters; MobileNetV3, 1905.02244: 56 M."""
    result = command("compare", "keras:MobileNetV2", NAME, "ftbnn_r18", "--json")
    assert result.status == 0, result.err
    second, third, ours = result.out
    assert second["macs"]["float"] == pytest.approx(300e6, rel=0.01)
    assert second["params"]["float"] == pytest.approx(3.4e6, rel=0.04)
    assert third["macs"]["float"] == pytest.approx(56e6, rel=0.02)
    assert all(each["macs"]["binary"] == 0 and "uncounted" not in each for each in (second, third))
    assert ours["name"] == "ftbnn_r18" and ours["ops_ratio"] == ours["ops"] / second["ops"]


@pytest.mark.slow
def test_the_float_flatbuffer_gives_kerass_answers(network, files):
    pictures = np.random.default_rng(1).standard_normal((4, 96, 96, 3), np.float32)
    expected = network.predict_on_batch(pictures)
    with Interpreter(files["float"], engine="tflite") as interpreter:
        assert (interpreter.kernel, interpreter.input_shape) == ("xnnpack", (1, 96, 96, 3))
        np.testing.assert_allclose(interpreter.predict(pictures), expected, atol=1e-4 * np.ptp(expected))


@pytest.mark.slow
def test_the_int8_flatbuffer_computes_in_8_bits_between_a_float_picture_and_float_scores(files):
    model = fb.unpack(files["int8"].read_bytes())
    graph, kinds = model.subgraphs[0], lce.load("mlir/python/tflite_schema.py").TensorType
    ends = {*graph.inputs, *graph.outputs}
    assert {graph.tensors[index].type for index in ends} == {kinds.FLOAT32}
    within = {tensor.type for index, tensor in enumerate(graph.tensors) if index not in ends}
    # 32 bits are biases and shapes.
    assert within == {kinds.INT8, kinds.INT32}
    types = [row.type for row in read_model(files["int8"]).operators]
    assert types[0] == "QUANTIZE" and types[-1] == "DEQUANTIZE"
    assert types[1:-1] == [row.type for row in read_model(files["float"]).operators]
    assert files["int8"].stat().st_size < 0.35 * files["float"].stat().st_size
    with Interpreter(files["int8"], engine="tflite") as interpreter:
        assert np.isfinite(interpreter.predict(np.zeros((1, 96, 96, 3), np.float32))).all()


@pytest.mark.slow
def test_benchmark_runs_plain_flatbuffers_in_tflite_and_lces_in_lce(files, command):
    arguments = (*files.values(), PLAIN, "--threads", "1,2", "--runs", 4, "--kernel", "reference")
    result = command("benchmark", *arguments, "--profile", "--json")
    assert result.status == 0, result.err
    kernels = ["xnnpack", "xnnpack", "reference"]
    assert [(row["kernel"], row["threads"]) for row in result.out] == [
        *((kernel, 1) for kernel in kernels),
        *((kernel, 2) for kernel in kernels),
    ]
    assert {row["kernel_reason"] for row in result.out[:2]} == {"it holds no operator of LCE"}
    for row in result.out[:2]:
        assert len(row["layers"]) == sum(operator["count"] for operator in row["operators"])
        assert all(layer["ms"] > 0 for layer in row["layers"])
        # Of the interpreter's process, which has not imported TensorFlow.
        assert 10 < row["peak_memory_mb"] < 150
    told = command("benchmark", files["float"], PLAIN, "--runs", 2)
    assert "xnnpack" in told.out
    assert ("says nothing about ARM" in told.out) == (host_kernel() == "indirect")


@pytest.mark.slow
def test_benchmark_takes_them_by_name(command):
    # Of few layers, which convert sooner.
    name = "keras:MobileNet"
    result = command("benchmark", name + measured.INT8, name, PLAIN, *SIZE, "--runs", 2, "--json")
    assert result.status == 0, result.err
    assert [row["path"] for row in result.out] == [name + measured.INT8, name, str(PLAIN)]
    assert [row["kernel"] for row in result.out] == ["xnnpack", "xnnpack", host_kernel()]
    assert {"type": "QUANTIZE", "count": 1} in result.out[0]["operators"]
    assert "SOFTMAX" not in {row["type"] for row in result.out[1]["operators"]}
    assert result.out[0]["input_shape"] == [96, 96, 3] and result.out[0]["classes"] == 10


@pytest.mark.slow
def test_a_board_is_told_to_use_xnnpack(files, command, tmp_path, monkeypatch):
    (tmp_path / "board").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "board"))
    program = tool(tmp_path / "tool")
    result = command("benchmark", files["int8"], PLAIN, "--on", "local", "--tool", program, "--runs", 2, "--json")
    assert result.status == 0, result.err
    assert [row["kernel"] for row in result.out] == ["xnnpack", host_kernel()]
    plain, lces = calls(program)[:2]
    assert "--use_xnnpack=true" in plain and "bgemm" not in plain
    assert "--use_xnnpack" not in lces


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["half", "flipped", "shape"])
def test_a_damaged_flatbuffer_is_told_in_one_line(files, refused, tmp_path, damage):
    whole = np.frombuffer(files["int8"].read_bytes(), np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, len(whole), np.uint8)
    path = tmp_path / "damaged.tflite"
    if damage == "half":
        path.write_bytes(whole[: len(whole) // 2].tobytes())
    elif damage == "flipped":
        path.write_bytes(np.concatenate([whole[:16], noise[16:4096], whole[4096:]]).tobytes())
    else:
        # Only who runs it finds out: the kernel of the first convolution has another shape.
        model = fb.unpack(whole.tobytes())
        graph = model.subgraphs[0]
        graph.tensors[graph.operators[1].inputs[1]].shape = [1, 1, 1, 1]
        path.write_bytes(fb.pack(model))
    assert str(path) in refused("benchmark", path)
    with pytest.raises(ModelFileError, match=r"^[^\n]*TFLite's interpreter (died of it|refuses it)[^\n]*$"):
        Interpreter(path, engine="tflite")


@pytest.mark.slow
def test_engines_are_not_mixed_up(files):
    with pytest.raises(ModelFileError, match=r"TFLite's interpreter refuses it .*LceQuantize"):
        Interpreter(PLAIN, engine="tflite")
    with pytest.raises(UnknownNameError, match="unknown kernel 'indirect'"):
        Interpreter(files["float"], engine="tflite", kernel="indirect")
    with pytest.raises(UnknownNameError, match="unknown engine 'tflit': did you mean tflite"):
        Interpreter(files["float"], engine="tflit")


def test_what_tflite_cannot_convert_is_told_in_one_line():
    pictures = tf.keras.Input((8, 8, 1))
    model = tf.keras.Model(pictures, tf.strings.length(tf.strings.as_string(pictures))[:, 0, 0])
    with pytest.raises(ConversionError, match="TFLite cannot convert model"):
        to_tflite(model)
