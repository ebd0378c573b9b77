"""Names of tensors that people can read, in a tenth of the bytes."""

from __future__ import annotations

from ftbnn_larq.conversion.flatbuffer import Graph


def shorten(graph: Graph) -> None:
    """Call what an operator computes after the layer of Keras it belongs to; outputs after their signature's names.

    LCE's converter calls a tensor by the paths of all operations that went into it:
    "model/layer/FusedBatchNormV3;model/conv/Conv2D" becomes "layer".
    """
    computed = {tensor for operator in graph.operators for tensor in operator.outputs}
    for tensor, entry in enumerate(graph.tensors):
        if tensor in graph.inputs or tensor in graph.outputs:
            continue
        entry.name = layer(graph.name(tensor)).encode() if tensor in computed else b""
    for name, tensor in graph.named_outputs():
        if tensor in computed:
            graph.tensors[tensor].name = name


def layer(name: str) -> str:
    """The layer in a tensor's name, behind the layers that contain it."""
    path = name.split(";")[0].split("/")
    return "/".join(path[1:-1]) if len(path) > 2 else path[-1]
