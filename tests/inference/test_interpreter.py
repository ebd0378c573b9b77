"""Interpreters in their processes: kernels that agree, times, and what they refuse."""

from __future__ import annotations

import io
import signal
import struct
import subprocess
import sys
import time

import numpy as np
import pytest

from ftbnn_larq import leash
from ftbnn_larq.benchmarking.alone import operator_times
from ftbnn_larq.conversion import flatbuffer as fb
from ftbnn_larq.errors import ConfigError, ModelFileError, ToolError, UnknownNameError
from ftbnn_larq.inference import inspection, messages
from ftbnn_larq.inference.interpreter import KERNELS, Interpreter, fastest_kernel, kernels
from tests.boards.helpers import GROUPED, PLAIN
from tests.runtime.sketch import Sketch

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


def _endless(path):
    """A flatbuffer with a loop whose condition is always true."""
    sketch = Sketch(0)
    mean = sketch.operator(
        "MEAN", [sketch.input((1, 8, 8, 1)), sketch.constant(np.int32([1, 2]))], [sketch.tensor((1, 1))]
    )
    graphs = {"condSubgraphIndex": 1, "bodySubgraphIndex": 2}
    sketch.graph.outputs = [sketch.operator("WHILE", [mean], [sketch.tensor((1, 1))], graphs, of="WhileOptions")]
    for _ in graphs:
        sketch.graph, sketch.shapes = fb.schema().SubGraphT(), []
        sketch.graph.tensors, sketch.graph.operators, sketch.graph.inputs = [], [], []
        sketch.model.subgraphs.append(sketch.graph)
        number = sketch.input((1, 1))
        if len(sketch.model.subgraphs) == 2:
            sketch.graph.outputs = [sketch.constant(np.int8([1]))]
            sketch.graph.tensors[-1].type = fb.schema().TensorType.BOOL
        else:
            sketch.graph.outputs = [sketch.operator("ADD", [number, number], [sketch.tensor((1, 1))], of="AddOptions")]
    path.write_bytes(fb.pack(sketch.model))
    return path


def test_a_loop_without_end_is_ended(tmp_path, monkeypatch):
    monkeypatch.setenv(leash.PATIENCE, "0.05")
    path = _endless(tmp_path / "endless.tflite")
    with Interpreter(path) as interpreter, pytest.raises(ModelFileError, match=r"endless\.tflite: .*no answer in time"):
        interpreter.predict(PICTURES[:1])
    with pytest.raises(ModelFileError, match=r"endless\.tflite: .* one by one \(no answer in time"):
        operator_times(path, "lce", "default", 1, runs=1)


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ({0: (1, 20_000, 20_000, 3)}, r"its input is \[1, 20000, 20000, 3\]: pictures have at most 4096"),
        ({-1: (1, 2**31 - 1, 64, 64)}, r"a tensor of \[1, 2147483647, 64, 64\] takes more than .* GB of memory"),
        ({-1: (1, 1024, 1024, 64), 1: (64, 1024, 1024, 64)}, "operations a picture: at most 1e\\+12"),
    ],
    ids=["picture", "tensor", "operations"],
)
def test_a_flatbuffer_of_an_absurd_size_is_refused_before_it_is_loaded(tmp_path, monkeypatch, shapes, words):
    monkeypatch.setattr(leash, "memory", lambda: 1 << 40)
    sketch = Sketch(0)
    filters = sketch.tensor((64, 3, 3, 1))
    sketch.graph.outputs = [
        sketch.operator("CONV_2D", [sketch.input((1, 8, 8, 1)), filters], [sketch.tensor((1, 8, 8, 64))])
    ]
    inspection.operations(fb.pack(sketch.model))
    for number, shape in shapes.items():
        tensor = sketch.graph.inputs[0] if number == 0 else filters if number == 1 else sketch.graph.outputs[0]
        sketch.graph.tensors[tensor].shape = list(shape)
    with pytest.raises(ModelFileError, match=words):
        inspection.operations(fb.pack(sketch.model))
    path = tmp_path / "absurd.tflite"
    path.write_bytes(fb.pack(sketch.model))
    with pytest.raises(
        ModelFileError, match=r"absurd\.tflite: LCE's interpreter refuses it \((its input|a tensor|\S+ oper)"
    ):
        Interpreter(path)


def test_a_shape_of_eight_gigabytes_in_a_small_flatbuffer_takes_none(tmp_path):
    sketch = Sketch(0)
    sketch.graph.outputs = [sketch.operator("RELU", [sketch.input((1, 8, 9, 10))], [sketch.tensor((1, 8, 9, 10))])]
    content, shape = fb.pack(sketch.model), struct.pack("<4I", 1, 8, 9, 10)
    path = tmp_path / "shape.tflite"
    # Before its numbers, how many they are.
    path.write_bytes(content.replace(struct.pack("<I", 4) + shape, struct.pack("<I", 2**31 - 1) + shape))
    assert path.read_bytes() != content
    with pytest.raises(ModelFileError, match=r"shape\.tflite: LCE's interpreter refuses it \(damaged flatbuffer"):
        Interpreter(path)


def test_operations_are_counted_by_the_filters():
    sketch = Sketch(0)
    convolved = sketch.operator(
        "CONV_2D", [sketch.input((1, 8, 8, 2)), sketch.tensor((16, 3, 3, 2))], [sketch.tensor((1, 4, 4, 16))]
    )
    deep = sketch.operator(
        "DEPTHWISE_CONV_2D", [convolved, sketch.tensor((1, 5, 5, 16))], [sketch.tensor((1, 4, 4, 16))]
    )
    sketch.graph.outputs = [sketch.operator("ADD", [deep, convolved], [sketch.tensor((1, 4, 4, 16))])]
    maps = 4 * 4 * 16
    assert inspection.operations(fb.pack(sketch.model)) == maps * 3 * 3 * 2 + maps * 5 * 5 + maps * 3


_TAKES = """
import resource, sys
from ftbnn_larq import leash
leash.begin()
leash.memory = lambda: 1 << 28
leash.library_loaded()
assert resource.getrlimit(resource.RLIMIT_AS)[0] > 1 << 28
taken = bytes(1 << int(sys.argv[1]))
"""


def test_a_child_takes_so_much_memory_and_no_more():
    command = [sys.executable, "-c", _TAKES]
    done = [subprocess.run([*command, power], capture_output=True) for power in ("26", "29")]
    assert done[0].returncode == 0, done[0].stderr
    assert done[1].returncode == 1 and "GB of memory" in leash.why_ended(1, done[1].stderr)
    assert leash.why_ended(-signal.SIGSEGV, b"") == "crashed, SIGSEGV"


_LIVES = """
import sys, time
from ftbnn_larq import leash
leash.begin()
if sys.argv[1] == "loops":
    while True:
        pass
time.sleep(float(sys.argv[1]))
"""


def test_a_child_takes_so_much_processor_time_and_waits_longer(monkeypatch):
    """On a busy machine a child waits for its turn, which is not its fault. One that only waits ends as well."""
    monkeypatch.setenv(leash.PATIENCE, "0.02")
    allowed = 0.02 * leash.SECONDS

    def end(does) -> int:
        return subprocess.run([sys.executable, "-c", _LIVES, str(does)], capture_output=True).returncode

    assert end(2 * allowed) == 0
    assert end(60) == -signal.SIGALRM
    # The clock comes first only on a machine where nothing gets on.
    assert end("loops") in (-signal.SIGPROF, -signal.SIGALRM)
    for number in (signal.SIGPROF, signal.SIGALRM):
        assert leash.why_ended(-number, b"").startswith("no answer in time")


def test_a_child_leaves_signals_to_its_parent():
    with Interpreter(PLAIN) as interpreter:
        for number in (signal.SIGINT, signal.SIGTERM):
            interpreter._process.send_signal(number)
        time.sleep(0.1)
        assert interpreter.predict(PICTURES).shape == (5, 10)


def test_messages_are_json_and_plain_arrays():
    stream = io.BytesIO()
    arrays = [PICTURES, np.zeros((0, 3), np.float32)]
    messages.send(stream, {"ask": "it"}, arrays)
    written = stream.getvalue()
    document, found = messages.receive(io.BytesIO(written), "a child")
    assert document == {"ask": "it"}
    for ours, theirs in zip(found, arrays, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for cut in (written[:10], written[:-1], b""):
        with pytest.raises(EOFError):
            messages.receive(io.BytesIO(cut), "a child")
    for line in (b"\x80\x04K\x01.", b"[1]", b'{"shapes": [[-1]]}', b'{"shapes": [[99999, 99999]]}', b"{}", b"[" * 9999):
        with pytest.raises(ModelFileError, match="a child: "):
            messages.receive(io.BytesIO(line + b"\n"), "a child")


@pytest.mark.parametrize("engine", ["lce", "ftbnn"])
def test_files_in_the_current_folder_are_no_modules(tmp_path, monkeypatch, engine):
    for name in ("numpy", "json", "runpy", "tensorflow"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a file of the user')")
    monkeypatch.chdir(tmp_path)
    with Interpreter(PLAIN, engine=engine) as interpreter:
        assert interpreter.output_shape == (1, 10)
