"""The pictures of a report, each narrow enough for a phone."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from ftbnn_larq.benchmarking.figures import COLOURS, operators_figure

__all__ = ["curves", "operators_figure", "pareto_front", "scatter"]

BLUE, ORANGE = COLOURS[0], COLOURS[5]


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Which points (cost, accuracy) no other beats in both, from the cheapest to the best."""
    front, best = [], float("-inf")
    for index in sorted(range(len(points)), key=lambda index: (points[index][0], -points[index][1])):
        if points[index][1] > best:
            front.append(index)
            best = points[index][1]
    return front


def _axes():
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    return figure, axes


def curves(history: list[dict]):
    """Top-1 on training and validation split by epoch, and the loss."""
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


def scatter(points: Sequence[tuple[str, float, float]], label: str):
    """Accuracy over a cost: points (name, cost, top-1 as a fraction); the Pareto front is a line of full marks."""
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
    costs = [cost for cost, _ in plane]
    middle = (min(costs) + max(costs)) / 2
    for (name, cost, top1), offset in zip(points, _offsets(plane), strict=True):
        left = cost <= middle
        axes.annotate(
            name, (cost, top1), xytext=(4 if left else -4, offset + 3), textcoords="offset points", fontsize=8,
            ha="left" if left else "right", va="bottom", parse_math=False,
        )  # fmt: skip
    axes.margins(x=0.12, y=0.2)
    axes.set_xlabel(textwrap.fill(label, 46), parse_math=False)
    axes.set_ylabel("top-1 on the test split")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.1%}")
    figure.legend(loc="outside upper right", frameon=False, fontsize=8)
    return figure


def _offsets(plane: Sequence[tuple[float, float]]) -> list[float]:
    """How far to lift each name, in points, so that those of neighbours do not cover each other."""
    heights = [top1 for _, top1 in plane]
    span = (max(heights) - min(heights)) or 1.0
    lifts, used = [0.0] * len(plane), []
    for index in sorted(range(len(plane)), key=lambda index: heights[index]):
        place = (heights[index] - min(heights)) / span * 120
        wanted = max([place, *(other + 10 for other in used[-1:])])
        lifts[index] = wanted - place
        used.append(wanted)
    return lifts
