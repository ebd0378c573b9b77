"""TFLite flatbuffers as objects that can be read and changed, without TensorFlow."""

from __future__ import annotations

from collections import defaultdict

import flatbuffers
import numpy as np
from flatbuffers import flexbuffers

from ftbnn_larq.errors import ConversionError
from ftbnn_larq.inference.schema import IDENTIFIER, operator_type, schema, unpack

__all__ = ["IDENTIFIER", "Graph", "operator_type", "pack", "schema", "unpack"]

# Kernels read constants as vectors of 16 bytes (schema.fbs: Buffer.data, force_align).
ALIGNMENT = 16

FLOAT32, INT32, INT8 = 0, 2, 9  # TensorType of schema.fbs
_DTYPES = {FLOAT32: np.float32, INT32: np.int32, INT8: np.int8}

# Operators that are made here -> (class of their options, version that the kernels have to know).
_OPTIONS = {
    "ADD": ("AddOptions", 1),
    "MUL": ("MulOptions", 1),
    "PRELU": (None, 1),
    "SPLIT": ("SplitOptions", 1),
    "CONCATENATION": ("ConcatenationOptions", 1),
    "DEPTHWISE_CONV_2D": ("DepthwiseConv2DOptions", 1),
    "DEQUANTIZE": ("DequantizeOptions", 2),
    "MAX_POOL_2D": ("Pool2DOptions", 1),
    "LceDequantize": (None, 1),
}


class _Builder(flatbuffers.Builder):
    """Puts constants where kernels expect them, which the Python binding does not, and equal bytes only once.

    Operators share what they have in common, such as LCE's options, which take 160 bytes.
    """

    def __init__(self):
        super().__init__(1 << 20)
        self._written: dict[bytes, int] = {}

    def CreateNumpyVector(self, x):
        if x.dtype != np.uint8:
            return super().CreateNumpyVector(x)
        content = x.tobytes()
        if content not in self._written:
            self.Prep(4, x.nbytes)
            self.Prep(ALIGNMENT if x.nbytes else 1, x.nbytes)
            self._written[content] = super().CreateNumpyVector(x)
        return self._written[content]


def pack(model) -> bytes:
    """The bytes of a `ModelT`."""
    builder = _Builder()
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


class Graph:
    """The operators of a flatbuffer, in order of execution, and the tensors between them, which are numbers.

    Attributes:
        operators: a list to change; `outputs` and `inputs` of an operator are lists of tensors, -1 for one left out.
        tensors: TFLite's, by number.

    Raises:
        ConversionError: the flatbuffer holds several graphs, as those of loops are.
    """

    def __init__(self, flatbuffer: bytes):
        self.model = unpack(flatbuffer)
        subgraph, *others = self.model.subgraphs
        if others:
            raise ConversionError(
                "the network holds a loop, which cannot be rewritten: unroll it, such as by GRU(..., unroll=True)"
            )
        self._subgraph, self.operators, self.tensors = subgraph, subgraph.operators, subgraph.tensors
        self.inputs, self.outputs = [int(i) for i in subgraph.inputs], [int(i) for i in subgraph.outputs]
        for operator in self.operators:
            operator.inputs, operator.outputs = list(map(int, operator.inputs)), list(map(int, operator.outputs))

    def type(self, operator) -> str:
        return operator_type(self.model, operator)

    def shape(self, tensor: int) -> tuple[int, ...]:
        return tuple(map(int, self.tensors[tensor].shape))

    def name(self, tensor: int) -> str:
        return self.tensors[tensor].name.decode()

    def named_outputs(self) -> list[tuple[bytes, int]]:
        """What the flatbuffer gives out as its signatures call it, and as tensors."""
        signatures = self.model.signatureDefs or []
        return [(entry.name, entry.tensorIndex) for signature in signatures for entry in signature.outputs]

    def producers(self) -> dict[int, object]:
        """Tensor -> the operator that computes it."""
        return {output: operator for operator in self.operators for output in operator.outputs}

    def readers(self) -> dict[int, list]:
        """Tensor -> the operators that read it; what the flatbuffer gives out is read by None too."""
        found = defaultdict(list)
        for operator in self.operators:
            for tensor in dict.fromkeys(operator.inputs):
                found[tensor].append(operator)
        for tensor in self.outputs:
            found[tensor].append(None)
        return found

    def only_reader(self, tensor: int):
        """The operator that reads a tensor, if only one does, once. None for an output of the flatbuffer."""
        readers = self.readers()[tensor]
        return readers[0] if len(readers) == 1 and readers[0] and readers[0].inputs.count(tensor) == 1 else None

    def constant(self, tensor: int) -> np.ndarray | None:
        """The values of a float32, int32 or int8 constant; None for anything else."""
        if tensor < 0:
            return None
        data = self.model.buffers[self.tensors[tensor].buffer].data
        dtype = _DTYPES.get(self.tensors[tensor].type)
        if data is None or not len(data) or dtype is None:
            return None
        return np.frombuffer(np.asarray(data, np.uint8).tobytes(), dtype).reshape(self.shape(tensor))

    def add_constant(self, values) -> int:
        """A new constant of float32, int32 or int8 values; nobody needs its name."""
        values = np.ascontiguousarray(values)
        kind = next(kind for kind, dtype in _DTYPES.items() if values.dtype == dtype)
        buffer = schema().BufferT()
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        return self._add(values.shape, kind, "", len(self.model.buffers) - 1)

    def add_quantized(self, values: np.ndarray, scales: np.ndarray) -> int:
        """A new constant of int8 `values`, to be multiplied with the scale of their place on the first axis."""
        tensor = self.add_constant(values)
        quantization = self.tensors[tensor].quantization = schema().QuantizationParametersT()
        quantization.scale = np.asarray(scales, np.float32)
        quantization.zeroPoint = np.zeros(len(scales), np.int64)
        return tensor

    def add_tensor(self, shape, like: int, name: str) -> int:
        """A new tensor that an operator will compute, of the type of `like`."""
        self.model.buffers.append(schema().BufferT())
        return self._add(shape, self.tensors[like].type, name, len(self.model.buffers) - 1)

    def _add(self, shape, kind: int, name: str, buffer: int) -> int:
        tensor = schema().TensorT()
        tensor.shape, tensor.type, tensor.name = np.asarray(shape, np.int32), kind, name.encode()
        tensor.buffer, tensor.hasRank = buffer, True
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def operator(self, kind: str, inputs: list[int], outputs: list[int], **options):
        """A new operator, to be put among the others; the options are named as in the schema's classes."""
        known = schema()
        operator = known.OperatorT()
        name, version = _OPTIONS[kind]
        operator.opcodeIndex = self._code(kind, version)
        operator.inputs, operator.outputs = list(inputs), list(outputs)
        if name:
            operator.builtinOptionsType = getattr(known.BuiltinOptions, name)
            operator.builtinOptions = getattr(known, f"{name}T")()
            for option, value in options.items():
                setattr(operator.builtinOptions, option, value)
        return operator

    def copy(self, operator, inputs: list[int], outputs: list[int], **custom):
        """The same operator between other tensors; `custom` changes the options of an operator of LCE."""
        twin = schema().OperatorT()
        vars(twin).update(vars(operator))
        twin.inputs, twin.outputs = list(inputs), list(outputs)
        if custom:
            known = flexbuffers.Loads(bytes(operator.customOptions))
            twin.customOptions = np.frombuffer(flexbuffers.Dumps({**known, **custom}), np.uint8)
        return twin

    def _code(self, kind: str, version: int) -> int:
        builtins, codes = schema().BuiltinOperator, self.model.operatorCodes
        builtin = getattr(builtins, kind, builtins.CUSTOM)
        custom = kind.encode() if builtin == builtins.CUSTOM else None
        for index, code in enumerate(codes):
            if (code.customCode or None, max(code.builtinCode, code.deprecatedBuiltinCode)) == (custom, builtin):
                code.version = max(code.version, version)
                return index
        code = schema().OperatorCodeT()
        code.customCode = custom
        # Read by interpreters from before there were more than 127 operators.
        code.builtinCode, code.deprecatedBuiltinCode, code.version = builtin, min(builtin, 127), version
        codes.append(code)
        return len(codes) - 1

    def replace(self, old: list, new: list) -> None:
        """Put the operators `new` where the last of `old` stands, and take those out."""
        gone = {id(operator) for operator in old}
        last = max(index for index, operator in enumerate(self.operators) if id(operator) in gone)
        kept = [
            [each for each in part if id(each) not in gone] for part in (self.operators[:last], self.operators[last:])
        ]
        self.operators[:] = [*kept[0], *new, *kept[1]]

    def pack(self) -> bytes:
        """The bytes, without operators, tensors, buffers and types that nothing needs, equal constants only once."""
        self._drop_unread()
        self._renumber_tensors()
        self._renumber_buffers()
        self._renumber_types()
        return pack(self.model)

    def _drop_unread(self) -> None:
        read = set(self.outputs)
        for operator in reversed(list(self.operators)):
            if read.isdisjoint(operator.outputs):
                self.operators.remove(operator)
            else:
                read.update(operator.inputs)

    def _renumber_tensors(self) -> None:
        used = dict.fromkeys(self.inputs)
        for operator in self.operators:
            used.update(dict.fromkeys(tensor for tensor in [*operator.inputs, *operator.outputs] if tensor >= 0))
        number = {tensor: index for index, tensor in enumerate(used)} | {-1: -1}
        self.tensors[:] = [self.tensors[tensor] for tensor in used]
        self.inputs, self.outputs = ([number[tensor] for tensor in tensors] for tensors in (self.inputs, self.outputs))
        self._subgraph.inputs, self._subgraph.outputs = self.inputs, self.outputs
        for operator in self.operators:
            operator.inputs = [number[tensor] for tensor in operator.inputs]
            operator.outputs = [number[tensor] for tensor in operator.outputs]
        for signature in self.model.signatureDefs or []:
            for entry in [*signature.inputs, *signature.outputs]:
                entry.tensorIndex = number[entry.tensorIndex]

    def _renumber_buffers(self) -> None:
        # The first is empty by convention, and serves all that is computed.
        buffers, number = [schema().BufferT()], {b"": 0}
        for owner in [*self.tensors, *(self.model.metadata or [])]:
            data = self.model.buffers[owner.buffer].data
            content = b"" if data is None else np.asarray(data, np.uint8).tobytes()
            if content not in number:
                number[content] = len(buffers)
                buffers.append(self.model.buffers[owner.buffer])
            owner.buffer = number[content]
        self.model.buffers = buffers

    def _renumber_types(self) -> None:
        codes = self.model.operatorCodes
        used = list(dict.fromkeys(operator.opcodeIndex for operator in self.operators))
        self.model.operatorCodes = [codes[index] for index in used]
        # Operators that were copied share nothing but their options.
        for operator in self.operators:
            operator.opcodeIndex = used.index(operator.opcodeIndex)
