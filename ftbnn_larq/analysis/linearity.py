"""How linear is a binarized convolution? The argument of FTBNN (arXiv 2010.09294), measured on real activations.

The paper says: the smaller the quantization error, the more linear the binarized convolution, and the less it can tell
apart. So for each binary layer, with real-valued inputs X (N, H, W, C) and latent weights W, the full-precision
convolution F = X * W is compared with its binarization B = sign(X) * sign(W) under a scale s:

    none             s = 1
    weight           s = alpha, the mean of |W| for each output channel (XNOR-Net, arXiv 1603.05279)
    weight and input s = alpha K, with K the mean of |X| over the channels, averaged over the kernel's window (the same)
    batch norm       s = gamma / sqrt(variance + epsilon), as learned

Error = sum (F - sB)^2 / sum F^2. Linearity = the share of the variance of a channel's result that the best straight
line of the same channel of F explains (the squared correlation), mean over channels: 1 is a straight line. A scale that
is constant in a channel cannot change it. Both convolutions see the border padded as the layer pads it.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from ftbnn_larq import nonlinearities
from ftbnn_larq.config import NONLINEARITIES
from ftbnn_larq.layers import is_binary

MEASURE = (
    "linearity: share of a channel's variance that the best straight line of its full-precision convolution explains, "
    "mean over channels and layers; error: squared difference to the full-precision convolution, relative to its square"
)
SCALES = ("none", "weight", "weight and input", "batch norm")
AS_TRAINED = "as trained"
# Values of a channel that are kept for each layer.
SAMPLES = 4096
# Differences of linearity below this are none.
NOTICEABLE = 0.005


def linearity(model: tf.keras.Model, pictures: np.ndarray) -> dict:
    """Measure every binary layer of `model`.

    Arguments:
        pictures: float32 (n, h, w, c), as the network sees them.

    Returns:
        `{measure, scales: [{name, error, linearity}], nonlinearities: [{name, linearity}], verdict, layers: [{name,
        scales: {name: {error, linearity}}, nonlinearities: {name: linearity}}]}`; the lists hold means over layers.

    Raises:
        ValueError: the model has no binary convolution.
    """
    binary = [layer for layer in model.layers if is_binary(layer)]
    if not binary:
        raise ValueError(f"{model.name} has no binary convolution")
    layers = []
    for layer in binary:
        probe = tf.keras.Model(model.inputs, layer.input)
        parts = np.array_split(pictures, -(-len(pictures) // 16))
        layers.append(_measure(layer, np.concatenate([probe.predict_on_batch(part) for part in parts])))

    def means(kind, names, measures):
        rows = []
        for name in names:
            found = [layer[kind][name] for layer in layers if name in layer[kind]]
            if found:
                rows.append({"name": name, **{key: float(np.mean([one[key] for one in found])) for key in measures}})
        return rows

    scales = means("scales", SCALES, ("error", "linearity"))
    acts = means("nonlinearities", (*NONLINEARITIES, AS_TRAINED), ("linearity",))
    document = {"measure": MEASURE, "scales": scales, "nonlinearities": acts, "verdict": verdict(scales, acts)}
    return {**document, "layers": layers}


def verdict(scales: list[dict], acts: list[dict]) -> str:
    """What the means say of the paper's claim, in a sentence or two."""
    rows = {row["name"]: row for row in scales}
    plain, close = rows["none"], min((rows["weight"], rows["weight and input"]), key=lambda row: row["error"])
    change = close["linearity"] - plain["linearity"]
    told = (
        f"From no scale to the scale with the least error ({close['name']}) the error goes from {plain['error']:.3g} "
        f"to {close['error']:.3g} and linearity from {plain['linearity']:.3f} to {close['linearity']:.3f}: "
    )
    if change > NOTICEABLE:
        told += "less error, more linear, as the paper claims."
    elif change < -NOTICEABLE:
        told += "less error, but less linear: this contradicts the paper's claim."
    else:
        told += "less error, but no more linear: this does not support the paper's claim."
    if acts:
        least = min(acts, key=lambda row: row["linearity"])
        told += f" Furthest from a straight line is {least['name']}, {least['linearity']:.3f}."
    return told


def _measure(layer, inputs: np.ndarray) -> dict:
    latent = tf.convert_to_tensor(layer.kernel)
    groups = getattr(layer, "groups", 1)
    with tf.device("CPU"):
        full, signs, magnitude = zip(
            *(_convolutions(layer, latent, groups, part) for part in np.array_split(inputs, -(-len(inputs) // 16))),
            strict=True,
        )
    full, signs, magnitude = (np.concatenate(parts).reshape(-1, layer.filters) for parts in (full, signs, magnitude))
    kept = np.random.default_rng(0).permutation(len(full))[:SAMPLES]
    full, signs, magnitude = full[kept], signs[kept], magnitude[kept]
    alpha = np.abs(latent).mean(axis=(0, 1, 2))
    results = {"none": signs, "weight": alpha * signs, "weight and input": alpha * magnitude * signs}
    norm = _reader(layer, tf.keras.layers.BatchNormalization)
    acts = {}
    if norm is not None:
        normalised = norm(signs[:, None, None, :], training=False).numpy()
        mean = norm(np.zeros((1, 1, 1, layer.filters), np.float32), training=False).numpy()
        results["batch norm"] = (normalised - mean)[:, 0, 0, :]
        tried = {name: nonlinearities.create(name) for name in NONLINEARITIES}
        trained = _reader(norm, tuple(type(one) for one in tried.values()))
        if trained is not None:
            tried[AS_TRAINED] = trained
        acts = {
            name: {"linearity": _explained(full, act(normalised).numpy()[:, 0, 0, :])} for name, act in tried.items()
        }
    return {
        "name": layer.name,
        "scales": {
            name: {
                "error": float(np.square(full - result).sum() / max(np.square(full).sum(), 1e-30)),
                "linearity": _explained(full, result),
            }
            for name, result in results.items()
        },
        "nonlinearities": acts,
    }


def _convolutions(layer, latent, groups: int, inputs):
    """F, B and K for some pictures, each (n, h, w, filters)."""

    def sign(x):
        return tf.where(x >= 0, 1.0, -1.0)

    if layer.padding == "same":
        sides = []
        for size, kernel, stride in zip(inputs.shape[1:3], layer.kernel_size, layer.strides, strict=True):
            missing = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            sides.append([missing // 2, missing - missing // 2])
        inputs = tf.pad(inputs, [[0, 0], *sides, [0, 0]], constant_values=layer.pad_values)
    height, width, channels, filters = latent.shape
    # One output channel a group: the mean of |X| over the group's channels and the kernel's window.
    window = tf.fill([height, width, channels, groups], 1 / (height * width * channels))
    magnitude = tf.nn.conv2d(tf.abs(inputs), window, layer.strides, "VALID")
    return (
        tf.nn.conv2d(inputs, latent, layer.strides, "VALID").numpy(),
        tf.nn.conv2d(sign(inputs), sign(latent), layer.strides, "VALID").numpy(),
        np.repeat(magnitude.numpy(), filters // groups, axis=-1),
    )


def _reader(layer, kind):
    """The layer of that kind that reads `layer`, if there is one."""
    readers = [node.outbound_layer for node in layer.outbound_nodes]
    return next((reader for reader in readers if isinstance(reader, kind)), None)


def _explained(full: np.ndarray, result: np.ndarray) -> float:
    """Squared correlation of each channel's columns, mean over the channels that vary at all."""
    full, result = full - full.mean(axis=0), result - result.mean(axis=0)
    energy = np.square(full).sum(axis=0) * np.square(result).sum(axis=0)
    varies = energy > 1e-12
    if not varies.any():
        return 0.0
    return float(np.mean(np.square((full * result).sum(axis=0)[varies]) / energy[varies]))
