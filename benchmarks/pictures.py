"""Pictures of the studies, in docs/pictures: top-1 against cost, and the slopes that were learned."""

from __future__ import annotations

import json

from benchmarks import results
from ftbnn_larq import zoo
from ftbnn_larq.files import written_whole
from ftbnn_larq.report.figures import BLUE, ORANGE, label_points

FOLDER = zoo.HERE.parent / "docs" / "pictures"
GREY = "#777777"


def path_data() -> list[dict]:
    """The points of the first picture, OPs and top-1 of each network of study 2 and of the peers."""
    variants = results.variants("path") + results.variants("peers")
    return [
        {
            "model": "\n".join([each.model, *each.changes, *each.unlike(variants[0])]),
            "ops": each.ops,
            "top1": each.top1,
            "deviation": each.deviation,
        }
        for each in variants
    ]


def slopes_data() -> dict[str, list]:
    """The curves of the second: quartiles of p and n, layer by layer, of each variant that learns both slopes."""
    import numpy as np

    found = {}
    for each in results.variants("nonlinearity"):
        learned = each.learned_slopes()
        options = each.options
        if each.model == "bireal_r18" or options.get("nonlinearity", "fprelu") != "fprelu" or not learned:
            continue
        start = results.in_words(options.get("slopes", (1, 0)))
        words = [
            f"from ({start})",
            *(results.in_words(value).replace("_", " ") for key, value in options.items() if key != "slopes"),
        ]
        quartiles = [
            np.percentile(slopes, (25, 50, 75)).round(4).tolist() for pair in learned.values() for slopes in pair
        ]
        found[", ".join(words)] = [quartiles[::2], quartiles[1::2]]
    return found


def path_figure(points: list[dict]):
    """Ours, joined in the order of the path, variants of them as rings, and the peers."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.subplots()
    places = [(point["ops"] / 1e6, point["top1"]) for point in points]
    colours = [GREY if ":" in point["model"] else BLUE for point in points]
    plain = {point["model"]: place for point, place in zip(points, places, strict=True)}
    path = [plain[model] for model in results.STEPS if model in plain]
    axes.plot([ops for ops, _ in path], [top1 for _, top1 in path], color=BLUE, alpha=0.25, zorder=1)
    for point, place, colour in zip(points, places, colours, strict=True):
        full = "none" if "\n" in point["model"] else "full"
        axes.errorbar(*place, yerr=point["deviation"] or None, color=colour, marker="o", capsize=3, fillstyle=full)
    axes.margins(x=0.25, y=0.35)
    axes.set(xlabel="OPs of a picture, millions (FLOPs + BOPs / 64)", ylabel="top-1 on the test split")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    _plain(axes)
    label_points(axes, [point["model"] for point in points], places, colours)
    return figure


def slopes_figure(curves: dict[str, list]):
    from matplotlib.figure import Figure

    columns = min(4, max(1, len(curves)))
    rows = max(1, -(-len(curves) // columns))
    figure = Figure(figsize=(2.6 * columns + 0.6, 2.5 * rows + 0.5), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes in grid.flat[len(curves) :]:
        axes.set_axis_off()
    for axes, (name, both) in zip(grid.flat, curves.items(), strict=False):
        for quartiles, colour, label in zip(both, (BLUE, ORANGE), ("p, x > 0", "n, x < 0"), strict=True):
            low, middle, high = zip(*quartiles, strict=True)
            layers = range(1, len(middle) + 1)
            axes.fill_between(layers, low, high, color=colour, alpha=0.2, linewidth=0)
            axes.plot(layers, middle, color=colour, label=label)
        axes.axhline(0, color="#aaaaaa", linewidth=0.8)
        axes.set_title(name, fontsize=9)
        axes.xaxis.get_major_locator().set_params(integer=True)
        _plain(axes)
    if curves:
        grid[0, 0].legend(frameon=False, fontsize=8)
    figure.supxlabel("binary convolution, from the stem", fontsize=9)
    figure.supylabel("learned slope, of its channels\nthe median and quartiles", fontsize=9)
    return figure


def _plain(axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)


PICTURES = {"path.png": (path_data, path_figure), "slopes.png": (slopes_data, slopes_figure)}


def draw() -> None:
    """Draw every picture of which there is data; each holds its data, as JSON."""
    for name, (data, figure) in PICTURES.items():
        if shown := data():
            with written_whole(FOLDER / name) as temporary:
                figure(shown).savefig(temporary, dpi=110, metadata={"Description": json.dumps(shown)})


def drawn(name: str):
    """The data that a stored picture shows; None if there is none."""
    from PIL import Image

    path = FOLDER / name
    if not path.is_file():
        return None
    with Image.open(path) as picture:
        return json.loads(picture.info["Description"])
