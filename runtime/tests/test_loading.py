"""The library in each interpreter that is installed, and what is said where it cannot be loaded."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from conftest import RUNTIME

import ftbnn_runtime
from ftbnn_runtime import Error, interpreters, native, profile


def answers(published, **options) -> np.ndarray:
    interpreter = ftbnn_runtime.Interpreter(published, **options)
    interpreter.allocate_tensors()
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.set_tensor(taken["index"], np.random.default_rng(0).standard_normal(taken["shape"]).astype(np.float32))
    interpreter.invoke()
    return interpreter.get_tensor(given["index"])


def test_a_flatbuffer_runs_in_the_stock_interpreter(published, package):
    expected = answers(published, package=package)
    assert expected.shape == (1, 10) and np.isfinite(expected).all() and np.ptp(expected) > 1
    for options in ({"isa": "portable"}, {"isa": ftbnn_runtime.isa(), "num_threads": 2}, {"claim": "lce"}):
        np.testing.assert_allclose(
            answers(published, package=package, **options), expected, atol=1e-3 * np.ptp(expected)
        )


def test_the_delegate_is_for_the_stock_interpreter_too(published, package):
    delegate = ftbnn_runtime.load_delegate(num_threads=1, package=package)
    stock = interpreters.stock(package)
    stock.Interpreter(model_path=str(published), experimental_delegates=[delegate]).allocate_tensors()


def test_steps_are_timed_where_it_is_asked_for(published, package):
    delegate = ftbnn_runtime.load_delegate(package=package, profile=True)
    interpreter = interpreters.load_with(delegate, published, package=package)
    interpreter.allocate_tensors()
    told = profile.measure(interpreter.invoke, delegate._get_native_delegate_pointer(), warmup=1, runs=3)
    numbers = [*told["views"], *(number for step in told["steps"] for number in step["operators"])]
    assert len(set(numbers)) == len(numbers) > 90 and all(step["ms"] > 0 for step in told["steps"])
    assert 0.5 * told["ms"] < sum(step["ms"] for step in told["steps"]) < 1.2 * told["ms"]
    # Without the option there is nothing to tell.
    silent = ftbnn_runtime.load_delegate(package=package)
    interpreters.load_with(silent, published, package=package).allocate_tensors()
    assert profile.measure(lambda: None, silent._get_native_delegate_pointer(), warmup=0, runs=1)["steps"] == []


def test_the_processor_has_the_instruction_set_that_is_told():
    assert ftbnn_runtime.isa() in interpreters.ISAS


def test_the_lightest_interpreter_is_taken():
    assert interpreters.stock().__name__ == interpreters.PACKAGES[interpreters.installed()[0]]


def test_an_interpreter_that_cannot_be_loaded_is_passed_over(monkeypatch):
    monkeypatch.setattr(interpreters, "installed", lambda: ["ai_edge_litert", "json"])
    monkeypatch.setitem(interpreters.PACKAGES, "ai_edge_litert", "no.such.module")
    monkeypatch.setitem(interpreters.PACKAGES, "json", "json")
    assert interpreters.stock().__name__ == "json"


def test_an_interpreter_for_an_older_numpy_is_passed_over(monkeypatch):
    monkeypatch.setattr(interpreters.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(interpreters, "version", lambda name: "2.1.0")
    assert interpreters.installed() == ["ai_edge_litert", "tensorflow"]
    with pytest.raises(Error, match=r"tflite_runtime is not installed, or does not fit numpy 2\.1\.0"):
        interpreters.stock("tflite_runtime")
    monkeypatch.setattr(interpreters, "version", lambda name: "1.26.4")
    assert interpreters.installed()[0] == "tflite_runtime"


def test_without_an_interpreter_it_says_what_to_type(monkeypatch):
    monkeypatch.setattr(interpreters, "installed", list)
    with pytest.raises(Error, match="pip install ai-edge-litert`; tflite-runtime and tensorflow are taken too"):
        ftbnn_runtime.load_delegate()


@pytest.mark.parametrize(
    "options, told",
    [
        ({"num_threads": 0}, "num_threads is 0: give a whole number from 1 to 64"),
        ({"num_threads": "2"}, "num_threads is '2'"),
        ({"isa": "sse"}, "isa is 'sse': choose one of avx512, avx2, neon, portable"),
        ({"claim": "some"}, "claim is 'some': choose one of all, lce"),
        ({"package": "torch"}, "no interpreter torch: choose one of tflite_runtime, ai_edge_litert, tensorflow"),
    ],
)
def test_wrong_options_are_refused(options, told):
    with pytest.raises(Error, match=told):
        ftbnn_runtime.load_delegate(**options)


def test_an_instruction_set_of_another_processor_is_refused(package):
    foreign = "avx2" if native.machine() == "aarch64" else "neon"
    with pytest.raises(Error, match="this processor has no such isa") as refused:
        ftbnn_runtime.load_delegate(isa=foreign, package=package)
    assert "\n" not in str(refused.value)


def test_another_library_can_be_named(monkeypatch, tmp_path):
    monkeypatch.setenv(native.VARIABLE, str(tmp_path / "none.so"))
    with pytest.raises(Error, match=r"FTBNN_RUNTIME_LIBRARY is .*none\.so: no such file"):
        ftbnn_runtime.library()
    (tmp_path / "none.so").write_text("no library")
    with pytest.raises(Error, match=r"none\.so cannot be loaded"):
        ftbnn_runtime.isa()
    with pytest.raises(Error, match=r"none\.so cannot be loaded"):
        ftbnn_runtime.load_delegate()


def test_importing_it_loads_nothing_heavy():
    code = "import sys, ftbnn_runtime.command, ftbnn_runtime.native; print(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(RUNTIME)}
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert not {"numpy", "PIL", "tensorflow", "ftbnn_larq"} & set(done.stdout.split())


def test_a_library_may_be_named_by_a_path_from_here(published, package, tmp_path, monkeypatch):
    shutil.copy(native.library(), tmp_path / "other.so")
    expected = answers(published, package=package)
    monkeypatch.chdir(tmp_path)
    for name in ("other.so", "./other.so"):
        monkeypatch.setenv(native.VARIABLE, name)
        np.testing.assert_array_equal(answers(published, package=package), expected)


def test_a_path_need_not_be_text(network, package, tmp_path):
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(folder)
    for suffix in (".tflite", ".json"):
        shutil.move(network.with_suffix(suffix), os.fsdecode(folder + b"/model") + suffix)
    assert answers(os.fsdecode(folder + b"/model.tflite"), package=package).shape == (1, 10)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_ends(published, package):
    """Its parent's threads are not there."""
    code = """
import os, signal, sys
import numpy as np
from ftbnn_runtime import Classifier
classifier = Classifier(sys.argv[1], num_threads=2, package=sys.argv[2])
picture = np.zeros((32, 32, 3), np.uint8)
expected = classifier(picture)
child = os.fork()
if child == 0:
    signal.alarm(60)
    sys.exit(classifier(picture) != expected)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    environment = {**os.environ, "PYTHONPATH": str(RUNTIME)}
    done = subprocess.run([sys.executable, "-c", code, published, package], env=environment, timeout=120)
    assert done.returncode == 0
