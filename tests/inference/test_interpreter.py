"""LCE's interpreter in its process: kernels that agree, times, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from ftbnn_larq.errors import ConfigError, ModelFileError, UnknownNameError
from ftbnn_larq.inference.interpreter import KERNELS, Interpreter, fastest_kernel
from tests.boards.helpers import GROUPED, PLAIN

PICTURES = np.random.default_rng(0).standard_normal((5, 8, 8, 1), np.float32)


def test_kernels_threads_and_batches_give_one_answer():
    found = []
    for kernel, threads in [*((kernel, 1) for kernel in KERNELS), ("default", 2)]:
        with Interpreter(PLAIN, kernel=kernel, threads=threads) as interpreter:
            assert (interpreter.input_shape, interpreter.output_shape) == ((1, 8, 8, 1), (1, 10))
            found.append(interpreter.predict(PICTURES))
            np.testing.assert_array_equal(interpreter.predict(PICTURES[3:4]), found[-1][3:4])
    assert found[0].shape == (5, 10) and np.ptp(found[0]) > 0.1
    for each in found[1:]:
        np.testing.assert_allclose(each, found[0], atol=1e-4)


def test_each_inference_is_timed_but_for_the_warm_up():
    with Interpreter(PLAIN) as interpreter:
        measured = interpreter.time(PICTURES, warmup=3, runs=7)
    assert len(measured["times_ms"]) == 7 and min(measured["times_ms"]) > 0
    assert 10 < measured["peak_memory_mb"] < 300


def test_grouped_convolutions_need_the_indirect_kernel():
    with pytest.raises(ModelFileError, match=r"(?s)grouped\.tflite: LCE's interpreter refuses it .*[Gg]rouped"):
        Interpreter(GROUPED, kernel="default")
    with Interpreter(GROUPED, kernel="indirect") as interpreter:
        assert interpreter.predict(PICTURES).shape == (5, 10)


@pytest.mark.parametrize(("machine", "kernel"), [("x86_64", "indirect"), ("AMD64", "indirect"), ("aarch64", "default")])
def test_the_fastest_kernel_of_a_machine(machine, kernel):
    assert fastest_kernel(machine) == kernel


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"kernel": "refrence"}, UnknownNameError, "refrence.*reference"),
        ({"threads": 0}, ConfigError, "0 threads"),
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
