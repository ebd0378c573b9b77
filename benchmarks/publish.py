"""Put a trained network into the zoo: its weights, its proven flatbuffer, and their checksums.

python -m benchmarks.publish RUN
python -m benchmarks.publish zoo/results/weights/STUDY/NAME.npz --data-dir DIR
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
import time
from pathlib import Path

import click

from benchmarks import results, study
from ftbnn_larq import cli, documents, runs
from ftbnn_larq.cli.output import load_tensorflow, say
from ftbnn_larq.documents import Training, Weights
from ftbnn_larq.errors import ConfigError
from ftbnn_larq.files import read_json, sha256, write_json
from ftbnn_larq.zoo import register, trained


def publish(run_path: str | Path, here: Path | None = None) -> Path:
    """Write NAME-DATASET.npz, .tflite and .json of a finished run to `here`, by default the zoo's; gives the first.

    The description in the .npz holds model, data, seed, recipe, what was changed of the run's length, versions, date,
    and top-1 of Keras and of LCE on the test split, from the weights as they are stored. Where anything fails, `here`
    stays as it was.
    """
    from ftbnn_larq.conversion.convert import convert
    from ftbnn_larq.inference.evaluation import evaluate
    from ftbnn_larq.models.weights import save_compact

    here = here or register.WEIGHTS
    here.mkdir(parents=True, exist_ok=True)
    run = runs.open_run(run_path)
    data = dataclasses.replace(run.config.data, data_dir=None)
    name = f"{run.model_name}-{data.name}.npz"
    with tempfile.TemporaryDirectory(prefix=".publishing-", dir=here) as folder:
        target = Path(folder) / name
        flatbuffer, sidecar = target.with_suffix(".tflite"), target.with_suffix(".json")
        convert(run.path, output=flatbuffer)
        write_json(
            sidecar, {**read_json(sidecar), "path": flatbuffer.name, "run": None, "data": dataclasses.asdict(data)}
        )
        data_dir = run.config.data.data_dir
        description = Weights(
            model=run.config.model,
            data=data,
            seed=run.config.seed,
            recipe=documents.read_toml(run.path / runs.RECIPE, ConfigError),
            length_changed=run.config.length_changed,
            versions=run.config.versions,
            date=time.strftime("%Y-%m-%d"),
            keras=_accuracy(evaluate(run.path)),
            lce=_accuracy(evaluate(flatbuffer, data_dir=data_dir, engine="lce")),
        )
        save_compact(trained.load_run(run), target, description)
        checksums = read_json(here / register.CHECKSUMS) if (here / register.CHECKSUMS).is_file() else {}
        checksums |= {file.name: sha256(file) for file in (target, flatbuffer, sidecar)}
        write_json(Path(folder) / register.CHECKSUMS, checksums)
        for file in (target, flatbuffer, sidecar, Path(folder) / register.CHECKSUMS):
            os.replace(file, here / file.name)
    return here / name


def run_of_line(weights: Path, output: str | Path, data_dir: str | None) -> Path:
    """A run folder below `output` of what a study keeps of a line: network, recipe, and weights of the last epoch.

    Raises:
        ConfigError: the weights are of no line of the study whose folder they are in.
    """
    from ftbnn_larq.models.weights import load_weights, read_description, save_weights

    lines = {results.weights_path(row): row for row in results.read(weights.parent.name)}
    row = lines.get(results.HERE / "weights" / weights.parent.name / weights.name)
    if row is None:
        raise ConfigError(f"{weights}: weights of no line of {results.path(weights.parent.name)}")
    described = read_description(weights)
    data = dataclasses.replace(described.data, data_dir=data_dir)
    told = dict(each.split(" ") for each in row["versions"].split("; "))
    how = study.recipe_of(row["recipe"], row["epochs"]).replace(precision=told.get("precision"))
    run = runs.create_run(output, Training(described.model, data, described.seed, described.versions), how)
    network = trained.build(run)
    load_weights(network, weights)
    save_weights(network, run.weights)
    return run.path


def _accuracy(result: dict) -> dict:
    return {key: result[key] for key in ("examples", "top1", "top5")}


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--data-dir", help="Where TFDS keeps its data sets, for the weights of a study.")
def main(source: Path, data_dir: str | None) -> None:
    """Publish the network of SOURCE, a finished run or the weights of a study's line, in the zoo.

    Then run python -m benchmarks.tables for its card.
    """
    load_tensorflow()
    with tempfile.TemporaryDirectory() as folder:
        run = run_of_line(source, folder, data_dir) if source.suffix == ".npz" else source
        say(f"wrote {publish(run)}")


if __name__ == "__main__":
    cli.main(main, "python -m benchmarks.publish")
