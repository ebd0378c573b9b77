"""List the layer calls of a model, with shapes and operations, by tracing one forward pass."""

from __future__ import annotations

import contextlib
import functools
from dataclasses import dataclass, field

import tensorflow as tf

from ftbnn_larq.errors import ConfigError


@dataclass(eq=False)
class Call:
    """One call of a layer on one picture.

    Attributes:
        layer: the layer.
        path: the names of the layers and models that contain the layer, and its own: "encoder/conv".
        parents: the calls that contain this one, outermost first, without the model's own.
        input_shape: of the first input tensor, for a batch of 1; None for a size that is not fixed.
        output_shape: of the first output tensor, likewise.
        operations: operations that the layer itself adds to the graph, without those of the layers that it calls.
    """

    layer: tf.keras.layers.Layer
    path: str
    parents: list[Call]
    input_shape: tuple = ()
    output_shape: tuple = ()
    operations: list[tf.Operation] = field(default_factory=list)


def input_specs(model: tf.keras.Model) -> tuple:
    """The arguments for calling `model` on one picture: (positional, keyword), with a tf.TensorSpec for each tensor.

    Raises:
        ConfigError: the model is not built, or its input size is not fixed.
    """
    built = model.save_spec()
    if built is None:
        raise ConfigError(f"{model.name} has no input shape yet: call it once on a batch of pictures")

    def of_one_picture(spec):
        if not isinstance(spec, tf.TensorSpec):
            return spec
        if None in spec.shape.as_list()[1:]:
            raise ConfigError(
                f"{model.name} takes inputs of {tuple(spec.shape[1:])}, but the cost depends on the size: "
                "build it with a fixed size, such as input_shape=(224, 224, 3)"
            )
        return tf.TensorSpec([1, *spec.shape[1:]], spec.dtype)

    return tf.nest.map_structure(of_one_picture, built)


def trace(model: tf.keras.Model) -> list[Call]:
    """All layer calls in one forward pass of `model`, inner calls before the calls that contain them.

    Calls inside a graph of their own (the body of a loop, a tf.function) are not listed, because it is not known how
    often they run. The operation that runs that graph belongs to the layer around it.

    Raises:
        ConfigError: the model is not built, or its input size is not fixed.
    """
    calls: list[Call] = []

    def forward(arguments, keywords):
        # TensorFlow traces again if a layer creates its variables in this call.
        calls.clear()
        with _recorded(calls, tf.compat.v1.get_default_graph()):
            return model(*arguments, **keywords)

    tf.function(forward).get_concrete_function(*input_specs(model))
    return calls


@contextlib.contextmanager
def _recorded(calls: list[Call], graph: tf.Graph):
    # Keras has no hook for calls, and its nodes do not show the calls inside layers made of layers.
    original = tf.keras.layers.Layer.__call__
    running: list[Call] = []
    owned: set[str] = set()

    @functools.wraps(original)  # with Keras's name, AutoGraph does not rewrite this function
    def recording(layer, *arguments, **keywords):
        if tf.compat.v1.get_default_graph() is not graph:
            return original(layer, *arguments, **keywords)
        parents = running[1:]
        path = "/".join([*(call.layer.name for call in parents), layer.name])
        call = Call(layer, path, parents, input_shape=_shape((arguments, keywords)))
        running.append(call)
        begin = len(graph.get_operations())
        try:
            outputs = original(layer, *arguments, **keywords)
        finally:
            running.pop()
        call.output_shape = _shape(outputs)
        call.operations = [op for op in graph.get_operations()[begin:] if op.name not in owned]
        owned.update(op.name for op in call.operations)
        calls.append(call)
        return outputs

    tf.keras.layers.Layer.__call__ = recording
    try:
        yield
    finally:
        tf.keras.layers.Layer.__call__ = original


def _shape(tensors) -> tuple:
    tensors = [tensor for tensor in tf.nest.flatten(tensors) if hasattr(tensor, "shape")]
    return tuple(tensors[0].shape) if tensors else ()


# Prefixes of TensorFlow operations that multiply and accumulate.
_PRODUCTS = ("Conv", "DepthwiseConv", "MatMul", "BatchMatMul", "SparseMatMul", "SparseTensorDenseMatMul")
_PRODUCTS += ("Einsum", "XlaConv", "XlaDot", "XlaEinsum", "CudnnRNN")


def multiplies(call: Call) -> bool:
    """Whether the call runs a convolution or matrix product, in its own operations or in functions that they call."""
    if any(operation.type.startswith(_PRODUCTS) for operation in call.operations):
        return True
    nodes = [operation.node_def for operation in call.operations]
    waiting = [name for node in nodes for name in _functions(node)]
    if not waiting:
        return False
    library = call.operations[0].graph.as_graph_def().library.function
    bodies = {function.signature.name: function.node_def for function in library}
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            nodes = bodies.get(name, ())
            if any(node.op.startswith(_PRODUCTS) for node in nodes):
                return True
            waiting += [inner for node in nodes for inner in _functions(node)]
    return False


def _functions(node) -> list[str]:
    """Names of the functions that an operation calls, such as the body of a loop or the branches of a condition."""
    run = [function for value in node.attr.values() for function in (value.func, *value.list.func)]
    return [function.name for function in run if function.name]
