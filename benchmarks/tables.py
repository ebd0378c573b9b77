"""Write what is shown of what was measured: python -m benchmarks.tables

The tables of the README and of docs/, the pictures and the model cards come from the data below zoo/results, and from
nothing else. The costs of the models are counted anew and stored there first. `TABLES` says which page has which table.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path

import click

from benchmarks import aarch64, answers, cards, compared, finetuning, fuzz, options, pictures, runtime, summary
from benchmarks.deployment import FILE as DEPLOYMENT
from benchmarks.deployment import PEERS
from benchmarks.linearity import FILE as LINEARITY
from benchmarks.main_job import FILE as MAIN_JOB
from benchmarks.markdown import renewed
from benchmarks.markdown import table as _table
from benchmarks.training import FILE as TRAINING
from ftbnn_larq import cli, zoo
from ftbnn_larq.analysis.verdict import AS_TRAINED, NONE, WEIGHT, WEIGHT_AND_ACTIVATION, percent
from ftbnn_larq.cli.output import human, load_tensorflow
from ftbnn_larq.files import read_json, write_json, write_text

ROOT = zoo.HERE.parent
README, DOCS = ROOT / "README.md", ROOT / "docs"


def counted_costs() -> dict[str, dict]:
    """Costs of every model at 224x224 and 1,000 classes, without the layers."""
    from ftbnn_larq.analysis.counts import count

    wanted = ("input_shape", "params", "macs", "ops", "weights_bytes")
    counts = {name: count(zoo.create_model(name)) for name in zoo.list_models()}
    return {name: {key: document[key] for key in wanted} for name, document in counts.items()}


def main_job() -> list[str]:
    """What the first command of the README comes to."""
    document = read_json(MAIN_JOB)
    took = {name: f"{s / 60:.1f} minutes" if s > 99 else f"{s:.0f} s" for name, s in document["seconds"].items()}
    first, *others = (f"{top1:.1%}" for top1 in document["top1"])
    further = f"; further seeds come to {' and '.join(others)}" if others else ""
    return [
        f"`{document['model']}` at width {document['width']} comes to {first} top-1 on the test split of "
        f"{document['dataset']} ({document['flatbuffer_top1']:.1%} in LCE, in {human(document['bytes'])}B), after "
        f"{document['epochs']} epochs, seed {document['seeds'][0]}{further}. Training takes {took['train']}, "
        f"converting {took['convert']}, and the benchmark {took['benchmark']}, on {document['cores']} cores of "
        f"{document['machine']} (measured {document['date']} with TensorFlow {document['versions']['tensorflow']})."
    ]


def _costs() -> list[tuple[str, dict]]:
    """The zoo's models with their costs, in the order of tables."""
    return sorted(zoo.costs().items(), key=lambda item: ("r34" in item[0], -item[1]["ops"], item[0]))


def models() -> list[str]:
    """The zoo at a glance, with top-1 where it was measured side by side."""
    found = summary.studied()
    top1 = next((f"top-1, {each.dataset}, width {each.width}" for each in found.values()), "top-1")
    rows = [
        [
            f"[`{name}`](zoo/cards/{name}.md)",
            zoo.entry(name).summary,
            human(cost["ops"]),
            human(cost["weights_bytes"]) + "B",
            found[name].percent if name in found else "",
        ]
        for name, cost in _costs()
    ]
    return _table(["model", "", "OPs", "weights", top1], rows)


def costs() -> list[str]:
    """What the models of the zoo cost, in full."""
    rows = []
    for name, cost in _costs():
        numbers = (cost["ops"], *(cost[kind][bits] for kind in ("macs", "params") for bits in ("binary", "float")))
        rows.append([f"[`{name}`](cards/{name}.md)", *map(human, numbers), human(cost["weights_bytes"]) + "B"])
    return _table(["model", "OPs", "BOPs", "FLOPs", "binary parameters", "float parameters", "weights"], rows)


def training() -> list[str]:
    document = read_json(TRAINING)
    columns, measured, words = [], [], []
    for processor, speed in sorted(document["speed"].items()):
        columns += [f"{processor}, width {width}" for width in speed["widths"]]
        measured += speed["widths"].values()
        layers = ", ".join(f"{ratio:.2f} ({shape} groups)" for shape, ratio in speed["grouped_layers"].items())
        words.append(
            f"{processor}: measured {speed['date']} on {speed['dataset']} in batches of {speed['batch_size']}, "
            f"{speed['cores']} cores of {speed['machine']}, TensorFlow {speed['versions']['tensorflow']}. Time of a "
            "step of a grouped layer, over that of a layer without groups that has fewer channels and as many "
            f"multiply-accumulates: {layers}."
        )
    # The longest list of networks: an older measurement may lack some.
    rows = [
        [name, *(f"{speeds[name] / speeds['ftbnn_r18']:.2f}" if name in speeds else "" for speeds in measured)]
        for name in max(measured, key=len, default=())
    ]
    if read := document.get("reading"):
        sizes = ", ".join("x".join(map(str, size)) for size in read["sizes"])
        words.append(
            f"JPEG files of {sizes}, read for training at {read['side']}x{read['side']} on {read['cores']} cores: "
            f"{read['folder']['ratio']:.2f} times the speed of a plain TensorFlow pipeline from a folder, "
            f"{read['tfds']['ratio']:.2f} times from TFDS. TensorFlow {read['versions']['tensorflow']}, {read['date']}."
        )
    if memory := document.get("memory"):
        held = memory["megabytes"]
        words.append(
            f"Most memory held in a training on {memory['dataset']}: {held[0]:,} MB after epoch 1, {held[-1]:,} MB "
            f"after epoch {len(held)}."
        )
    if accuracy := document.get("accuracy"):
        kept = [
            f"{statistics.fmean(top1):.1%} ({min(top1):.1%} to {max(top1):.1%}) in {name}"
            for name, top1 in accuracy["top1"].items()
        ]
        seeds = len(next(iter(accuracy["top1"].values())))
        how = ", emulated" if accuracy["emulated"] else ""
        words.append(f"`ftbnn_r18_pure` on digits, mean top-1 of {seeds} seeds: {' and '.join(kept)}{how}.")
    if joint := document.get("workers"):
        apart = " and ".join(f"{difference:.2g} in {dtype}" for dtype, difference in joint["apart"].items())
        words.append(
            f"`{joint['model']}` at width {joint['width']} on {joint['dataset']}, trained for {joint['steps']} steps "
            f"in two processes and in one: the losses differ by at most {apart}."
        )
    return [*_table(["speed / `ftbnn_r18`", *columns], rows), "", *(f"* {each}" for each in words)]


def deployment() -> list[str]:
    document = read_json(DEPLOYMENT)
    peers = [peer for peer in PEERS if peer in document["networks"]]
    rows = []
    for name, row in document["networks"].items():
        over = f"{row['bytes'] / row['bytes_needed'] - 1:+.1%}" if "bytes_needed" in row else ""
        ratios = [f"{row[f'time_to_{peer}']:.2f}" for peer in peers]
        rows.append([f"`{name}`", sum(row["operators"].values()), f"{row['bytes']:,}", over, *ratios])
    versions, conversion = document["versions"], document["conversion_time"]
    plain = "; `keras:` networks in TFLite with XNNPACK" if PEERS[2] in peers else ""
    return [
        *_table(
            ["network", "operators", "bytes", "beyond the weights themselves", *(f"time / {peer}" for peer in peers)],
            rows,
        ),
        "",
        f"Measured {document['date']} with LCE {versions['larq-compute-engine']} and TensorFlow "
        f"{versions['tensorflow']} on {document['machine']}, {document['kernel']} kernel{plain}, one thread, median of "
        f"{document['rounds']} in turn. Converting `{conversion['of']}` with all passes takes "
        f"{conversion['ratio']:.2f} of the time that LCE alone takes for `{conversion['to']}`.",
    ]


def published() -> list[str]:
    """What comes with the package."""
    names = [(name, data) for name in zoo.list_models() for data in zoo.published_weights(name)]
    files = {f"`{name}:{data}`": cards.published(zoo.published(name, data)) for name, data in names}
    rows = []
    for name, file in sorted(files.items(), key=lambda item: -item[1]["keras"]["top1"]):
        how, width = file["recipe"], file["width"]
        top1 = [f"{file[where]['top1']:.1%}" for where in ("keras", "lce")]
        sizes = [f"{file[size]:,} B" for size in ("bytes", "flatbuffer_bytes")]
        rows.append([name, width, file["epochs"], f"{how['learning_rate']:g}", *top1, *sizes])
    return _table(["network", "width", "epochs", "learning rate", "top-1", "in LCE", "weights", "flatbuffer"], rows)


def linearity() -> list[str]:
    """Means over the binary convolutions of the published networks."""
    document = read_json(LINEARITY)
    networks = document["networks"]

    def row(words: str, kind: str, name: str) -> list[str]:
        found = [next((each for each in told[kind] if each["name"] == name), {}) for told in networks.values()]
        cells = ([percent(each[key]) if key in each else "-" for key in ("error", "linearity")] for each in found)
        return [words, *map("; ".join, cells)]

    rows = [row("no scale", "scales", NONE)]
    rows += [row(f"{name} scale", "scales", name) for name in (WEIGHT, WEIGHT_AND_ACTIVATION)]
    rows.append(row("batch norm", "nonlinearities", "identity"))
    rows += [row(f"batch norm, `{name}`", "nonlinearities", name) for name in ("prelu", "relu")]
    rows.append(row("batch norm, non-linearity as trained", "nonlinearities", AS_TRAINED))
    columns = [f"`{name}`: error; linearity" for name in networks]
    counts = [f"{told['measured']} convolutions of `{name}`" for name, told in networks.items()]
    pictures = " and ".join(dict.fromkeys(f"{told['pictures']:,}" for told in networks.values()))
    measured = f"Measured {document['date']} on {pictures} test pictures: means over {', '.join(counts)}."
    return [*_table(["binarized convolution, then", *columns], rows), "", measured]


# Each block of a page, where it is, and what writes it.
TABLES: dict[str, tuple[Path, Callable[[], list[str]]]] = {
    "main_job": (README, main_job),
    "models": (README, models),
    "measured": (README, summary.measured),
    "choice": (README, summary.choice),
    "fuzz": (DOCS / "architecture.md", fuzz.table),
    "costs": (DOCS / "zoo.md", costs),
    "published": (DOCS / "zoo.md", published),
    "recipe_keys": (DOCS / "training.md", options.recipe_keys),
    "recipes": (DOCS / "training.md", options.recipes),
    "finetuning": (DOCS / "training.md", finetuning.table),
    "rewrites": (DOCS / "conversion.md", options.rewrites),
    "answers": (DOCS / "conversion.md", answers.table),
    "training": (DOCS / "speed.md", training),
    "deployment": (DOCS / "speed.md", deployment),
    "runtime": (DOCS / "runtime.md", runtime.table),
    "aarch64": (DOCS / "runtime.md", aarch64.table),
    "path": (DOCS / "ideas.md", compared.path),
    "path_cifar100": (DOCS / "ideas.md", compared.path_cifar100),
    "rate_cifar100": (DOCS / "ideas.md", compared.rate_cifar100),
    "search_cifar100": (DOCS / "ideas.md", compared.search_cifar100),
    "search": (DOCS / "ideas.md", compared.search),
    "schedule": (DOCS / "ideas.md", compared.schedule),
    "nonlinearity": (DOCS / "ideas.md", compared.nonlinearity),
    "linearity": (DOCS / "ideas.md", linearity),
}
PAGES = tuple(dict.fromkeys(file for file, _ in TABLES.values()))


def page(file: Path) -> str:
    """A page with every table made anew from the stored data."""
    return renewed(
        file.read_text(encoding="utf-8"), {name: write for name, (home, write) in TABLES.items() if home == file}
    )


@click.command()
def main() -> None:
    """Write the tables of README and docs, the pictures, the model cards and the costs of the models anew."""
    load_tensorflow()
    write_json(zoo.HERE / "results" / "costs.json", counted_costs())
    pictures.draw()
    for model in zoo.list_models():
        write_text(cards.FOLDER / f"{model}.md", cards.card(model))
    for file in PAGES:
        write_text(file, page(file))


if __name__ == "__main__":
    cli.main(main, "python -m benchmarks.tables")
