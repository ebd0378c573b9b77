"""Write the graph of a flatbuffer as fuzz.c reads it: python dump.py FILE.tflite GRAPH. Needs LCE's schema."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np

# TensorType of the flatbuffer's schema -> TfLiteType of the C interface.
TYPES = {0: 1, 1: 10, 2: 2, 3: 3, 4: 4, 6: 6, 9: 9}
# Fields of a builtin's options in the order of the C struct.
FIELDS = {
    "AddOptions": ("fusedActivationFunction",),
    "MulOptions": ("fusedActivationFunction",),
    "FullyConnectedOptions": ("fusedActivationFunction", "weightsFormat"),
    "ConcatenationOptions": ("axis", "fusedActivationFunction"),
    "SplitOptions": ("numSplits",),
    "StridedSliceOptions": ("beginMask", "endMask", "ellipsisMask", "newAxisMask", "shrinkAxisMask"),
    "Conv2DOptions": ("padding", "strideW", "strideH", "fusedActivationFunction", "dilationWFactor", "dilationHFactor"),
    "DepthwiseConv2DOptions": (
        *("padding", "strideW", "strideH", "depthMultiplier", "fusedActivationFunction"),
        *("dilationWFactor", "dilationHFactor"),
    ),
    "Pool2DOptions": ("padding", "strideW", "strideH", "filterWidth", "filterHeight", "fusedActivationFunction"),
}


def dump(model) -> bytes:
    """The bytes of a `ModelT` with one subgraph."""
    (graph,) = model.subgraphs
    out = [struct.pack("<i", len(graph.tensors))]
    for tensor in graph.tensors:
        dims = [] if tensor.shape is None else list(map(int, tensor.shape))
        data = model.buffers[tensor.buffer].data
        content = b"" if data is None else np.asarray(data, np.uint8).tobytes()
        scales, zeros, axis = [], [], 0
        if tensor.quantization is not None and tensor.quantization.scale is not None:
            scales, axis = tensor.quantization.scale, tensor.quantization.quantizedDimension
            zeros = np.resize(tensor.quantization.zeroPoint, len(scales))
        out.append(struct.pack(f"<ii{len(dims)}i", TYPES.get(tensor.type, 0), len(dims), *dims))
        out.append(struct.pack("<ii", len(scales), axis))
        out.append(np.asarray(scales, "<f4").tobytes() + np.asarray(zeros, "<i4").tobytes())
        out.append(struct.pack("<i", len(content)) + content)
    out.append(struct.pack("<i", len(graph.operators)))
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        name = (code.customCode or b"")[:31]
        params = [0] * 8
        options = operator.builtinOptions
        kind = type(options).__name__.removesuffix("T")
        for place, field in enumerate(FIELDS.get(kind, ())):
            params[place] = int(getattr(options, field))
            if field == "padding":
                params[place] += 1
        custom = b"" if operator.customOptions is None else np.asarray(operator.customOptions, np.uint8).tobytes()
        out.append(struct.pack("<i32s", max(code.builtinCode, code.deprecatedBuiltinCode), name))
        for tensors in (operator.inputs, operator.outputs):
            out.append(struct.pack(f"<{len(tensors) + 1}i", len(tensors), *map(int, tensors)))
        out.append(struct.pack("<9ii", kind in FIELDS, *params, len(custom)) + custom)
    out.append(struct.pack(f"<{len(graph.outputs) + 1}i", len(graph.outputs), *map(int, graph.outputs)))
    return b"".join(out)


if __name__ == "__main__":
    from ftbnn_larq.conversion import flatbuffer

    source, target = map(Path, sys.argv[1:])
    target.write_bytes(dump(flatbuffer.unpack(source.read_bytes())))
