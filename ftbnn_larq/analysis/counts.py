"""Operation counts of any built Keras model. One multiply-accumulate is one operation.

OPs = FLOPs + BOPs / 64, both in multiply-accumulates (Bi-Real Net, arXiv 1808.00278, section 4.3): a 64-bit machine
does 64 binary operations in the time of one float operation. As in the literature, only convolutions and dense layers
are counted, not batch norms, non-linearities, poolings and additions.
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
    """Costs of one layer.

    Attributes:
        name: path of the layer in the model.
        type: its class.
        output_shape: without the batch dimension.
        params_binary: weights of one bit each; the layer may still multiply them with floats.
        params_float: other parameters.
        macs_binary: binary multiply-accumulates for one picture, over all calls of the layer.
        macs_float: other multiply-accumulates, likewise.
        uncounted: True if the layer multiplies and accumulates in a way that cannot be counted here.
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
    """The products of a convolution or dense layer: (multiply-accumulates, kernel, whether with the layer's input)."""
    layer, outputs = call.layer, math.prod(call.output_shape)
    if isinstance(layer, _SEPARABLE):
        depthwise, pointwise = layer.depthwise_kernel, layer.pointwise_kernel
        return [
            (outputs // layer.filters * math.prod(depthwise.shape), depthwise, True),
            # The pointwise kernel is multiplied with the sums of the depthwise convolution.
            (outputs * math.prod(pointwise.shape[:-1]), pointwise, False),
        ]
    if isinstance(layer, _DEPTHWISE):
        return [(outputs * math.prod(layer.kernel_size), layer.depthwise_kernel, True)]
    if isinstance(layer, _TRANSPOSED):
        # Every input value is multiplied with the whole kernel; its last axis holds the input channels.
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
    """The layer's variables. Of a batch norm only scale and shift: the moving averages are folded in."""
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
    # Inner calls come first, so a layer that contains others keeps only its own variables.
    for call in calls:
        layer, row = call.layer, rows.get(id(call.layer))
        if row is None:
            row = rows[id(layer)] = LayerCount(call.path, type(layer).__name__, call.output_shape[1:])
            own = [variable for variable in _deployed(layer) if _identity(variable) not in seen]
            seen.update(map(_identity, layer.weights))
            row.params_binary = sum(math.prod(variable.shape) for variable in own if _is_binary(variable))
            row.params_float = sum(math.prod(variable.shape) for variable in own) - row.params_binary
            # A layer with a kernel that is not counted below is reported as uncounted.
            has_kernel = any("kernel" in variable.name.split("/")[-1] for variable in own)
            row.uncounted = has_kernel and not isinstance(layer, _COUNTED)
        if isinstance(layer, _COUNTED):
            _add_products(row, call)
        elif not row.uncounted:
            row.uncounted = multiplies(call)
    # Models, layers made of layers, and quantizers of a convolution get a row only if they have a cost of their own.
    parts = {id(model)} | {id(parent.layer) for call in calls for parent in call.parents}
    parts |= {id(call.layer) for call in calls if any(isinstance(parent.layer, _COUNTED) for parent in call.parents)}
    parts -= {id(call.layer) for call in calls if isinstance(call.layer, _COUNTED)}
    return [row for key, row in rows.items() if key not in parts or row.weights_bytes or row.uncounted]


def _shapes(specs):
    shapes = [list(spec.shape[1:]) for spec in tf.nest.flatten(specs) if isinstance(spec, tf.TensorSpec)]
    return shapes[0] if len(shapes) == 1 else shapes


def count(model: tf.keras.Model) -> dict:
    """Count the costs of a model: totals, and one row per layer.

    Counted are convolutions (plain, grouped, depthwise, separable, transposed, locally connected) and dense layers,
    also inside nested models and layers made of layers. Multiply-accumulates are counted once per call, parameters
    once. A multiplication is binary if the layer's own quantizers turn both its input and its kernel into one bit. The
    pointwise part of a separable convolution multiplies sums, so it is float. A batch norm has a scale and a shift (2
    parameters per channel), as in `lq.models.summary` and in the converted network.

    Arguments:
        model: a built Keras model with a fixed input size.

    Returns:
        `{name, input_shape, params: {binary, float}, macs: {binary, float}, ops, weights_bytes, layers: [...]}`. `macs`
            and `ops` are multiply-accumulates for one picture. `weights_bytes` counts 1 bit for a binary parameter and
            4 bytes for every other one. `uncounted`, if present, names layers that cannot be counted here; `macs` and
            `ops` are then too low.

    Raises:
        ConfigError: the model is not built, or its input size is not fixed.
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
