"""Time by operator, drawn. matplotlib is imported when a picture is."""

from __future__ import annotations

import os
from pathlib import Path

from ftbnn_larq.files import written_whole

# Of Okabe and Ito's palette, distinct to colour-blind readers too.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")
_MOST = len(COLOURS) - 1


def operators_figure(results: list[dict]):
    """A bar for each result of `benchmark` that has a profile, its parts the operators' ms."""
    from matplotlib.figure import Figure

    shown = [result for result in results if result.get("layers")]
    totals = {}
    for result in shown:
        for operator in result["operators"]:
            totals[operator["type"]] = totals.get(operator["type"], 0) + operator["ms"]
    kinds = sorted(totals, key=totals.get, reverse=True)
    named = kinds if len(kinds) <= _MOST + 1 else kinds[:_MOST]
    # A legend of as many columns as the longest of its names leaves room for.
    names = {kind: kind if len(kind) <= 44 else kind[:41] + "..." for kind in [*named, "others"]}
    columns = max(1, min(3, 360 // (40 + 5 * max(map(len, names.values())))))
    figure = Figure(figsize=(5, 0.8 + 0.2 * -(-len(names) // columns) + 0.62 * len(shown)), layout="constrained")
    axes = figure.subplots()
    left = [0.0] * len(shown)
    for colour, kind in zip(COLOURS, [*named, "others"], strict=False):
        wanted = {kind} if kind != "others" else set(kinds) - set(named)
        widths = [sum(each["ms"] for each in result["operators"] if each["type"] in wanted) for result in shown]
        if any(widths):
            axes.barh(
                range(len(shown)), widths, left=left, color=colour, label=names[kind], height=0.5, edgecolor="white"
            )
            left = [start + width for start, width in zip(left, widths, strict=True)]
    # Above its bar a name has room, on a phone too.
    for place, result in enumerate(shown):
        axes.text(0, place - 0.28, _label(result, shown), va="bottom", fontsize=9, parse_math=False)
    axes.set_yticks([])
    axes.set_ylim(len(shown) - 0.6, -0.8)
    axes.set_xlabel("ms of one inference, by operator")
    axes.spines[["top", "right", "left"]].set_visible(False)
    legend = figure.legend(loc="outside lower center", ncols=columns, frameon=False, fontsize=9)
    for text in legend.get_texts():
        # Names are text, and no formulas.
        text.set_parse_math(False)
    return figure


def _label(result: dict, shown: list[dict]) -> str:
    path = Path(result["path"])
    # A run's flatbuffer is better known by its run.
    label = path.parent.name if path.name == "model.tflite" and path.parent.name else result["path"]
    label = label if len(label) <= 60 else "..." + label[-57:]
    if len({each["kernel"] for each in shown if each["path"] == result["path"]}) > 1:
        label += f", {result['kernel']}"
    several = len({each["threads"] for each in shown}) > 1
    return f"{label}, {result['threads']} thread(s)" if several else label


def draw_operators(results: list[dict], path: str | os.PathLike) -> None:
    """Write the picture as PNG. Raises OSError if `path` cannot be written."""
    with written_whole(path) as temporary:
        operators_figure(results).savefig(temporary, dpi=130, format="png")
