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


def run(flatbuffer: bytes, arrays, **options) -> list[np.ndarray]:
    """What TensorFlow's interpreter answers with the delegate, its inputs resized to the number of pictures."""
    interpreter = load(flatbuffer, **options)
    inputs = interpreter.get_input_details()
    if len(arrays[0]) != 1:
        for each, array in zip(inputs, arrays, strict=True):
            interpreter.resize_tensor_input(each["index"], array.shape)
    interpreter.allocate_tensors()
    for each, array in zip(inputs, arrays, strict=True):
        interpreter.set_tensor(each["index"], array)
    interpreter.invoke()
    return [interpreter.get_tensor(each["index"]) for each in interpreter.get_output_details()]


def load(flatbuffer: bytes, *, isa=None, claim="all", threads=1, others=True):
    """TensorFlow's interpreter with the delegate. XNNPACK takes what that leaves, unless `others` is False."""
    import tensorflow as tf

    options = {"claim": claim, "num_threads": str(threads), **({"isa": isa} if isa else {})}
    delegate = tf.lite.experimental.load_delegate(str(library()), options)
    resolver = tf.lite.experimental.OpResolverType
    return tf.lite.Interpreter(
        model_content=flatbuffer,
        experimental_delegates=[delegate],
        experimental_op_resolver_type=resolver.AUTO if others else resolver.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )


def parts(flatbuffer: bytes) -> int:
    """The number of parts that the delegate takes."""
    return [each["op_name"] for each in load(flatbuffer, others=False)._get_ops_details()].count("DELEGATE")
