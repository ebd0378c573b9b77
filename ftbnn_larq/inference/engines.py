"""The native interpreters that run flatbuffers. A damaged flatbuffer crashes them: only child processes load one.

TensorFlow is not imported, so that they load at once and the memory of the process is the interpreter's.
"""

from __future__ import annotations

import numpy as np

from ftbnn_larq.inference import lce, runtime


def load(engine: str, flatbuffer: bytes, kernel: str, threads: int, profiles: bool = False):
    """The interpreter of a flatbuffer.

    Arguments:
        engine, kernel: a key of `interpreter.ENGINES`, and one of its kernels.
        profiles: whether steps are timed; of the engine ftbnn only. `delegate` of the object is the pointer then.

    Returns:
        An object with `input_shapes`, `input_types`, `output_shapes`, and `predict`: arrays in, arrays out, both lists.
    """
    return _LOADERS[engine](flatbuffer, kernel, threads, *([True] if profiles else []))


def load_library(engine: str):
    """The native module of an engine, without a flatbuffer."""
    if engine == "lce":
        return lce.load("tflite/python/interpreter_wrapper_lite.so")
    return lce.load("lite/python/interpreter_wrapper/_pywrap_tensorflow_interpreter_wrapper.so", "tensorflow")


def _lce(flatbuffer: bytes, kernel: str, threads: int):
    native = load_library("lce").LiteInterpreter
    return native(flatbuffer, threads, kernel == "reference", kernel == "indirect", False)


class _Tflite:
    """TensorFlow's own interpreter, as tf.lite.Interpreter starts it: XNNPACK takes every operator that it has."""

    # BuiltinOpResolver, in the wrapper's numbering.
    _RESOLVER = 1

    def __init__(self, flatbuffer: bytes, kernel: str, threads: int):
        native = load_library("tflite")
        # The wrapper reads these bytes as long as it lives, without holding them.
        self._flatbuffer = flatbuffer
        self._native = native.CreateWrapperFromBuffer(flatbuffer, self._RESOLVER, [], False, False)
        self._native.SetNumThreads(threads)
        self._delegate(kernel, threads)
        self._native.AllocateTensors()
        self._inputs, self._outputs = list(self._native.InputIndices()), list(self._native.OutputIndices())
        self.input_shapes, self.output_shapes = self._shapes(self._inputs), self._shapes(self._outputs)
        self.input_types = [np.dtype(self._native.TensorType(index, 0)) for index in self._inputs]

    def _delegate(self, kernel: str, threads: int) -> None:
        """Let another library run a part of the graph."""

    def _shapes(self, tensors: list[int]) -> list[tuple[int, ...]]:
        return [tuple(map(int, self._native.TensorSize(index, 0))) for index in tensors]

    def predict(self, arrays: list) -> list:
        for index, array in zip(self._inputs, arrays, strict=True):
            self._native.SetTensor(index, array, 0)
        self._native.Invoke(0)
        return [self._native.GetTensor(index, 0) for index in self._outputs]


class _Ftbnn(_Tflite):
    """The same with ftbnn-runtime, which takes LCE's operators and what hangs on them; XNNPACK has the rest."""

    def __init__(self, flatbuffer: bytes, kernel: str, threads: int, profiles: bool = False):
        self._profiles = profiles
        super().__init__(flatbuffer, kernel, threads)

    def _delegate(self, kernel: str, threads: int) -> None:
        more = {"profile": 1} if self._profiles else {}
        self.delegate = runtime.create_delegate(isa=kernel, num_threads=threads, **more)
        self._native.ModifyGraphWithDelegate(self.delegate)


_LOADERS = {"lce": _lce, "ftbnn": _Ftbnn, "tflite": _Tflite}
