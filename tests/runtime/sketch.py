"""Flatbuffers written by hand: a few operators on random constants, for comparing interpreters."""

from __future__ import annotations

import numpy as np
from flatbuffers import flexbuffers

from ftbnn_larq.conversion import flatbuffer as fb

WORD = 32
FLOAT16 = 1  # TensorType of schema.fbs
_TYPES = {np.float32: fb.FLOAT32, np.float16: FLOAT16, np.int32: fb.INT32, np.int8: fb.INT8}


def words_of(channels: int) -> int:
    return -(-channels // WORD)


def packed(signs: np.ndarray) -> np.ndarray:
    """Words (..., words) of arrays of True for -1 (..., channels), as LCE packs them."""
    channels = signs.shape[-1]
    padded = np.zeros((*signs.shape[:-1], words_of(channels) * WORD), bool)
    padded[..., :channels] = signs
    return np.packbits(padded, axis=-1, bitorder="little").view(np.int32)


class Sketch:
    """A model under way. Tensors are numbers; `bytes()` gives the flatbuffer, of which `outputs` come out."""

    def __init__(self, seed: int):
        self.random = np.random.default_rng(seed)
        schema = fb.schema()
        self.model, self.graph = schema.ModelT(), schema.SubGraphT()
        self.model.version, self.model.subgraphs, self.model.operatorCodes = 3, [self.graph], []
        self.model.buffers = [schema.BufferT()]
        self.graph.tensors, self.graph.operators, self.graph.inputs, self.graph.outputs = [], [], [], []
        self.shapes: list[tuple[int, ...]] = []

    def tensor(self, shape, kind=np.float32, content: np.ndarray | None = None, scale=0.0, zero_point=0, axis=0) -> int:
        schema = fb.schema()
        tensor = schema.TensorT()
        tensor.shape, tensor.type, tensor.name = list(map(int, shape)), _TYPES[kind], f"t{len(self.shapes)}".encode()
        tensor.buffer = 0
        if content is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(content, kind).tobytes(), np.uint8)
            self.model.buffers.append(buffer)
            tensor.buffer = len(self.model.buffers) - 1
        scales = np.atleast_1d(np.asarray(scale, np.float32))
        if scales.any():
            # Several lie along `axis`.
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale, tensor.quantization.quantizedDimension = scales, axis
            tensor.quantization.zeroPoint = np.broadcast_to(np.asarray(zero_point, np.int64), scales.shape)
        self.graph.tensors.append(tensor)
        self.shapes.append(tuple(shape))
        return len(self.shapes) - 1

    def constant(self, content: np.ndarray) -> int:
        return self.tensor(content.shape, content.dtype.type, content)

    def stored(self, content: np.ndarray, kind, axis: int | None = None) -> int:
        """Floats stored as int8, with a scale for each place along `axis` or one for all, or as float16."""
        if kind is np.float32:
            return self.constant(content)
        quantized = {}
        if kind is np.int8:
            others = tuple(each for each in range(content.ndim) if each != axis)
            scale = np.abs(content).max(axis=others if axis is not None else None, keepdims=True) / 127
            content = np.round(content / scale)
            zero_point = 0 if axis is not None else 3
            quantized = {"scale": scale.ravel(), "zero_point": zero_point, "axis": axis or 0}
        small = self.tensor(content.shape, kind, content, **quantized)
        return self.operator("DEQUANTIZE", [small], [self.tensor(content.shape)])

    def input(self, shape, kind=np.float32, **quantized) -> int:
        self.graph.inputs.append(self.tensor(shape, kind, **quantized))
        return self.graph.inputs[-1]

    def operator(self, kind: str, inputs, outputs, options: dict | None = None, *, of: str | None = None) -> int:
        """Adds an operator and gives its first output. `of` names the class of a builtin's options."""
        schema = fb.schema()
        code, operator = schema.OperatorCodeT(), schema.OperatorT()
        builtin = getattr(schema.BuiltinOperator, kind, schema.BuiltinOperator.CUSTOM)
        code.builtinCode, code.deprecatedBuiltinCode, code.version = builtin, min(builtin, 127), 1
        if builtin == schema.BuiltinOperator.CUSTOM:
            code.customCode = kind.encode()
            if options is not None:
                operator.customOptions = np.frombuffer(bytes(flexbuffers.Dumps(options)), np.uint8)
        elif of:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, of)
            operator.builtinOptions = getattr(schema, f"{of}T")()
            for name, value in (options or {}).items():
                setattr(operator.builtinOptions, name, value)
        self.model.operatorCodes.append(code)
        operator.opcodeIndex = len(self.model.operatorCodes) - 1
        operator.inputs, operator.outputs = list(inputs), list(outputs)
        self.graph.operators.append(operator)
        return outputs[0]

    def quantize(self, values: int) -> int:
        *rest, channels = self.shapes[values]
        return self.operator("LceQuantize", [values], [self.tensor((*rest, words_of(channels)), np.int32)], {})

    def dequantize(self, words: int, channels: int, kind=np.float32, **quantized) -> int:
        out = self.tensor((*self.shapes[words][:-1], channels), kind, **quantized)
        return self.operator("LceDequantize", [words], [out], {})

    def bconv(
        self,
        words: int,
        channels: int,
        filters: int,
        *,
        kernel=(3, 3),
        stride=(1, 1),
        dilation=(1, 1),
        same=True,
        pad_values=1,
        groups=1,
        activation=0,
        output="float",
        scale=0.05,
        zero_point=3,
    ) -> int:
        """A binary convolution with random filters. `output` is "float", "int8" or "signs"."""
        random, (_, height, width, _) = self.random, self.shapes[words]
        inner = channels // groups
        filter_words = self.constant(packed(random.random((filters, *kernel, inner)) < 0.5))
        products = kernel[0] * kernel[1] * inner
        multiplier = self.constant((random.standard_normal(filters) / products**0.5).astype(np.float32))
        bias = self.constant(random.standard_normal(filters).astype(np.float32))
        sizes = self._sizes(height, width, kernel, stride, same, dilation)
        last = words_of(filters) if output == "signs" else filters
        kind = {"float": np.float32, "int8": np.int8, "signs": np.int32}[output]
        quantized = {"scale": scale, "zero_point": zero_point} if output == "int8" else {}
        out = self.tensor((1, *sizes, last), kind, **quantized)
        thresholds = -1
        if output == "signs":
            thresholds = self.constant(random.integers(products // 3, 2 * products // 3 + 1, filters).astype(np.int32))
            multiplier = bias = -1
        options = {
            "channels_in": channels,
            "dilation_height_factor": dilation[0],
            "dilation_width_factor": dilation[1],
            "fused_activation_function": activation,
            "pad_values": pad_values,
            "padding": 0 if same else 1,
            "stride_height": stride[0],
            "stride_width": stride[1],
        }
        return self.operator("LceBconv2d", [words, filter_words, multiplier, bias, thresholds], [out], options)

    def bmaxpool(self, words: int, window, stride, same: bool) -> int:
        _, height, width, channels = self.shapes[words]
        sizes = self._sizes(height, width, window, stride, same)
        options = {
            "filter_height": window[0],
            "filter_width": window[1],
            "padding": 0 if same else 1,
            "stride_height": stride[0],
            "stride_width": stride[1],
        }
        out = self.tensor((1, *sizes, channels), np.int32)
        return self.operator("LceBMaxPool2d", [words], [out], options)

    def prelu(self, values: int, shape=None) -> int:
        shape = shape or (1, 1, self.shapes[values][-1])
        slopes = self.constant(self.random.normal(0.2, 0.5, shape).astype(np.float32))
        return self.operator("PRELU", [values, slopes], [self.tensor(self.shapes[values])])

    def negate(self, values: int) -> int:
        """NEG, which the delegate leaves to the interpreter."""
        return self.operator("NEG", [values], [self.tensor(self.shapes[values])])

    def add(self, one: int, other: int, activation: int = 0) -> int:
        options = {"fusedActivationFunction": activation}
        return self.operator("ADD", [one, other], [self.tensor(self.shapes[one])], options, of="AddOptions")

    def multiply(self, values: int, shape, activation: int = 0) -> int:
        factors = self.constant(self.random.standard_normal(shape).astype(np.float32))
        options = {"fusedActivationFunction": activation}
        return self.operator("MUL", [values, factors], [self.tensor(self.shapes[values])], options, of="MulOptions")

    def split(self, whole: int, parts: int, kind=np.float32) -> list[int]:
        *rest, channels = self.shapes[whole]
        outputs = [self.tensor((*rest, channels // parts), kind) for _ in range(parts)]
        axis = self.constant(np.array(3, np.int32))
        self.operator("SPLIT", [axis, whole], outputs, {"numSplits": parts}, of="SplitOptions")
        return outputs

    def slice(self, whole: int, begin: tuple, end: tuple, masks=(7, 7), kind=np.float32) -> int:
        """STRIDED_SLICE with strides of 1. `masks` say of which dimensions `begin` and `end` are not read."""
        index = tuple(
            slice(None if masks[0] >> i & 1 else begin[i], None if masks[1] >> i & 1 else end[i]) for i in range(4)
        )
        shape = np.empty(self.shapes[whole], bool)[index].shape
        limits = [self.constant(np.array(each, np.int32)) for each in (begin, end, (1, 1, 1, 1))]
        options = {"beginMask": masks[0], "endMask": masks[1]}
        return self.operator(
            "STRIDED_SLICE", [whole, *limits], [self.tensor(shape, kind)], options, of="StridedSliceOptions"
        )

    def concatenate(self, parts: list[int], kind=np.float32) -> int:
        *rest, _ = self.shapes[parts[0]]
        out = self.tensor((*rest, sum(self.shapes[part][-1] for part in parts)), kind)
        return self.operator("CONCATENATION", parts, [out], {"axis": 3}, of="ConcatenationOptions")

    def window(
        self,
        kind: str,
        values: int,
        filters: int,
        kernel,
        stride,
        same: bool = True,
        stored=np.float32,
        axis=None,
        activation: int = 0,
    ) -> int:
        """CONV_2D or DEPTHWISE_CONV_2D with random float filters and biases; see `stored`."""
        random, (_, height, width, channels) = self.random, self.shapes[values]
        depthwise = kind == "DEPTHWISE_CONV_2D"
        shape = (1, *kernel, channels) if depthwise else (filters, *kernel, channels)
        weights = self.stored(random.standard_normal(shape).astype(np.float32), stored, axis)
        bias = self.stored(random.standard_normal(filters).astype(np.float32), stored)
        options = {"padding": 0 if same else 1, "strideH": stride[0], "strideW": stride[1]}
        options["fusedActivationFunction"] = activation
        if depthwise:
            options["depthMultiplier"] = 1
        out = self.tensor((1, *self._sizes(height, width, kernel, stride, same), filters))
        of = "DepthwiseConv2DOptions" if depthwise else "Conv2DOptions"
        return self.operator(kind, [values, weights, bias], [out], options, of=of)

    def dense(self, values: int, filters: int, stored=np.float32, axis=None, activation: int = 0) -> int:
        """FULLY_CONNECTED of a map of one pixel; see `stored`."""
        channels = self.shapes[values][-1]
        weights = self.stored(self.random.standard_normal((filters, channels)).astype(np.float32), stored, axis)
        bias = self.constant(self.random.standard_normal(filters).astype(np.float32))
        options = {"fusedActivationFunction": activation}
        out = self.tensor((1, filters))
        return self.operator("FULLY_CONNECTED", [values, weights, bias], [out], options, of="FullyConnectedOptions")

    def pool(
        self, kind: str, values: int, window=(2, 2), stride=(2, 2), same: bool = False, activation: int = 0
    ) -> int:
        """MAX_POOL_2D or AVERAGE_POOL_2D."""
        _, height, width, channels = self.shapes[values]
        options = {"padding": 0 if same else 1, "strideH": stride[0], "strideW": stride[1]}
        options |= {"filterHeight": window[0], "filterWidth": window[1], "fusedActivationFunction": activation}
        out = self.tensor((1, *self._sizes(height, width, window, stride, same), channels))
        return self.operator(kind, [values], [out], options, of="Pool2DOptions")

    @staticmethod
    def _sizes(height, width, kernel, stride, same: bool, dilation=(1, 1)) -> list[int]:
        return [
            -(-side // step) if same else (side - (k - 1) * d - 1) // step + 1
            for side, k, step, d in zip((height, width), kernel, stride, dilation, strict=True)
        ]

    def bytes(self, *outputs: int) -> bytes:
        self.graph.outputs = list(outputs)
        return fb.pack(self.model)
