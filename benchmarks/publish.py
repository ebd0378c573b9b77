"""Put a run's network into the zoo: its weights, its proven flatbuffer, and their checksums.

python -m benchmarks.publish RUN
"""

from __future__ import annotations

import time
from pathlib import Path

import click

from ftbnn_larq import runs, zoo
from ftbnn_larq.cli.output import load_tensorflow, say
from ftbnn_larq.errors import FtbnnError
from ftbnn_larq.files import read_json, sha256, write_json
from ftbnn_larq.recipe import tomllib


def publish(run_path: str | Path, here: Path | None = None) -> Path:
    """Write NAME-DATASET.npz, .tflite and .json of a finished run to `here`, by default the zoo's; gives the first.

    The description in the .npz holds model, data, seed, recipe, versions, date, and top-1 of Keras and of LCE on the
    test split, from the weights as they are stored.
    """
    from ftbnn_larq.deploy.convert import convert
    from ftbnn_larq.evaluation import evaluate
    from ftbnn_larq.weights import save_compact

    here = here or zoo.WEIGHTS
    run = runs.open_run(run_path)
    data = {**run.config["data"], "data_dir": None}
    target = here / f"{run.model_name}-{data['name']}.npz"
    flatbuffer = target.with_suffix(".tflite")
    convert(run.path, output=flatbuffer)
    sidecar = target.with_suffix(".json")
    write_json(sidecar, {**read_json(sidecar), "path": flatbuffer.name, "run": None, "data": data})
    data_dir = run.config["data"]["data_dir"]
    description = {
        "model": run.config["model"],
        "data": data,
        "seed": run.config["seed"],
        "recipe": tomllib.loads((run.path / runs.RECIPE).read_text()),
        "versions": run.config["versions"],
        "date": time.strftime("%Y-%m-%d"),
        "keras": _accuracy(evaluate(run.path)),
        "lce": _accuracy(evaluate(flatbuffer, data_dir=data_dir)),
    }
    save_compact(run.load_model(), target, description)
    names = [target.name, flatbuffer.name, sidecar.name]
    known = read_json(here / zoo.CHECKSUMS) if (here / zoo.CHECKSUMS).is_file() else {}
    write_json(here / zoo.CHECKSUMS, {**known, **{name: sha256(here / name) for name in names}})
    return target


def _accuracy(result: dict) -> dict:
    return {key: result[key] for key in ("examples", "top1", "top5")}


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
def main(run: Path) -> None:
    """Publish the network of a finished RUN in the zoo; then run python -m benchmarks.tables for its card."""
    try:
        load_tensorflow()
        say(f"wrote {publish(run)}")
    except FtbnnError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
