"""The figures of the report. Each is narrow enough for a phone."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from ftbnn_larq.benchmarking.figures import COLOURS, operators_figure
from ftbnn_larq.documents import Answers
from ftbnn_larq.errors import short

__all__ = [
    "MOST_IN_MATRIX",
    "confusion_matrix",
    "curves",
    "label_points",
    "operators_figure",
    "pareto_front",
    "scatter",
]

BLUE, ORANGE = COLOURS[0], COLOURS[5]
# Classes of a confusion matrix whose names can be read.
MOST_IN_MATRIX = 30
# And numbers.
MOST_WITH_NUMBERS = 12


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the points (cost, accuracy) that no other point beats in both, from the cheapest to the best."""
    front, best = [], float("-inf")
    for index in sorted(range(len(points)), key=lambda index: (points[index][0], -points[index][1])):
        if points[index][1] > best:
            front.append(index)
            best = points[index][1]
    return front


def _axes():
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.3, 3.3), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    return figure, axes


def curves(history: list[dict]):
    """Plot top-1 on the training and validation split by epoch, and the training loss."""
    figure, axes = _axes()
    loss = axes.twinx()
    loss.spines["top"].set_visible(False)
    for name, label, colour in (("top1", "training", "#999999"), ("val_top1", "validation", BLUE)):
        shown = [(row["epoch"], row[name]) for row in history if row.get(name) is not None]
        axes.plot(
            [x for x, _ in shown],
            [y for _, y in shown],
            color=colour,
            label=f"top-1, {label}",
            marker="." if len(shown) < 3 else "",
        )
    shown = [(row["epoch"], row["loss"]) for row in history if row.get("loss") is not None]
    loss.plot([x for x, _ in shown], [y for _, y in shown], color=ORANGE, linestyle=":", label="training loss")
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.xaxis.get_major_locator().set_params(integer=True)
    loss.set_ylim(bottom=0)
    axes.set_xlabel("epoch")
    axes.set_ylabel("top-1")
    loss.set_ylabel("loss")
    figure.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=8, columnspacing=1, handlelength=1.6)
    return figure


def confusion_matrix(answers: Answers):
    """Draw which classes (rows) a network takes for which (columns), by share of a row's pictures."""
    import numpy as np
    from matplotlib.figure import Figure

    labels = [row.label for row in answers.per_class]
    counts = np.diag([round((row.top1 or 0) * row.examples) for row in answers.per_class])
    for pair in answers.confusion:
        counts[labels.index(pair.label), labels.index(pair.predicted)] = pair.examples
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(4.3, 4.3), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    size = 8 if len(labels) <= MOST_WITH_NUMBERS else 6
    names, places = [short(label, 14) for label in labels], range(len(labels))
    turned = 90 if max(map(len, names)) > 2 else 0
    axes.set_xticks(places, names, fontsize=size, rotation=turned, parse_math=False)
    axes.set_yticks(places, names, fontsize=size, parse_math=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("answer")
    axes.set_ylabel("class")
    if len(labels) <= MOST_WITH_NUMBERS:
        for row, column in np.argwhere(counts):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=size, color=colour)
    return figure


def scatter(points: Sequence[tuple[str, float, float]], label: str):
    """Plot accuracy against a cost.

    Arguments:
        points: (name, cost, top-1 as a fraction). Those on the Pareto front get full marks, joined by a line.
        label: the name of the cost.
    """
    figure, axes = _axes()
    plane = [(cost, top1) for _, cost, top1 in points]
    front = pareto_front(plane)
    axes.step(
        [plane[index][0] for index in front], [plane[index][1] for index in front], where="post", color=ORANGE,
        linewidth=1, label="Pareto front",
    )  # fmt: skip
    for index, (cost, top1) in enumerate(plane):
        axes.plot(
            cost, top1, "o", color=ORANGE if index in front else BLUE, fillstyle="full" if index in front else "none"
        )
    axes.margins(x=0.12, y=0.2)
    axes.set_xlabel(textwrap.fill(label, 46), parse_math=False)
    axes.set_ylabel("top-1 on the test split")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.1%}")
    figure.legend(loc="outside upper right", frameon=False, fontsize=8)
    label_points(axes, [name for name, _, _ in points], plane)
    return figure


def label_points(axes, names: Sequence[str], places: Sequence[tuple[float, float]], colours=None) -> None:
    """Write a name beside each point, where it covers no other name or mark. A name may have several lines.

    Call it last: a later change of the axes would move the marks.
    """
    figure = axes.figure
    figure.draw_without_rendering()
    inch = figure.dpi_scale_trans.inverted()
    marks = [tuple(72 * side for side in inch.transform(axes.transData.transform(place))) for place in places]
    offsets = _offsets(names, marks, figure.get_figwidth() * 72)
    for index, (name, place, offset) in enumerate(zip(names, places, offsets, strict=True)):
        colour = colours[index] if colours else None
        axes.annotate(
            name, place, xytext=offset, textcoords="offset points", fontsize=8, color=colour, parse_math=False
        )


def _offsets(names: Sequence[str], marks: Sequence[tuple[float, float]], width: float) -> list[tuple[float, float]]:
    """Offsets from each mark to its name, in points (1/72 inch), so that names cover no other name or mark.

    The nearest free place is taken: right or left of the mark, then higher or lower. If none is free, right of it.
    """
    taken = [(x - 4, y - 4, x + 4, y + 4) for x, y in marks]
    offsets = []
    for name, (x, y) in zip(names, marks, strict=True):
        lines = name.split("\n")
        long, high = 4.6 * max(map(len, lines)), 10 * len(lines) - 2
        beside = [5, -5 - long]
        tried = [(right, up) for away in range(0, 60, 5) for up in (4 + away, -2 - high - away) for right in beside]
        boxes = [(x + right, y + up, x + right + long, y + up + high) for right, up in tried]
        free = (
            index
            for index, box in enumerate(boxes)
            if box[0] >= 45 and box[2] <= width and box[1] > 30 and not any(_overlap(box, other) for other in taken)
        )
        chosen = next(free, 0)
        taken.append(boxes[chosen])
        offsets.append(tried[chosen])
    return offsets


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Whether two boxes (left, bottom, right, top) overlap."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
