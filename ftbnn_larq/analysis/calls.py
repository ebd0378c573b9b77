"""Which layers a model calls, with shapes and operations: one forward pass, traced and not run."""

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
        path: the layer's name behind those of the layers and models that contain it, "encoder/conv".
        parents: the calls in which this one happened, outermost first; the model's own is left out.
        input_shape, output_shape: of the first tensor, with a batch of 1; None stands for a size that is not fixed.
        operations: what the layer itself adds to the graph, not counting the layers that it calls.
    """

    layer: tf.keras.layers.Layer
    path: str
    parents: list[Call]
    input_shape: tuple = ()
    output_shape: tuple = ()
    operations: list[tf.Operation] = field(default_factory=list)


def input_specs(model: tf.keras.Model) -> tuple:
    """The arguments of a call of `model` on one picture: (positional, by keyword), with a tf.TensorSpec for a tensor.

    Raises:
        ConfigError: a model that was never built, or whose input size is not fixed.
    """
    built = model.save_spec()
    if built is None:
        raise ConfigError(f"{model.name} has no input shape yet: call it once on a batch of pictures")

    def of_one_picture(spec):
        if not isinstance(spec, tf.TensorSpec):
            return spec
        if None in spec.shape.as_list()[1:]:
            raise ConfigError(
                f"{model.name} takes inputs of {tuple(spec.shape[1:])}, and the cost depends on the size: "
                "build it with a fixed one, such as input_shape=(224, 224, 3)"
            )
        return tf.TensorSpec([1, *spec.shape[1:]], spec.dtype)

    return tf.nest.map_structure(of_one_picture, built)


def trace(model: tf.keras.Model) -> list[Call]:
    """Every call of a layer in one forward pass of `model`, inner calls before those that contain them.

    Layers called in a graph of their own (the body of a loop, a tf.function) are not listed, since it is not known how
    often they run; the operation that does so is one of the layer that contains it.

    Raises:
        ConfigError: a model that was never built, or whose input size is not fixed.
    """
    calls: list[Call] = []

    def forward(arguments, keywords):
        # Traced once more when a layer makes its variables only now.
        calls.clear()
        with _recorded(calls, tf.compat.v1.get_default_graph()):
            return model(*arguments, **keywords)

    tf.function(forward).get_concrete_function(*input_specs(model))
    return calls


@contextlib.contextmanager
def _recorded(calls: list[Call], graph: tf.Graph):
    # Keras has no hook for calls, and what it keeps of them (nodes) does not reach into layers made of layers.
    original = tf.keras.layers.Layer.__call__
    running: list[Call] = []
    owned: set[str] = set()

    @functools.wraps(original)  # Keras's own name also keeps AutoGraph from rewriting this function
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


# The beginnings of the names of TensorFlow's operations that multiply and accumulate.
_PRODUCTS = ("Conv", "DepthwiseConv", "MatMul", "BatchMatMul", "SparseMatMul", "SparseTensorDenseMatMul")
_PRODUCTS += ("Einsum", "XlaConv", "XlaDot", "XlaEinsum", "CudnnRNN")


def multiplies(call: Call) -> bool:
    """Whether one of the call's own operations, or a function that it runs, is a convolution or a matrix product."""
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
    """The names of the functions that an operation runs, such as the body of a loop or the branches of a choice."""
    run = [function for value in node.attr.values() for function in (value.func, *value.list.func)]
    return [function.name for function in run if function.name]
