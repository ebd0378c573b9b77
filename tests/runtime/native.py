"""The runtime's library, built once for the tests, in TensorFlow's interpreter."""

from __future__ import annotations

import functools

import numpy as np

from ftbnn_runtime.native import library


@functools.cache
def isas() -> tuple[str, ...]:
    """The instruction sets of the library that this processor has."""
    import tensorflow as tf

    found = []
    for isa in ("avx512", "avx2", "neon", "portable"):
        try:
            tf.lite.experimental.load_delegate(str(library()), {"isa": isa})
        except ValueError:
            continue
        found.append(isa)
    return tuple(found)


def run(flatbuffer: bytes, arrays, *, isa=None, claim="all", threads=1) -> list[np.ndarray]:
    """What TensorFlow's interpreter answers with the delegate, its inputs resized to the number of pictures."""
    import tensorflow as tf

    options = {"claim": claim, "num_threads": str(threads), **({"isa": isa} if isa else {})}
    delegate = tf.lite.experimental.load_delegate(str(library()), options)
    interpreter = tf.lite.Interpreter(model_content=flatbuffer, experimental_delegates=[delegate])
    inputs = interpreter.get_input_details()
    if len(arrays[0]) != 1:
        for each, array in zip(inputs, arrays, strict=True):
            interpreter.resize_tensor_input(each["index"], array.shape)
    interpreter.allocate_tensors()
    for each, array in zip(inputs, arrays, strict=True):
        interpreter.set_tensor(each["index"], array)
    interpreter.invoke()
    return [interpreter.get_tensor(each["index"]) for each in interpreter.get_output_details()]
