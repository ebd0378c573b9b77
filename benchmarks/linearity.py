"""How linear binarized convolutions are in the networks that the zoo publishes: python -m benchmarks.linearity

Writes zoo/results/linearity.json.
"""

from __future__ import annotations

import time

import click

from benchmarks.results import HERE
from ftbnn_larq import cli, runs, zoo
from ftbnn_larq.cli.output import load_tensorflow, say
from ftbnn_larq.files import write_json

FILE = HERE / "linearity.json"
# Enough for the last stage of width 32.
PICTURES = 1024


def measure(name: str, dataset: str, data_dir: str | None) -> dict:
    """What `analyze linearity` says of a published network, but for its single layers."""
    from ftbnn_larq.analysis.linearity import linearity
    from ftbnn_larq.data import load, pipeline
    from ftbnn_larq.zoo import trained

    source = trained.find(f"{name}:{dataset}")
    network, config = source.load(), source.data
    pictures = pipeline.sample(load(config.name, data_dir=data_dir, config=config).test, config, PICTURES)
    result = linearity(network, pictures)
    kept = {key: result[key] for key in ("scales", "nonlinearities", "claim", "verdict", "left_out")}
    return {"pictures": len(pictures), "measured": len(result["layers"]), **kept}


@click.command()
@click.option("--data-dir", help="Where TFDS keeps its data sets.")
def main(data_dir: str | None) -> None:
    """Measure the published networks on the test split that they were published for."""
    load_tensorflow()
    networks = {}
    for name in zoo.list_models():
        for dataset in zoo.published_weights(name):
            say(f"measuring {name}:{dataset} ...")
            networks[f"{name}:{dataset}"] = measure(name, dataset, data_dir)
    write_json(FILE, {"date": time.strftime("%Y-%m-%d"), "versions": runs.versions(), "networks": networks})
    say(f"wrote {FILE}")


if __name__ == "__main__":
    cli.main(main, "python -m benchmarks.linearity")
