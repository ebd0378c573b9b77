"""Pictures of what was measured."""

from __future__ import annotations

import os

from ftbnn_larq.files import written_whole

# Okabe and Ito's palette: distinct to colour-blind readers too.
COLOURS = ("#000000", "#E69F00", "#0072B2", "#009E73")


def draw_linearity(document: dict, path: str | os.PathLike, title: str) -> None:
    """Write the picture of `linearity.linearity`'s document as PNG.

    Raises:
        OSError: `path` cannot be written.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4.8), layout="constrained")
    for row, colour, mark in zip(document["scales"], COLOURS, "osD^", strict=False):
        layers = [layer["scales"][row["name"]] for layer in document["layers"] if row["name"] in layer["scales"]]
        errors, lines = [one["error"] for one in layers], [one["linearity"] for one in layers]
        left.scatter(errors, lines, s=14, color=colour, alpha=0.35, marker=mark, linewidths=0)
        left.scatter(
            row["error"], row["linearity"], s=110, color=colour, marker=mark, edgecolors="white", label=row["name"]
        )
    left.set_xscale("log")
    left.set_ylim(0, 1)
    left.set_xlabel("quantization error, relative (left is better)")
    left.set_ylabel("linearity: share of variance that a straight line\nof the full-precision convolution explains")
    left.set_title(
        "Binarized convolution under four scales\nlarge: mean over layers, small: single layers", fontsize=10
    )
    left.legend(title="scale", fontsize=9)
    left.grid(alpha=0.3)

    rows = sorted(document["nonlinearities"], key=lambda row: row["linearity"])
    bars = right.barh(
        [row["name"] for row in rows],
        [row["linearity"] for row in rows],
        color=[COLOURS[1] if row["name"] == "as trained" else COLOURS[2] for row in rows],
    )
    right.bar_label(bars, fmt="%.3f", padding=3, fontsize=9)
    right.set_xlim(0, 1)
    right.set_xlabel("linearity left behind the non-linearity (less is more non-linear)")
    right.set_title("What each non-linearity does to it\nbehind the batch norm, mean over layers", fontsize=10)
    figure.suptitle(title, fontsize=12)
    with written_whole(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")
    pyplot.close(figure)
