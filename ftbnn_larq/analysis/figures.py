"""Figures of the linearity analysis. matplotlib is imported only when one is drawn."""

from __future__ import annotations

import os
import textwrap

from ftbnn_larq.analysis.verdict import AS_TRAINED, BATCH_NORM, NONE, WEIGHT, WEIGHT_AND_ACTIVATION
from ftbnn_larq.files import written_whole
from ftbnn_larq.models.config import NONLINEARITIES

# From Okabe and Ito's palette, which color-blind readers can tell apart. No meaning is in the color alone.
BLACK, BLUE, ORANGE = "#444444", "#0072B2", "#D55E00"
SCALE_LABELS = {
    NONE: "no scale",
    WEIGHT: "weight scale\n(XNOR-Net's α)",
    WEIGHT_AND_ACTIVATION: "weight and activation\nscale (its α and K)",
    BATCH_NORM: "batch norm\n(learned scale)",
}
LEGEND = (
    "Small marks joined by a line: one binary convolution. Large marks: the mean over all. In brackets: start slopes "
    "for positive and negative inputs."
)


def draw_linearity(document: dict, path: str | os.PathLike, subject: str) -> None:
    """Draw the result of `linearity.linearity` as a PNG file.

    Arguments:
        document: that result.
        path: the file to write.
        subject: which network, on which pictures.

    Raises:
        OSError: `path` cannot be written.
    """
    from matplotlib.figure import Figure

    scales, acts, layers = document["scales"], document["nonlinearities"], document["layers"]
    figure = Figure(figsize=(10, 7.6))
    (errors, lines), (words, behind) = figure.subplots(
        2,
        2,
        width_ratios=(1, 1.5),
        height_ratios=(len(scales), max(len(acts), 3)),
        gridspec_kw={"left": 0.18, "right": 0.97, "top": 0.89, "bottom": 0.1, "wspace": 0.42, "hspace": 0.36},
    )
    figure.suptitle(
        "Does less quantization error make a binarized convolution more linear?", fontsize=15, weight="bold"
    )

    def of_layers(kind, rows, key):
        return [[key(layer[kind].get(row["name"])) for row in rows] for layer in layers]

    def error(scale):
        return scale and scale["error"]

    def linearity(scale):
        return scale and scale["linearity"]

    labels = [SCALE_LABELS[row["name"]] for row in scales]
    _rows(errors, labels, of_layers("scales", scales, error), [row["error"] for row in scales], BLACK, "{:,.0%}")
    errors.set_xscale("log")
    errors.set_title("Quantization error")
    errors.set_xlabel("squared difference to the full-precision\nconvolution, relative to its square (log)")
    errors.xaxis.set_major_formatter(lambda value, _: f"{value:,.0%}")

    means = [row["linearity"] for row in scales]
    _rows(lines, [""] * len(scales), of_layers("scales", scales, linearity), means, BLUE, "{:.1%}")
    lines.set_title("Linearity under each scale")
    means = [row["linearity"] for row in acts]
    _rows(
        behind,
        [_label(row["name"]) for row in acts],
        of_layers("nonlinearities", acts, lambda share: share),
        means,
        ORANGE,
        "{:.1%}",
    )
    behind.set_title("Linearity behind batch norm and non-linearity")
    behind.set_xlabel(
        "linearity: share of the variance that the best linear map\nof the full-precision convolution explains"
    )
    for axes in (lines, behind):
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")

    words.axis("off")
    text = "\n\n".join(textwrap.fill(part, 50) for part in (subject, document["verdict"], LEGEND))
    figure.text(0.02, words.get_position().y1 - 0.02, text, va="top", fontsize=9.5, parse_math=False)
    with written_whole(path) as temporary:
        figure.savefig(temporary, dpi=130, format="png")


def _label(nonlinearity: str) -> str:
    if nonlinearity == AS_TRAINED:
        return "the network's own"
    slopes = NONLINEARITIES[nonlinearity].slopes
    return f"{nonlinearity} ({slopes[0]:g}, {slopes[1]:g})" if slopes else nonlinearity


def _rows(axes, labels, layers, means, colour, form) -> None:
    """Draw a row per label: a thin line per layer across the rows, and a large mark with a number for the mean."""
    heights = range(len(labels))
    for values in layers:
        shown = [(value, height) for value, height in zip(values, heights, strict=True) if value is not None]
        axes.plot([x for x, _ in shown], [y for _, y in shown], ".-", color=colour, alpha=0.25, linewidth=0.8)
    for mean, height in zip(means, heights, strict=True):
        if mean is None:
            axes.text(0.5, height, "not defined", transform=axes.get_yaxis_transform(), ha="center", va="center")
        else:
            axes.plot(mean, height, "D", color=colour, markersize=9, markeredgecolor="white")
            place = {"xytext": (0, 8), "textcoords": "offset points", "ha": "center", "fontsize": 10.5}
            axes.annotate(form.format(mean), (mean, height), weight="bold", **place)
    axes.set_yticks(heights, labels)
    axes.set_ylim(len(labels) - 0.5, -0.8)
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
