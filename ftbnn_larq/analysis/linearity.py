"""Measure how linear binarized convolutions are: the argument of FTBNN (arXiv 2010.09294), on real activations.

The paper's argument: less quantization error makes the binarized convolution more linear, and that hurts
discrimination. The first half is measured here. The second half is not; accuracies of trained networks show it.

Each binary layer has a real-valued input X (N, H, W, C) and latent weights W (height, width, C / groups, filters). The
full-precision convolution F = X * W is compared with the binarized one, B = sign(X) * sign(W) with sign(0) = +1, under
four scales:

    none                   B
    weight                 alpha B, with alpha the mean of |W| in each output channel (XNOR-Net, arXiv 1603.05279)
    weight and activation  alpha K B, with K the mean of |X| over the window and the group's channels (XNOR-Net)
    batch norm             gamma (B - mean) / sqrt(variance + epsilon) + beta, as learned by the batch norm behind the
                           layer; B has the scale of the layer's own kernel quantizer here, if that has one

Every non-linearity behind the batch norm is measured too. Neither is where the layer has an activation of its own, as
in larq-zoo's QuickNet: the batch norm does not read B there. Only positions whose window has no padding are used.

Error of a result S: sum (F - S)^2 / sum F^2. A batch norm has no error, because it does not approximate F. The rescaled
error is the error after the best scale and offset per channel.

Linearity of a result S: the share of the variance of S that the best linear map of F explains (all channels of the
group and a constant; least squares), as a mean over the channels. The map is fitted on one half of the pictures and
judged on the other half, both ways, so overfitting does not count. A scale that is constant per channel cannot change
the linearity; of the scales above, only K can.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from ftbnn_larq.analysis.verdict import AS_TRAINED, BATCH_NORM, NONE, WEIGHT, WEIGHT_AND_ACTIVATION, conclude, means
from ftbnn_larq.errors import ConfigError, DataError, ModelFileError
from ftbnn_larq.models import nonlinearities
from ftbnn_larq.models.config import NONLINEARITIES
from ftbnn_larq.models.layers import is_binary

MEASURE = (
    "linearity: share of the variance that the best linear map of the full-precision convolution explains, fitted on "
    "one half of the pictures and judged on the other; error: squared difference to the full-precision convolution "
    "over its square, as it is and after the best scale and offset per channel; means over layers"
)
# Pictures per batch: at 224x224 and width 64 they need about 100 MB.
BATCH = 8
# Number of positions kept per layer, over all pictures.
POSITIONS = 20_000
# Fewest positions per channel. With n positions and p channels, residuals on the other half are larger by a factor of
# about n / (n - p), so with few positions the result would be mostly noise.
POSITIONS_PER_CHANNEL = 8


def linearity(
    model: tf.keras.Model,
    pictures: np.ndarray,
    *,
    on_start: Callable[[int], None] = lambda steps: None,
    on_step: Callable[[int], None] = lambda steps: None,
) -> dict:
    """Measure error and linearity of every binary convolution of a functional model.

    Arguments:
        model: the model, with the weights to measure.
        pictures: normalized float32 pictures (n, h, w, c); 2 or more.
        on_start: called with the number of steps before the first one.
        on_step: called with 1 after each step.

    Returns:
        `{measure, scales: [{name, error, error_rescaled, linearity, layers}], nonlinearities: [{name, linearity,
            layers}], claim, verdict, layers: [{name, channels, positions, scales: {name: {error, error_rescaled,
            linearity}}, nonlinearities: {name: linearity}}], left_out: [{name, reason}]}`. `scales` and
            `nonlinearities` have means over `layers` layers. Errors and linearity are fractions, or None if not
            defined. `claim` is "holds", "contradicted", "mixed" or "no difference".

    Raises:
        ConfigError: the model has no binary convolution.
        DataError: there are fewer than 2 pictures, or no layer can be measured on these pictures.
        ModelFileError: the network's values are not finite.
    """
    binary = [layer for layer in model.layers if is_binary(layer) and isinstance(layer, tf.keras.layers.Conv2D)]
    if not binary:
        raise ConfigError(f"{model.name} has no binary convolution: take a network with binary layers")
    if len(pictures) < 2:
        raise DataError(f"{len(pictures)} pictures: at least 2 are needed, one half to fit and one half to judge")
    on_start(math.ceil(len(pictures) / BATCH) + len(binary))
    samples = _samples(model, binary, pictures, on_step)
    layers, left_out = [], []
    for layer in binary:
        # Removed one by one to free memory.
        parts = samples.pop(layer.name)
        reason = _why_left_out(layer, parts, len(pictures))
        if reason:
            left_out.append({"name": layer.name, "reason": reason})
        else:
            layers.append(_measure(layer, *(np.concatenate(part) for part in zip(*parts, strict=True))))
        on_step(1)
    if not layers:
        raise DataError(f"no binary convolution can be measured; {left_out[0]['name']}: {left_out[0]['reason']}")
    return {"measure": MEASURE, **means(layers), **conclude(layers), "layers": layers, "left_out": left_out}


def _samples(model, binary, pictures, on_step) -> dict[str, list]:
    """F, B, K and the layer's own result without its bias, for each layer and batch, at random positions.

    Each is (pictures, positions, groups, channels).
    """
    inputs = tf.keras.Model(model.inputs, [layer.get_input_at(0) for layer in binary])
    random = np.random.default_rng(0)
    samples = {layer.name: [] for layer in binary}
    for begin in range(0, len(pictures), BATCH):
        batch = tf.nest.flatten(inputs(tf.constant(pictures[begin : begin + BATCH]), training=False))
        for layer, x in zip(binary, batch, strict=True):
            reaches = [(size - 1) * step + 1 for size, step in zip(layer.kernel_size, layer.dilation_rate, strict=True)]
            # Only windows inside the input: they have no padding.
            if x.shape[1] >= reaches[0] and x.shape[2] >= reaches[1]:
                samples[layer.name].append(_convolutions(layer, tf.cast(x, tf.float32), len(pictures), random))
        on_step(1)
    return samples


def _convolutions(layer, x, pictures: int, random) -> list[np.ndarray]:
    weights, groups = tf.cast(tf.convert_to_tensor(layer.kernel), tf.float32), layer.groups
    # One output channel per group: the mean over window and channels.
    window = tf.fill([*weights.shape[:3], groups], 1 / math.prod(weights.shape[:3]))

    def convolve(x, kernel):
        return tf.nn.conv2d(x, kernel, layer.strides, "VALID", dilations=layer.dilation_rate).numpy()

    results = [convolve(x, weights), convolve(_sign(x), _sign(weights)), convolve(tf.abs(x), window)]
    results.append(convolve(layer.input_quantizer(x), layer.kernel_quantizer(weights)))
    count, height, width = results[0].shape[:3]
    kept = random.permutation(height * width)[: max(1, POSITIONS // pictures)]
    return [result.reshape(count, height * width, groups, -1)[:, kept] for result in results]


def _sign(x):
    return tf.where(x >= 0, 1.0, -1.0)


def _why_left_out(layer, parts, pictures: int) -> str | None:
    if not parts:
        return "its input is smaller than its kernel, so every position has padding"
    positions, channels = parts[0][0].shape[1], parts[0][0].shape[-1]
    needed = math.ceil(2 * POSITIONS_PER_CHANNEL * channels / positions)
    if pictures < needed:
        return f"too few positions for a linear map of {channels} channels: it needs {needed} pictures, not {pictures}"
    if not all(np.isfinite(part[0]).all() for part in parts):
        raise ModelFileError(f"{layer.name} gets values that are not finite: train the network again")
    return None


def _measure(layer, full, signs, magnitude, own) -> dict:
    """The results of one layer, from its samples."""
    alpha = np.abs(layer.kernel.numpy()).mean(axis=(0, 1, 2)).reshape(full.shape[2:])
    scales = {NONE: signs, WEIGHT: alpha * signs, WEIGHT_AND_ACTIVATION: alpha * magnitude * signs}
    behind = {}
    norm = _reader(layer, tf.keras.layers.BatchNormalization)
    # Behind an activation of the layer's own, a batch norm has learned the scale of what that gives.
    if norm is not None and layer.activation is tf.keras.activations.linear:
        flat = own.reshape(-1, 1, 1, layer.filters)
        normed = norm(flat if layer.bias is None else flat + layer.bias.numpy(), training=False)
        tried = {name: nonlinearities.create(name) for name in NONLINEARITIES}
        trained = _reader(norm, tuple(type(act) for act in tried.values()))
        if trained is not None:
            tried[AS_TRAINED] = trained
        scales[BATCH_NORM] = normed.numpy().reshape(signs.shape)
        behind = {name: act(normed).numpy().reshape(signs.shape) for name, act in tried.items()}
    shares = _linear_shares(full, {**scales, **behind})
    return {
        "name": layer.name,
        "channels": layer.filters,
        "positions": full.shape[0] * full.shape[1],
        "scales": {
            name: {
                "error": None if name == BATCH_NORM else _error(full, result),
                "error_rescaled": _error_rescaled(full, result),
                "linearity": shares[name],
            }
            for name, result in scales.items()
        },
        "nonlinearities": {name: shares[name] for name in behind},
    }


def _reader(layer, kind):
    """The layer of class `kind` that reads the output of `layer`; None if there is none."""
    readers = [node.outbound_layer for node in layer.outbound_nodes]
    return next((reader for reader in readers if isinstance(reader, kind)), None)


def _error(full, result) -> float | None:
    energy = np.square(full, dtype=np.float64).sum()
    return float(np.square(full - result, dtype=np.float64).sum() / energy) if energy else None


def _error_rescaled(full, result) -> float | None:
    full, result = (values.reshape(-1, *values.shape[2:]).astype(np.float64) for values in (full, result))
    energy = np.square(full).sum()
    if not energy:
        return None
    full, result = full - full.mean(axis=0), result - result.mean(axis=0)
    spread = np.square(result).sum(axis=0)
    covered = np.square((full * result).sum(axis=0)) / np.where(spread > 0, spread, 1)
    return float((np.square(full).sum(axis=0) - covered).sum() / energy)


def _linear_shares(full, results: dict[str, np.ndarray]) -> dict[str, float | None]:
    """Linearity of each result: the share of its variance that the best linear map of `full` explains.

    None for a constant result.
    """

    def columns(values, half, group):
        part = values[half::2, :, group]
        return part.reshape(-1, part.shape[-1]).astype(np.float64)

    missed = {name: np.zeros(result.shape[2:]) for name, result in results.items()}
    for half in (0, 1):
        for group in range(full.shape[2]):
            known = columns(full, half, group)
            middle = known.mean(axis=0)
            inverse = np.linalg.pinv(known - middle, rcond=1e-6)
            to_judge = columns(full, 1 - half, group) - middle
            for name, result in results.items():
                wanted = columns(result, half, group)
                offset = wanted.mean(axis=0)
                predicted = to_judge @ (inverse @ (wanted - offset)) + offset
                missed[name][group] += np.square(columns(result, 1 - half, group) - predicted).sum(axis=0)

    def share(name):
        values = results[name].astype(np.float64)
        variation = np.square(values - values.mean(axis=(0, 1))).sum(axis=(0, 1))
        # A channel that a batch norm or a ReLU makes constant varies only by rounding.
        varies = variation > 1e-9 * np.square(values).sum(axis=(0, 1))
        if not varies.any():
            return None
        # Below zero the map is worse than a constant: it explains nothing.
        return max(0.0, float(np.mean(1 - missed[name][varies] / variation[varies])))

    return {name: share(name) for name in results}
