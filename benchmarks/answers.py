"""Whether the published networks give the same answers wherever they run.

python -m benchmarks.answers --data-dir DIR

Writes zoo/results/answers.json: 1,000 test pictures of each published network, on every kernel of LCE and every
instruction set of ftbnn-runtime that this processor has, and in Keras, beside LCE's reference kernel. Keras has the
weights as the flatbuffer has them, large ones rounded to 8 bits.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np

from benchmarks import markdown
from benchmarks.results import HERE
from ftbnn_larq import cli, data, runs, zoo
from ftbnn_larq.cli.output import load_tensorflow, say
from ftbnn_larq.files import read_json, write_json
from ftbnn_larq.inference.interpreter import Interpreter, kernels
from ftbnn_larq.inference.sidecar import data_config_beside

FILE = HERE / "answers.json"
REFERENCE = "reference"
_NAMES = {"lce": "LCE, ", "ftbnn": "ftbnn-runtime, ", "keras": "Keras"}


def scores(name: str, dataset: str, pictures: np.ndarray) -> Iterator[tuple[dict, np.ndarray]]:
    """What runs a published network, `{engine, kernel}`, and its scores (n, classes); the reference comes first."""
    from ftbnn_larq.conversion.network import Network
    from ftbnn_larq.conversion.passes import int8
    from ftbnn_larq.models.ends import up_to_logits

    path = zoo.published(name, dataset, ".tflite")
    lces = sorted(kernels("lce"), key=lambda kernel: kernel != REFERENCE)
    for engine, kernel in [*(("lce", kernel) for kernel in lces), *(("ftbnn", isa) for isa in kernels("ftbnn"))]:
        with Interpreter(path, kernel=kernel) as interpreter:
            yield {"engine": engine, "kernel": kernel}, interpreter.predict(pictures)
    model = up_to_logits(zoo.pretrained(name, dataset)[0])
    with int8.rounded(model):
        yield {"engine": "keras", "kernel": None}, Network.of(model).answers(pictures)


def measured(name: str, dataset: str, data_dir: str | None, count: int) -> dict:
    """`{pictures, logits_range, run_by: [{engine, kernel, same_class, max_abs_diff, top1}]}`; scores are logits."""
    from ftbnn_larq.data.pipeline import batches

    config = data_config_beside(zoo.published(name, dataset, ".tflite"))
    split = data.load(dataset, data_dir=data_dir, config=config).test
    pictures, labels = next(batches(split, config, count).as_numpy_iterator())
    rows, reference = [], None
    for what, found in scores(name, dataset, pictures):
        reference = found if reference is None else reference
        classes = found.argmax(axis=1)
        rows.append(
            {
                **what,
                "same_class": int((classes == reference.argmax(axis=1)).sum()),
                "max_abs_diff": float(np.abs(found - reference).max()),
                "top1": float((classes == labels).mean()),
            }
        )
    return {"pictures": len(pictures), "logits_range": float(np.ptp(reference)), "run_by": rows}


def table() -> list[str]:
    """How many pictures get the class that LCE's reference kernel gives, and how far the logits are from its."""
    document = read_json(FILE)
    networks = document["networks"]
    rows = []
    for place, first in enumerate(next(iter(networks.values()))["run_by"]):
        cells = []
        for each in networks.values():
            row = each["run_by"][place]
            apart = row["max_abs_diff"] / each["logits_range"]
            cells.append(f"{row['same_class']:,} of {each['pictures']:,}; {apart:.1g}")
        rows.append([f"{_NAMES[first['engine']]}{first['kernel'] or ''}", *cells])
    versions = document["versions"]
    return [
        *markdown.table(["run by", *(f"`{name}`" for name in networks)], rows),
        "",
        "Pictures with the same class; the largest difference of a logit over the logits' range. "
        f"Measured {document['date']} on {document['machine']} with LCE {versions['larq-compute-engine']} and "
        f"TensorFlow {versions['tensorflow']}, on test pictures.",
    ]


@click.command()
@click.option("--data-dir", help="Where TFDS keeps its data sets.")
@click.option("--pictures", type=int, default=1000, show_default=True, help="Of the test split.")
@click.option("--output", type=click.Path(path_type=Path), default=FILE, help="[default: zoo/results/answers.json]")
def main(data_dir: str | None, pictures: int, output: Path) -> None:
    """Compare the answers of the published networks, write them to zoo/results/answers.json."""
    load_tensorflow()
    published = [(name, dataset) for name in zoo.list_models() for dataset in zoo.published_weights(name)]
    networks = {f"{name}:{dataset}": measured(name, dataset, data_dir, pictures) for name, dataset in published}
    document = {"date": time.strftime("%Y-%m-%d"), "versions": runs.versions(), "machine": platform.machine()}
    write_json(output, {**document, "networks": networks})
    say(f"wrote {output}; python -m benchmarks.tables shows it in docs/conversion.md")


if __name__ == "__main__":
    cli.main(main, "python -m benchmarks.answers")
