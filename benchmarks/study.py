"""Train every variant of a study and write one line for each into zoo/results.

python -m benchmarks.study benchmarks/studies/path.toml --data-dir DIR

Goes on where it was stopped. Two of them at once share the work: each run is done by one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import click

from benchmarks import results, subsets
from ftbnn_larq import cli, documents, recipe, runs, zoo
from ftbnn_larq.cli.output import load_tensorflow, say
from ftbnn_larq.documents import DataConfig
from ftbnn_larq.errors import ConfigError, ConversionError, TrainingError, UnknownNameError, one_line
from ftbnn_larq.zoo import networks, peers

_KEYS = {"study": str, "dataset": str, "recipe": str, "epochs": int, "width": int, "seeds": list, "variant": list}
_VARIANT_KEYS = {"model": str, "options": dict, "dataset": str, "recipe": str, "seeds": list}


@dataclasses.dataclass(frozen=True)
class Job:
    """One run of a study."""

    study: str
    model: str
    options: dict
    dataset: str
    recipe: str
    width: int
    seed: int
    epochs: int

    @property
    def key(self) -> dict:
        """What tells its row from others."""
        return {**dataclasses.asdict(self), "options": json.dumps(self.options, sort_keys=True)}

    @property
    def name(self) -> str:
        return results.run_name(self.key)


def read(path: str | Path) -> list[Job]:
    """The runs of a study file, first seeds first.

    Raises:
        ConfigError: no such file, no TOML, a key missing or of another type; UnknownNameError: an unknown key, model,
            option or recipe.
    """
    try:
        document = documents.read_toml(path, ConfigError)
    except OSError as error:
        raise ConfigError(f"{path}: no study file: {one_line(error)}") from error
    _check(document, _KEYS, path, optional=())
    recipe_of(document["recipe"], document["epochs"])
    jobs = []
    for variant in document["variant"]:
        _check(variant, _VARIANT_KEYS, f"{path}, a variant", optional=("options", "dataset", "recipe", "seeds"))
        # As on the command line, and as a run's config.json gives them back.
        options = {name: tuple(v) if isinstance(v, list) else v for name, v in variant.get("options", {}).items()}
        if "width" in options:
            raise ConfigError(
                f"{path}, a variant: width = {options['width']!r}: a study's `width` is that of all of them"
            )
        networks.check(variant["model"], {**options, "width": document["width"]})
        common = {key: document[key] for key in ("study", "dataset", "recipe", "width", "epochs")}
        common |= {key: variant[key] for key in ("dataset", "recipe") if key in variant}
        subsets.parse(common["dataset"])
        networks.check_recipe(variant["model"], recipe_of(common["recipe"], common["epochs"]))
        seeds = variant.get("seeds", document["seeds"])
        jobs += [Job(model=variant["model"], options=options, seed=seed, **common) for seed in seeds]
    return sorted(jobs, key=lambda job: job.seed)


def _check(table: dict, kinds: dict, where, optional: tuple) -> None:
    for key, value in table.items():
        if key not in kinds:
            raise UnknownNameError(f"key in {where}:", key, kinds)
        if not isinstance(value, kinds[key]):
            raise ConfigError(f"{where}: {key} = {value!r} is not of type {kinds[key].__name__}")
    for key in kinds:
        if key not in table and key not in optional:
            raise ConfigError(f"{where}: {key} is missing")


def recipe_of(words: str, epochs: int) -> recipe.Recipe:
    """A recipe of the zoo with another number of epochs, from its name and what is changed: "study learning_rate=1e-3".

    Raises:
        ConfigError: a change that is no KEY=VALUE, with VALUE as in TOML, or of the epochs, which the study sets for
            all of its variants; UnknownNameError: no such recipe or key.
    """
    name, changes = results.recipe_name_and_changes(words)
    known = [file.stem for file in (zoo.HERE / "recipes").glob("*.toml")]
    if name not in known:
        raise UnknownNameError("recipe", name, known)
    table = documents.parse_toml("\n".join(changes), f"recipe {words!r}, NAME and then KEY=VALUE", ConfigError)
    if "epochs" in table:
        raise ConfigError(f"recipe {words!r}: a study's `epochs` say how long all of its variants are trained")
    base = recipe.read(zoo.HERE / "recipes" / f"{name}.toml")
    return recipe.from_table(table, f"recipe {words!r}", base).replace(epochs=epochs)


def commit() -> str:
    """The commit of the checkout, "+" behind it if files differ from it; "" outside of one."""

    def git(*arguments):
        return subprocess.run(["git", "-C", zoo.HERE, *arguments], capture_output=True, text=True)

    head = git("rev-parse", "--short", "HEAD")
    if head.returncode:
        return ""
    sources = ("../ftbnn_larq", "../zoo/__init__.py", "../zoo/register.py", "../zoo/recipes")
    changed = git("status", "--porcelain", "--untracked-files=no", "--", *sources)
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")


@contextlib.contextmanager
def _claimed(folder: Path) -> Iterator[bool]:
    """Whether this process is the first to take `folder`, which is its own until it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".claim", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def train(job: Job, folder: Path, data_dir: str | None, pictures: str | None = None) -> dict:
    """Train, or go on with, a job's run below `folder`; the row for it.

    `pictures` is a `folder:PATH` of the data set's pictures, in place of TFDS's.

    Raises:
        TrainingInterrupted: Ctrl-C.
    """
    from ftbnn_larq.cli.bars import EpochBars
    from ftbnn_larq.training import loop, sources

    started, versions = commit(), runs.versions()
    row = {**job.key, **dict.fromkeys(results.COLUMNS[len(results.KEY) :])}
    begun = [path.parent for path in folder.glob(f"*/{runs.CONFIG}")]
    try:
        with contextlib.closing(EpochBars()) as bars:
            if begun:
                result = loop.resume(begun[0], data_dir=data_dir, callbacks=(bars,))
            else:
                how = recipe_of(job.recipe, job.epochs)
                channels = sources.channels(how.init_from) if how.init_from else None
                place = {"data_dir": data_dir, "pictures": pictures, "channels": channels}
                loaded = subsets.load(job.dataset, folder.parent / "pictures", **place)
                options = {**job.options, "width": job.width}
                result = loop.start(
                    job.model, loaded, how, options=options, seed=job.seed, output=folder, callbacks=(bars,)
                )
        row |= {"top1": result["last"]["top1"], "seconds": result["seconds"]}
        run = runs.open_run(result["run"])
        row |= measure(run, job, data_dir)
        if run.config.data.name.startswith("folder:"):
            versions["pictures"] = "folder"
        versions["precision"] = recipe.read(run.path / runs.RECIPE).precision
    except TrainingError as error:
        if "the loss is" not in str(error):
            raise
        say(f"{job.name}: {error}")
        row |= {"top1": float("nan"), "seconds": 0.0, "ops": float("nan")}
    told = "; ".join(f"{name} {version}" for name, version in versions.items())
    return {**row, "versions": told, "date": time.strftime("%Y-%m-%d"), "commit": started}


def measure(run: runs.Run, job: Job, data_dir: str | None) -> dict:
    """Costs of a run's network, and size and top-1 of the flatbuffer that its last epoch makes."""
    from ftbnn_larq.analysis.counts import count
    from ftbnn_larq.models.weights import save_compact
    from ftbnn_larq.training import loop

    network = loop.last_epoch(run, data_dir=data_dir)
    _, taken = subsets.parse(job.dataset)
    # What learned a few pictures for a comparison is of use to nobody.
    if job.model not in peers.NAMES and not taken:
        # Where the pictures were on this machine is nobody's concern.
        data = dataclasses.replace(run.config.data, name=job.dataset, data_dir=None, fingerprint=None)
        save_compact(network, results.weights_path(job.key), dataclasses.replace(run.config, data=data))
    counted = count(network)
    params = counted["params"]
    row = {"ops": counted["ops"], "params_binary": params["binary"], "params_float": params["float"]}
    described = run.config.data
    return {**row, **flatbuffer(network, described, data_dir or described.data_dir)}


def again(row: dict, data_dir: str | None, pictures: str | None = None) -> dict:
    """A row with the columns of its flatbuffer made anew from its weights; as it was where none are stored."""
    from ftbnn_larq.models.weights import load_weights, read_description

    path = results.weights_path(row)
    if not path.is_file():
        return row
    described = read_description(path)
    network = networks.rebuild(described.model)
    load_weights(network, path)
    data = dataclasses.replace(described.data, name=pictures or described.data.name)
    return {**row, **flatbuffer(network, data, data_dir)}


def flatbuffer(network, data: DataConfig, data_dir: str | None) -> dict:
    """Bytes and top-1 of a network's flatbuffer on the test split of the data set that it was trained on.

    Both are None where the conversion is refused.
    """
    import tempfile

    from ftbnn_larq.analysis.accuracy import accuracy
    from ftbnn_larq.conversion.convert import convert_model
    from ftbnn_larq.data import load, pipeline
    from ftbnn_larq.inference.interpreter import Interpreter
    from ftbnn_larq.models import ends

    described = dataclasses.replace(data, data_dir=data_dir)
    data = load(described.name, data_dir=data_dir, config=described)
    batches = pipeline.batches(data.test, described, 128)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        try:
            document = convert_model(ends.up_to_logits(network), path, next(batches.as_numpy_iterator())[0])
        except ConversionError as error:
            say(f"no flatbuffer: {error}")
            return {"bytes": None, "flatbuffer_top1": None}
        with Interpreter(path) as interpreter:
            top1 = accuracy(interpreter.predict, batches.as_numpy_iterator())["top1"]
    return {"bytes": document["bytes"], "flatbuffer_top1": top1}


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--data-dir", help="Where TFDS keeps its data sets.")
@click.option("--pictures", metavar="folder:PATH", help="The data set as a folder of class folders, not by TFDS.")
@click.option("--output", type=click.Path(path_type=Path), default=Path("runs/studies"), show_default=True)
@click.option("--threads", type=int, help="Threads for the arithmetic.  [default: all cores]")
@click.option("--limit", type=int, help="End after so many runs.")
@click.option("--flatbuffers", is_flag=True, help="Train nothing: make the flatbuffers of all lines anew.")
def main(
    file: Path,
    data_dir: str | None,
    pictures: str | None,
    output: Path,
    threads: int | None,
    limit: int | None,
    flatbuffers: bool,
):
    """Train the runs of a study FILE that have no line in zoo/results yet."""
    jobs = read(file)
    load_tensorflow()
    if threads:
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    if flatbuffers:
        for row in results.read(jobs[0].study):
            results.add(row["study"], new := again(row, data_dir, pictures))
            say(f"{results.run_name(row)}: {row['bytes']} -> {new['bytes']} bytes")
        return
    done = 0
    for job in jobs:
        with _claimed(output / job.study / job.name) as mine:
            key = job.key
            if not mine or any(all(row[k] == key[k] for k in key) for row in results.read(job.study)):
                continue
            say(f"{job.study}: {job.name}, {job.model} {job.options or ''}")
            row = train(job, output / job.study / job.name, data_dir, pictures)
            results.add(job.study, row)
            say(f"{job.name}: top-1 {row['top1']:.2%}")
            done += 1
        if limit and done >= limit:
            break


if __name__ == "__main__":
    cli.main(main, "python -m benchmarks.study")
