"""Both engines on this machine, in one table."""

from __future__ import annotations

import numpy as np
import pytest

from ftbnn_larq import zoo
from ftbnn_larq.benchmarking import steps
from ftbnn_larq.benchmarking.models import read_model
from ftbnn_larq.conversion import flatbuffer
from ftbnn_larq.errors import ModelFileError
from ftbnn_larq.inference.interpreter import Interpreter, host_kernel, kernels
from tests.boards.helpers import GROUPED, PLAIN
from tests.runtime.sketch import Sketch


def test_both_engines_are_measured_in_turn_and_compared(command, tmp_path):
    arguments = ("benchmark", PLAIN, GROUPED, "--engine", "lce,ftbnn", "--threads", "1,2", "--kernel", "portable")
    result = command(*arguments, "--runs", 4, "--profile", "--json")
    assert result.status == 0, result.err
    rows = [(row["threads"], row["path"], row["engine"], row["kernel"]) for row in result.out]
    assert rows == [
        (threads, str(path), *run_by)
        for threads in (1, 2)
        for path, lces in ((PLAIN, host_kernel()), (GROUPED, "indirect"))
        for run_by in (("lce", lces), ("ftbnn", "portable"))
    ]
    assert [row["ratio"] for row in result.out if row["path"] == str(PLAIN) and row["engine"] == "lce"] == [1, 1]
    assert all(row["ratio"] > 0 and sum(layer["ms"] for layer in row["layers"]) > 0 for row in result.out)
    (lces, ours) = (result.out[index]["layers"] for index in (0, 1))
    assert {"LceBconv2d"} < {layer["type"] for layer in lces} and len(lces) > len(ours)
    assert "LceBconv2d + ADD + LceQuantize" in {layer["type"] for layer in ours}
    assert f"{PLAIN}: portable kernels of ftbnn-runtime, as asked for" in result.err

    told = command("benchmark", PLAIN, "--engine", "ftbnn,lce", "--runs", 4)
    assert f"ftbnn, {kernels('ftbnn')[0]}" in told.out and f"lce, {host_kernel()}" in told.out
    assert told.out.count("2 LceBconv2d") == 1


def test_engines_that_cannot_be_measured(refused):
    for arguments, words in (
        (("--engine", "lse"), "unknown engine 'lse': did you mean lce"),
        (("--engine", "tflite"), "unknown engine 'tflite': known: ftbnn, lce"),
        (("--engine", "lce,lce"), "engine 'lce,lce': lce, ftbnn, or both"),
        (("--engine", "ftbnn", "--kernel", "indirect"), "unknown kernel 'indirect'"),
        (("--kernel", "portable"), "unknown kernel 'portable': known: default, indirect, reference (engine lce)"),
    ):
        assert words in refused("benchmark", PLAIN, *arguments)


@pytest.fixture
def split_in_two(tmp_path):
    """A flatbuffer with views, a copy, and an end that TFLite's interpreter runs."""
    sketch = Sketch(0)
    x = sketch.input((1, 32, 32, 64))
    value = sketch.add(sketch.prelu(sketch.bconv(sketch.quantize(x), 64, 64)), x)
    one, other = sketch.split(sketch.quantize(value), 2, np.int32)
    value = sketch.concatenate([sketch.bconv(one, 32, 32), sketch.bconv(other, 32, 32), x])
    value = sketch.pool("AVERAGE_POOL_2D", value, (32, 32), (32, 32))
    path = tmp_path / "split.tflite"
    path.write_bytes(sketch.bytes(sketch.dense(value, 10)))
    return path


@pytest.mark.parametrize("threads", [1, 2])
def test_the_steps_of_the_runtime_take_the_time_of_the_whole(split_in_two, threads):
    model = read_model(split_in_two)
    pictures = np.random.default_rng(0).standard_normal((1, 32, 32, 64)).astype(np.float32)
    for kernel in kernels("ftbnn"):
        with Interpreter(split_in_two, kernel=kernel, threads=threads, profiles=True) as interpreter:
            # Another process may take the time between two steps: a quiet moment is waited for.
            for _ in range(20):
                told = interpreter.profile(pictures, warmup=2, runs=20)
                together = sum(step["ms"] for step in told["steps"])
                if 0.6 * told["ms"] < together < 1.1 * told["ms"]:
                    break
        named = [[model.operators[index].type for index in step["operators"]] for step in told["steps"]]
        assert named[0] == ["LceQuantize"]
        assert ["LceBconv2d", "PRELU", "ADD", "LceQuantize"] in named and ["CONCATENATION"] in named
        assert [model.operators[index].type for index in told["views"]] == ["SPLIT"]
        assert 0.6 * told["ms"] < together < 1.1 * told["ms"], kernel
        rows = steps.layers(model, told)
        assert sum(row["ms"] for row in rows) == pytest.approx(max(told["ms"], together), abs=1e-3)
        assert [row["calls"] for row in rows if row["type"] == "FULLY_CONNECTED"] == [1]
        assert [row["ms"] for row in rows] == sorted((row["ms"] for row in rows), reverse=True)


@pytest.mark.parametrize("name", ["ftbnn_r18_pure:cifar10", "ftbnn_r18:cifar10"])
def test_a_binary_operator_is_told_by_its_convolution_and_its_batch_norm(name):
    model = read_model(name)
    rows = zip(model.operators, model.layers, strict=True)
    told = {operator.output: layer for operator, layer in rows if operator.type == "LceBconv2d"}
    assert told == {output: f"{output.partition('_bn')[0]}_conv, {output}" for output in told}
    assert len({output.partition("_bn")[0] for output in told}) == 16


def test_channels_that_a_damaged_file_moves_in_circles_are_not_followed_for_ever(tmp_path):
    model = flatbuffer.unpack(zoo.published_flatbuffer("ftbnn_r18_pure:cifar10").read_bytes())
    for operator in model.subgraphs[0].operators:
        if flatbuffer.operator_type(model, operator) == "SPLIT":
            operator.inputs = [operator.inputs[0], operator.outputs[0]]
    (tmp_path / "circles.tflite").write_bytes(flatbuffer.pack(model))
    assert "stage2_unit1_bn/group1" in read_model(tmp_path / "circles.tflite").layers


def test_a_profile_that_is_none_of_the_file_is_refused():
    model = read_model(PLAIN)
    for told, words in (
        ({"ms": 1.0, "steps": [{"operators": [99], "ms": 1.0}], "views": []}, "others than those of the file"),
        ({"ms": 1.0, "steps": [{"operators": [], "ms": 1.0}], "views": []}, "others than those of the file"),
        ({"ms": 1.0, "steps": []}, "views is missing"),
        (["ms"], "expected object"),
    ):
        with pytest.raises(ModelFileError, match=words):
            steps.layers(model, told)
