"""Operation counts of any built Keras model, one multiply-accumulate being one operation.

OPs = FLOPs + BOPs / 64, both in multiply-accumulates (Bi-Real Net, arXiv 1808.00278, section 4.3): a 64-bit machine
does 64 binary ones in the time of a float one. Only convolutions and dense layers count, as in the literature;
batch norms, non-linearities, poolings and additions do not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import tensorflow as tf

from ftbnn_larq.analysis.calls import Call, input_specs, multiplies, trace

BINARY_PER_FLOAT = 64

_keras = tf.keras.layers
_SEPARABLE = (_keras.SeparableConv1D, _keras.SeparableConv2D)
_DEPTHWISE = (_keras.DepthwiseConv1D, _keras.DepthwiseConv2D)
_TRANSPOSED = (_keras.Conv1DTranspose, _keras.Conv2DTranspose, _keras.Conv3DTranspose)
_UNSHARED = (_keras.LocallyConnected1D, _keras.LocallyConnected2D)
_PLAIN = (_keras.Dense, _keras.Conv1D, _keras.Conv2D, _keras.Conv3D)
_COUNTED = (*_SEPARABLE, *_DEPTHWISE, *_TRANSPOSED, *_UNSHARED, *_PLAIN)


@dataclass
class LayerCount:
    """One layer: parameters, and multiply-accumulates for one picture over all its calls, binary and float.

    `params_binary` are weights that need one bit; they can belong to a layer that multiplies them with floats.
    `uncounted` says that the layer multiplies and accumulates in a way that is not counted here.
    """

    name: str
    type: str
    output_shape: tuple
    params_binary: int = 0
    params_float: int = 0
    macs_binary: int = 0
    macs_float: int = 0
    uncounted: bool = False

    @property
    def ops(self) -> float:
        return self.macs_float + self.macs_binary / BINARY_PER_FLOAT

    @property
    def weights_bytes(self) -> int:
        return math.ceil(self.params_binary / 8) + 4 * self.params_float


def _is_binary(variable) -> bool:
    return getattr(variable, "precision", None) == 1


def _products(call: Call) -> list[tuple]:
    """What a convolution or dense layer multiplies: (multiply-accumulates, the kernel, whether with its inputs)."""
    layer, outputs = call.layer, math.prod(call.output_shape)
    if isinstance(layer, _SEPARABLE):
        depthwise, pointwise = layer.depthwise_kernel, layer.pointwise_kernel
        return [
            (outputs // layer.filters * math.prod(depthwise.shape), depthwise, True),
            # Multiplied with the sums that the depthwise kernel gives.
            (outputs * math.prod(pointwise.shape[:-1]), pointwise, False),
        ]
    if isinstance(layer, _DEPTHWISE):
        return [(outputs * math.prod(layer.kernel_size), layer.depthwise_kernel, True)]
    if isinstance(layer, _TRANSPOSED):
        # Every input is spread over the kernel, whose last axis holds the input channels.
        return [(math.prod(call.input_shape) * math.prod(layer.kernel.shape[:-1]), layer.kernel, True)]
    if isinstance(layer, _UNSHARED):
        channels = call.input_shape[1 if layer.data_format == "channels_first" else -1]
        return [(outputs * math.prod(layer.kernel_size) * channels, layer.kernel, True)]
    # A convolution's last axis but one holds the input channels of one group.
    return [(outputs * math.prod(layer.kernel.shape[:-1]), layer.kernel, True)]


def _add_products(row: LayerCount, call: Call) -> None:
    if None in call.output_shape or None in call.input_shape:
        row.uncounted = True
        return
    signs = _is_binary(getattr(call.layer, "input_quantizer", None))
    for macs, kernel, with_inputs in _products(call):
        if signs and with_inputs and _is_binary(kernel):
            row.macs_binary += macs
        else:
            row.macs_float += macs


def _deployed(layer) -> list:
    """The layer's variables; of a batch norm a scale and a shift, into which its moving averages are folded."""
    if not isinstance(layer, _keras.BatchNormalization):
        return layer.weights
    folded = {id(layer.moving_mean)} if layer.center else set()
    folded |= {id(layer.moving_variance)} if layer.scale else set()
    return [variable for variable in layer.weights if id(variable) not in folded]


def _identity(variable) -> int:
    # Larq wraps the latent weights in a variable that quantizes them.
    return id(getattr(variable, "latent_variable", variable))


def _count_layers(model: tf.keras.Model) -> list[LayerCount]:
    calls = trace(model)
    rows: dict[int, LayerCount] = {}
    seen: set[int] = set()
    # Inner calls come first: what contains other layers is left with the variables that are its own.
    for call in calls:
        layer, row = call.layer, rows.get(id(call.layer))
        if row is None:
            row = rows[id(layer)] = LayerCount(call.path, type(layer).__name__, call.output_shape[1:])
            own = [variable for variable in _deployed(layer) if _identity(variable) not in seen]
            seen.update(map(_identity, layer.weights))
            row.params_binary = sum(math.prod(variable.shape) for variable in own if _is_binary(variable))
            row.params_float = sum(math.prod(variable.shape) for variable in own) - row.params_binary
            # Whatever a layer does with a kernel, it should not pass for free.
            has_kernel = any("kernel" in variable.name.split("/")[-1] for variable in own)
            row.uncounted = has_kernel and not isinstance(layer, _COUNTED)
        if isinstance(layer, _COUNTED):
            _add_products(row, call)
        elif not row.uncounted:
            row.uncounted = multiplies(call)
    # Models and layers made of layers, and the quantizers in a convolution, are rows only where they cost something.
    parts = {id(model)} | {id(parent.layer) for call in calls for parent in call.parents}
    parts |= {id(call.layer) for call in calls if any(isinstance(parent.layer, _COUNTED) for parent in call.parents)}
    parts -= {id(call.layer) for call in calls if isinstance(call.layer, _COUNTED)}
    return [row for key, row in rows.items() if key not in parts or row.weights_bytes or row.uncounted]


def _shapes(specs):
    shapes = [list(spec.shape[1:]) for spec in tf.nest.flatten(specs) if isinstance(spec, tf.TensorSpec)]
    return shapes[0] if len(shapes) == 1 else shapes


def count(model: tf.keras.Model) -> dict:
    """What `model` costs: totals and one row a layer, as the command `summary` prints them.

    Convolutions (plain, grouped, depthwise, separable, transposed, locally connected) and dense layers are counted
    wherever they stand, in nested models and in layers made of layers too: multiply-accumulates once for each call,
    parameters once. A multiplication is binary if the layer's own quantizers turn both its input and its kernel into
    one bit; the pointwise half of a separable convolution multiplies sums and stays float. Of a batch norm, scale and
    shift are counted (2 parameters a channel), as in `lq.models.summary` and in the deployed network.

    Args:
        model: a built Keras model whose input size is fixed.

    Returns:
        `{name, input_shape, params: {binary, float}, macs: {binary, float}, ops, weights_bytes, layers: [...]}`;
        macs and ops are multiply-accumulates for one picture, weights_bytes a bit for a binary parameter and
        four bytes for any other. `uncounted`, only there if there are any, names the layers that multiply and
        accumulate in a way that is not known here, so that macs and ops are too low.

    Raises:
        ConfigError: a model that was never built, or whose input size is not fixed.
    """
    input_shape = _shapes(input_specs(model))
    layers = _count_layers(model)

    def total(attribute):
        return sum(getattr(layer, attribute) for layer in layers)

    document = {
        "name": model.name,
        "input_shape": input_shape,
        "params": {"binary": total("params_binary"), "float": total("params_float")},
        "macs": {"binary": total("macs_binary"), "float": total("macs_float")},
        "ops": total("ops"),
        "weights_bytes": total("weights_bytes"),
        "layers": [
            {
                "name": layer.name,
                "type": layer.type,
                "output_shape": list(layer.output_shape),
                "params": {"binary": layer.params_binary, "float": layer.params_float},
                "macs": {"binary": layer.macs_binary, "float": layer.macs_float},
                "ops": layer.ops,
            }
            for layer in layers
        ],
    }
    uncounted = [layer.name for layer in layers if layer.uncounted]
    return {**document, "uncounted": uncounted} if uncounted else document
