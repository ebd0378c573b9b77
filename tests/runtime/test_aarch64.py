"""The library for aarch64 in the stock interpreter, which an emulator runs: x86-64's answers, and few instructions."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from benchmarks import aarch64, emulated
from ftbnn_larq import zoo
from ftbnn_larq.errors import ToolError
from ftbnn_larq.files import read_json
from ftbnn_runtime import Classifier
from runtime.tests.conftest import colors
from tests.runtime import native, test_operators
from tests.runtime.sketch import Sketch

pytestmark = pytest.mark.slow

SEEDS = range(8)
ANSWERS = """
import sys
from pathlib import Path
import numpy
import ftbnn_runtime
for path in sorted(Path(sys.argv[1]).glob("*.tflite")):
    for isa in ("neon", "portable"):
        interpreter = ftbnn_runtime.Interpreter(path, isa=isa)
        interpreter.allocate_tensors()
        with numpy.load(path.with_suffix(".npz")) as arrays:
            for each, name in zip(interpreter.get_input_details(), sorted(arrays)):
                interpreter.set_tensor(each["index"], arrays[name])
        interpreter.invoke()
        outputs = [interpreter.get_tensor(each["index"]) for each in interpreter.get_output_details()]
        numpy.savez(path.with_suffix(f".{isa}.npz"), *outputs)
"""
CLASSIFY = """
import sys, numpy
from ftbnn_runtime import Classifier
classify = Classifier(sys.argv[1])
for picture in numpy.load(sys.argv[2]):
    print(classify(picture)[0][0])
"""


@pytest.fixture(scope="module")
def system(request):
    """Its packages and wheels are fetched once, and kept in pytest's cache."""
    try:
        return emulated.system(request.config.cache.mkdir("aarch64"))
    except ToolError as error:
        pytest.skip(f"no aarch64 in an emulator: {error}")


def answers(system, folder, cases) -> list[tuple[list, dict[str, list]]]:
    """Of each (flatbuffer, inputs): this machine's answers, and the other's with each set of instructions."""
    for place, (flatbuffer, arrays) in enumerate(cases):
        (folder / f"{place:03}.tflite").write_bytes(flatbuffer)
        np.savez(folder / f"{place:03}.npz", *arrays)
    system.python(ANSWERS, folder)

    def found(place: int, isa: str) -> list[np.ndarray]:
        with np.load(folder / f"{place:03}.{isa}.npz") as arrays:
            return [arrays[f"arr_{output}"] for output in range(len(arrays.files))]

    isas = ("neon", "portable")
    return [(native.run(*case), {isa: found(place, isa) for isa in isas}) for place, case in enumerate(cases)]


def test_operators_give_the_answers_of_x86_to_the_bit(system, tmp_path, monkeypatch):
    cases = []
    monkeypatch.setattr(test_operators, "same", lambda flatbuffer, *arrays: cases.append((flatbuffer, arrays)))
    for seed in SEEDS:
        test_operators.test_binary_convolutions(seed)
        test_operators.test_what_follows_a_convolution_is_fused_with_it(seed)
        test_operators.test_groups_that_were_split_are_views(seed)
        test_operators.test_signs_that_a_convolution_packs_are_pooled_and_convolved(seed)
    for channels in (1, 33, 100):
        test_operators.test_packing_of_int8_and_back(channels)
    for expected, others in answers(system, tmp_path, cases):
        for isa, found in others.items():
            for one, other in zip(expected, found, strict=True):
                np.testing.assert_array_equal(one, other, err_msg=isa)


def test_float_windows_give_the_answers_of_x86_but_for_rounding(system, tmp_path):
    """All channels, strides, both paddings; a product is rounded before it is added, or not."""
    random, cases = np.random.default_rng(0), []
    for seed in SEEDS:
        sketch = Sketch(seed)
        shape = (1, int(random.integers(5, 20)), int(random.integers(5, 30)), [3, 16, 64, 5][seed % 4])
        x = sketch.input(shape)
        window, stride = tuple(random.integers(1, 5, 2).tolist()), tuple(random.integers(1, 3, 2).tolist())
        if seed % 4 == 0:
            window, stride = (window[0], 7), (stride[0], 2)
        same = bool(random.integers(2))
        outputs = [
            sketch.window("CONV_2D", x, [16, 40, 7][seed % 3], window, stride, same),
            sketch.window("DEPTHWISE_CONV_2D", x, shape[3], window, stride, same),
            sketch.pool("MAX_POOL_2D", x, window, stride, same),
            sketch.pool("AVERAGE_POOL_2D", x, window, stride, same),
        ]
        # What hangs on an operator of LCE's is claimed.
        sketch.quantize(x)
        cases.append((sketch.bytes(*outputs), [random.standard_normal(shape).astype(np.float32)]))
    for expected, others in answers(system, tmp_path, cases):
        for isa, found in others.items():
            for one, other in zip(expected, found, strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-4, atol=2e-5, err_msg=isa)


def test_three_lines_of_python_classify_pictures_as_on_x86_in_few_instructions(system, tmp_path):
    """With a network of the zoo as it is published."""
    source = zoo.HERE / "weights" / "ftbnn_r18_pure-cifar10.tflite"
    for suffix in (".tflite", ".json"):
        shutil.copy(source.with_suffix(suffix), tmp_path / f"model{suffix}")
    pictures = np.stack([colors(32, 32, seed) for seed in range(12)])
    np.save(tmp_path / "pictures.npy", pictures)
    classify = Classifier(tmp_path / "model.tflite")
    expected = [str(classify(picture)[0][0]) for picture in pictures]
    assert system.python(CLASSIFY, tmp_path / "model.tflite", tmp_path / "pictures.npy").split("\n")[:-1] == expected
    assert len(set(expected)) > 1
    lce = read_json(aarch64.FILE)["lce"]["instructions"]["ftbnn_r18_pure:cifar10"]
    assert lce / 4 < system.instructions(tmp_path / "model.tflite") < lce
