"""Interpreters in their processes: kernels that agree, times, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from ftbnn_larq.conversion import flatbuffer as fb
from ftbnn_larq.errors import ConfigError, ModelFileError, ToolError, UnknownNameError
from ftbnn_larq.inference.interpreter import KERNELS, Interpreter, fastest_kernel, kernels
from tests.boards.helpers import GROUPED, PLAIN

PICTURES = np.random.default_rng(0).standard_normal((5, 8, 8, 1), np.float32)


def test_kernels_threads_and_batches_give_one_answer():
    found = []
    ours = kernels("ftbnn")
    for kernel, threads in [*((kernel, 1) for kernel in (*KERNELS, *ours)), ("default", 2), (ours[0], 2)]:
        with Interpreter(PLAIN, kernel=kernel, threads=threads) as interpreter:
            assert interpreter.engine == ("ftbnn" if kernel in ours else "lce")
            assert (interpreter.input_shape, interpreter.output_shape) == ((1, 8, 8, 1), (1, 10))
            found.append(interpreter.predict(PICTURES))
            np.testing.assert_array_equal(interpreter.predict(PICTURES[3:4]), found[-1][3:4])
    assert found[0].shape == (5, 10) and np.ptp(found[0]) > 0.1
    for each in found[1:]:
        np.testing.assert_allclose(each, found[0], atol=1e-4)


@pytest.mark.parametrize("engine", ["lce", "ftbnn"])
def test_each_inference_is_timed_but_for_the_warm_up(engine):
    with Interpreter(PLAIN, engine=engine) as interpreter:
        measured = interpreter.time(PICTURES, warmup=3, runs=7)
    assert len(measured["times_ms"]) == 7 and min(measured["times_ms"]) > 0
    assert 10 < measured["peak_memory_mb"] < 300


def test_grouped_convolutions_need_lces_indirect_kernel_or_ftbnn_runtime():
    with pytest.raises(ModelFileError, match=r"(?s)grouped\.tflite: LCE's interpreter refuses it .*[Gg]rouped"):
        Interpreter(GROUPED, kernel="default")
    with Interpreter(GROUPED, kernel="indirect") as lce, Interpreter(GROUPED, engine="ftbnn") as ours:
        np.testing.assert_allclose(ours.predict(PICTURES), lce.predict(PICTURES), atol=1e-4)


@pytest.mark.parametrize(("machine", "kernel"), [("x86_64", "indirect"), ("AMD64", "indirect"), ("aarch64", "default")])
def test_the_fastest_kernel_of_a_machine(machine, kernel):
    assert fastest_kernel(machine) == kernel


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"kernel": "refrence"}, UnknownNameError, "refrence.*reference"),
        ({"kernel": "indirect", "engine": "ftbnn"}, UnknownNameError, "unknown kernel 'indirect'.*portable"),
        ({"threads": 0}, ConfigError, "0 threads"),
        ({"threads": 65, "engine": "ftbnn"}, ConfigError, "65 threads: ftbnn-runtime takes at most 64"),
    ],
    ids=str,
)
def test_options_that_cannot_be_used(options, error, words):
    with pytest.raises(error, match=words):
        Interpreter(PLAIN, **options)


def test_files_that_are_no_flatbuffer(tmp_path):
    with pytest.raises(ModelFileError, match=r"none\.tflite: cannot be read: No such file"):
        Interpreter(tmp_path / "none.tflite")
    (tmp_path / "note.tflite").write_text("no flatbuffer at all")
    with pytest.raises(ModelFileError, match=r"note\.tflite: not a TFLite flatbuffer"):
        Interpreter(tmp_path / "note.tflite")


def test_an_instruction_set_that_the_processor_lacks():
    lacking = "avx512" if "neon" in kernels("ftbnn") else "neon"
    with pytest.raises(UnknownNameError, match=f"unknown kernel '{lacking}'.*portable"):
        Interpreter(PLAIN, kernel=lacking)


def test_without_its_library_ftbnn_runtime_says_what_runs(monkeypatch):
    monkeypatch.setenv("FTBNN_RUNTIME_LIBRARY", "/none.so")
    with pytest.raises(ToolError, match=r"FTBNN_RUNTIME_LIBRARY is /none\.so: no such file; the engine lce"):
        Interpreter(PLAIN, engine="ftbnn")


def test_what_ftbnn_runtime_says_of_a_damaged_file_reaches_the_user(tmp_path):
    graph = fb.Graph(PLAIN.read_bytes())
    convolution = next(each for each in graph.operators if graph.type(each) == "LceBconv2d")
    graph.tensors[convolution.inputs[1]].shape = [1, 1, 1, 1]
    path = tmp_path / "damaged.tflite"
    path.write_bytes(graph.pack())
    with pytest.raises(
        ModelFileError, match=r"^.*with ftbnn-runtime refuses it .*ftbnn-runtime: node \d+, LceBconv2d: .*$"
    ):
        Interpreter(path, engine="ftbnn")


def test_damaged_files_kill_the_interpreter_and_nothing_else(tmp_path):
    whole, random = PLAIN.read_bytes(), np.random.default_rng(0)
    path = tmp_path / "damaged.tflite"
    refused = 0
    for _ in range(12):
        damaged = bytearray(whole)
        for place in random.integers(8, len(whole), 40):
            damaged[place] = random.integers(256)
        path.write_bytes(damaged)
        try:
            with Interpreter(path, engine="ftbnn") as interpreter:
                interpreter.predict(PICTURES[:1])
        except ModelFileError as error:
            assert "damaged.tflite: " in str(error) and "\n" not in str(error)
            refused += 1
    assert refused
