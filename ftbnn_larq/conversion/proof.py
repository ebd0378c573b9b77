"""Whether a flatbuffer is the network that was trained: operators counted, answers compared."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from ftbnn_larq.analysis import scores
from ftbnn_larq.conversion import census, explain, passes, signs
from ftbnn_larq.conversion.network import Network
from ftbnn_larq.errors import ConversionError, ModelFileError, ToolError
from ftbnn_larq.inference import interpreter as interpreters
from ftbnn_larq.inference.interpreter import Interpreter, host_kernel
from ftbnn_larq.models import ends
from ftbnn_larq.models.layers import is_binary

# Pictures that LCE's kernels which are not this machine's fastest are compared on.
PICTURES_OTHERS = 16
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


def check_census(network: Network, found: list[census.Operator], said: str = "", *, split: bool = False) -> None:
    """Every binary layer must have become an LceBconv2d, or one for each group where groups were `split`.

    Arguments:
        found: the operators of the flatbuffer.
        said: what LCE's converter complained of.

    Raises:
        ConversionError: names the layers that did not, and why; or there are more operators than layers.
    """
    wanted = network.convolutions(split)
    binary = sum(operator.type == census.BINARY_CONVOLUTION for operator in found)
    if binary == wanted:
        return
    if binary > wanted:
        followed = set(map(id, network.binary))
        for layer in network.model.submodules:
            if is_binary(layer) and id(layer) not in followed:
                raise ConversionError(
                    f"{layer.name} is called inside a tf.function, where its calls cannot be followed: take "
                    "@tf.function off the call of the layer around it"
                )
        raise ConversionError(
            f"{binary} {census.BINARY_CONVOLUTION} operators where the layers are {wanted} binary convolutions: signs "
            "that are layers of their own are not proven; give them to the convolutions behind them, as input_quantizer"
        )
    layers = network.binary
    floats = [operator.output for operator in found if operator.type in ("CONV_2D", "DEPTHWISE_CONV_2D")]
    lost = [layer for layer in layers if any(layer.name in output.split("/") for output in floats)]
    lost = lost or [layer for layer in layers if explain.known_reason(layer)]
    reasons, unknown = {}, said or "LCE's converter did not say why"
    for layer in lost:
        reasons.setdefault(explain.known_reason(layer) or unknown, []).append(layer.name)

    def some(names: list[str]) -> str:
        return f"{', '.join(names[:3])}{' ...' if len(names) > 3 else ''}"

    told = "; ".join(f"{some(names)}: {why}" for why, names in reasons.items())
    told = told or f"which of {some([layer.name for layer in layers])} cannot be told: {unknown}"
    raise ConversionError(
        f"{wanted - binary} of {wanted} binary convolutions did not become {census.BINARY_CONVOLUTION} operators: "
        f"{told}"
    )


def difference(network: Network, expected: np.ndarray, got: np.ndarray) -> dict:
    """`{max_abs_diff, top1_agreement}` of two arrays of scores (n, classes) of a network."""
    return {
        "max_abs_diff": float(np.abs(expected - got).max()),
        "top1_agreement": scores.agreement(expected, got, ends.gives_probabilities(network.model)),
    }


def kernels(network: Network, groups: str) -> list[str]:
    """The kernels that run the flatbuffer, LCE's and, where its library is there, the one of ftbnn-runtime."""
    fused = groups == passes.FUSED and network.grouped
    usable = [kernel for kernel in interpreters.kernels("lce") if not (fused and kernel == "default")]
    try:
        return [*usable, interpreters.kernels("ftbnn")[0]]
    except ToolError:
        return usable


def prove(
    network: Network, flatbuffer: Path, pictures: np.ndarray, expected: np.ndarray, groups: str
) -> dict[str, Agreement]:
    """Compare the flatbuffer's answers with Keras's on each kernel that runs it.

    Raises:
        ConversionError: they differ, or a kernel cannot run the flatbuffer.
    """
    found = {}
    for kernel in kernels(network, groups):
        is_slow = kernel in interpreters.KERNELS and kernel != host_kernel()
        count = PICTURES_OTHERS if is_slow else len(pictures)
        try:
            found[kernel] = compare(network, flatbuffer, pictures[:count], kernel, expected[:count])
        except ModelFileError as error:
            raise ConversionError(f"what LCE converted does not run: {error}") from error
    return found


def compare(
    network: Network,
    flatbuffer: str | Path,
    pictures: np.ndarray,
    kernel: str | None = None,
    expected: np.ndarray | None = None,
) -> Agreement:
    """Put the same pictures to Keras and to an interpreter.

    Arguments:
        network: up to the outputs that the flatbuffer has.
        flatbuffer: path of the converted file.
        pictures: float32 (n, h, w, c), as the network sees them.
        kernel: one of LCE's or of ftbnn-runtime's; None for LCE's fastest one.
        expected: Keras's answers, where they are known.

    Raises:
        ConversionError: logits that differ by more than `TOLERANCE`, and not because of signs on zero.
    """
    expected = network.answers(pictures) if expected is None else expected
    with Interpreter(flatbuffer, kernel=kernel) as interpreter:
        got = interpreter.predict(pictures)
    if not np.isfinite(expected).all():
        raise ConversionError("the network's own logits are not finite: its weights hold NaN or infinity")
    are_probabilities = ends.gives_probabilities(network.model)
    span = float(expected.max() - expected.min()) or 1.0
    distance = np.abs(expected - got).max(axis=1)
    # Written so that NaN counts as different.
    off = np.flatnonzero(~(distance <= TOLERANCE * span))
    ties = off
    if len(off):
        same = signs.same_but_for_rounding(
            network, Path(flatbuffer).read_bytes(), pictures[off], kernel=kernel, tolerance=TOLERANCE * span
        )
        ties, off = off[same], off[~same]
    if len(off):
        worst = off[distance[off].argmax()]
        seen = scores.classes([expected[worst], got[worst]], are_probabilities)
        raise ConversionError(
            f"logits of Keras and {interpreter.name}, {interpreter.kernel}, differ by up to {distance[worst]:.3g}, "
            f"on {len(off)} of {len(pictures)} pictures, most on picture {worst} (class {seen[0]} and {seen[1]}); "
            f"their range is {span:.3g}, {TOLERANCE * span:.3g} is allowed"
        )
    return Agreement(
        pictures=len(pictures),
        top1_agreement=scores.agreement(expected, got, are_probabilities),
        max_abs_diff=float(np.delete(distance, ties).max(initial=0.0)),
        logits_range=span,
        sign_ties=len(ties),
    )
