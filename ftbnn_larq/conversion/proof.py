"""Whether a flatbuffer is the network that was trained: operators counted, answers compared."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import tensorflow as tf

from ftbnn_larq.analysis import calls
from ftbnn_larq.conversion import census, passes, signs
from ftbnn_larq.conversion.passes.groups import WORD
from ftbnn_larq.errors import ConversionError
from ftbnn_larq.inference.interpreter import Interpreter
from ftbnn_larq.models.layers import is_binary

# Largest difference of the logits, relative to their range over all pictures.
TOLERANCE = 1e-3


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How well the flatbuffer's answers match Keras's.

    Attributes:
        pictures: compared.
        top1_agreement: share of them on which both say the same class.
        max_abs_diff: largest difference of two logits, pictures of `sign_ties` left out.
        logits_range: largest minus smallest logit of Keras.
        sign_ties: pictures on which the logits differ more, and only because the input of a sign is zero but for
            rounding: with LCE's signs in place of its own, Keras gives LCE's logits.
    """

    pictures: int
    top1_agreement: float
    max_abs_diff: float
    logits_range: float
    sign_ties: int


def binary_layers(model: tf.keras.Model) -> list[tf.keras.layers.Layer]:
    """The binary layers a picture goes through, those of models inside the model too; twice what is called twice."""
    return [call.layer for call in calls.trace(model) if is_binary(call.layer)]


def binary_convolutions(layers: list, groups: str) -> int:
    """How many LceBconv2d a flatbuffer needs: one a binary layer, or one a group of it where groups were "split"."""
    return sum(getattr(layer, "groups", 1) if groups == passes.SPLIT else 1 for layer in layers)


def check_census(
    layers: list, found: list[census.Operator], converter_said: str = "", *, groups: str = passes.FUSED
) -> None:
    """Every binary layer must have become an LceBconv2d, or one a group.

    Arguments:
        layers: of `binary_layers`.
        found: the operators of the flatbuffer.

    Raises:
        ConversionError: names the layers that did not, and why; or there are more operators than layers.
    """
    wanted = binary_convolutions(layers, groups)
    binary = sum(operator.type == census.BINARY_CONVOLUTION for operator in found)
    if binary == wanted:
        return
    if binary > wanted:
        raise ConversionError(
            f"{binary} {census.BINARY_CONVOLUTION} operators where the layers are {wanted} binary convolutions: signs "
            "that are layers of their own are not proven; give them to the convolutions behind them, as input_quantizer"
        )
    floats = [operator.output for operator in found if operator.type in ("CONV_2D", "DEPTHWISE_CONV_2D")]
    lost = [layer for layer in layers if any(layer.name in output.split("/") for output in floats)]
    lost = lost or [layer for layer in layers if known_reason(layer)] or layers
    reasons = {}
    for layer in lost:
        reason = known_reason(layer) or converter_said or "LCE's converter did not say why"
        reasons.setdefault(reason, []).append(layer.name)
    told = "; ".join(
        f"{', '.join(names[:3])}{' ...' if len(names) > 3 else ''}: {why}" for why, names in reasons.items()
    )
    raise ConversionError(
        f"{wanted - binary} of {wanted} binary convolutions did not become {census.BINARY_CONVOLUTION} operators: "
        f"{told}"
    )


def known_reason(layer) -> str | None:
    if isinstance(layer, tf.keras.layers.Dense):
        return "a binary dense layer, LCE has binary convolutions only"
    groups = getattr(layer, "groups", 1)
    channels = layer.kernel.shape[2]
    if groups > 1 and channels % WORD:
        return f"{channels} channels per group, LCE needs a multiple of {WORD}"
    if layer.padding == "same" and getattr(layer, "pad_values", 0.0) not in (0.0, 1.0):
        return f"padded with {layer.pad_values}, LCE pads with 0 or 1"
    if not np.all(layer.input_quantizer(-tf.ones((1, 1, 1, groups * channels)))):
        return f"its input quantizer {type(layer.input_quantizer).__name__} gives 0 and 1, LCE needs -1 and 1"
    return None


def answers(model: tf.keras.Model, pictures: np.ndarray) -> np.ndarray:
    """Keras's scores (n, classes) for float32 pictures (n, h, w, c)."""
    parts = np.array_split(pictures, -(-len(pictures) // 64))
    return np.concatenate([model.predict_on_batch(part) for part in parts])


def difference(expected: np.ndarray, got: np.ndarray) -> dict:
    """`{max_abs_diff, top1_agreement}` of two arrays of scores (n, classes)."""
    return {
        "max_abs_diff": float(np.abs(expected - got).max()),
        "top1_agreement": float((expected.argmax(axis=1) == got.argmax(axis=1)).mean()),
    }


def compare(
    model: tf.keras.Model,
    flatbuffer: str | Path,
    pictures: np.ndarray,
    kernel: str | None = None,
    expected: np.ndarray | None = None,
) -> Agreement:
    """Put the same pictures to Keras and to LCE's interpreter.

    Arguments:
        model: up to the outputs that the flatbuffer has (logits).
        flatbuffer: path of the converted file.
        pictures: float32 (n, h, w, c), as the network sees them.
        expected: Keras's answers, where they are known.

    Raises:
        ConversionError: logits that differ by more than `TOLERANCE`, and not because of signs on zero.
    """
    expected = answers(model, pictures) if expected is None else expected
    with Interpreter(flatbuffer, kernel=kernel) as interpreter:
        got = interpreter.predict(pictures)
    if not np.isfinite(expected).all():
        raise ConversionError("the network's own logits are not finite: its weights hold NaN or infinity")
    span = float(expected.max() - expected.min()) or 1.0
    distance = np.abs(expected - got).max(axis=1)
    # Written so that NaN counts as different.
    off = np.flatnonzero(~(distance <= TOLERANCE * span))
    ties = off
    if len(off):
        same = signs.same_but_for_rounding(
            model, Path(flatbuffer).read_bytes(), pictures[off], kernel=kernel, tolerance=TOLERANCE * span
        )
        ties, off = off[same], off[~same]
    if len(off):
        worst = off[distance[off].argmax()]
        raise ConversionError(
            f"logits of Keras and LCE differ by up to {distance[worst]:.3g}, on {len(off)} of {len(pictures)} "
            f"pictures, most on picture {worst} (class {expected[worst].argmax()} and {got[worst].argmax()}); their "
            f"range is {span:.3g}, {TOLERANCE * span:.3g} is allowed"
        )
    return Agreement(
        pictures=len(pictures),
        top1_agreement=float((expected.argmax(axis=1) == got.argmax(axis=1)).mean()),
        max_abs_diff=float(np.delete(distance, ties).max(initial=0.0)),
        logits_range=span,
        sign_ties=len(ties),
    )
