"""The README's main job, command by command, each in a process of its own: python -m benchmarks.main_job

The whole of it is timed with seed 0; further seeds are trained alone, for their top-1. Writes
zoo/results/main_job.json; python -m benchmarks.tables shows it.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time

import click

from benchmarks.results import HERE
from benchmarks.training import vector_instructions
from ftbnn_larq import cli, runs, zoo
from ftbnn_larq.cli.output import load_tensorflow, say
from ftbnn_larq.files import write_json

FILE = HERE / "main_job.json"
TRAIN = ["train", "ftbnn_r18"]
CONVERT = ["convert", "--to", "tflite"]
BENCHMARK = ["benchmark"]
COMMANDS = (TRAIN, CONVERT, BENCHMARK)
SEEDS = (0, 1, 2)


def run(command: list[str], folder: str) -> tuple[dict | list, float]:
    """What a command prints as JSON, and the seconds from its start to its end.

    Raises:
        CalledProcessError: it failed.
    """
    say(f"ftbnn-larq {' '.join(command)} ...")
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, str(zoo.HERE.parent / "cli.py"), *command, "--json"],
        cwd=folder,
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(done.stdout), round(time.perf_counter() - begin, 1)


def measure(folder: str) -> dict:
    """Run the main job in a folder: what it came to, and the seconds that each command took. Raises as `run` does."""
    seconds = {}
    trained, seconds["train"] = run(TRAIN, folder)
    converted, seconds["convert"] = run(CONVERT, folder)
    _, seconds["benchmark"] = run(BENCHMARK, folder)
    others = [run([*TRAIN, "--seed", str(seed)], folder)[0] for seed in SEEDS[1:]]
    config = runs.open_run(os.path.join(folder, trained["run"])).config
    return {
        "model": trained["model"],
        "width": config.model.options["width"],
        "dataset": trained["dataset"],
        "epochs": trained["epochs"],
        "seeds": SEEDS,
        "top1": [each["top1"] for each in (trained, *others)],
        "flatbuffer_top1": converted["top1"]["lce"],
        "bytes": converted["bytes"],
        "seconds": seconds,
        "cores": len(os.sched_getaffinity(0)),
        "machine": f"{platform.machine()} with {vector_instructions()}",
        "versions": converted["versions"],
        "date": time.strftime("%Y-%m-%d"),
    }


@click.command()
def main() -> None:
    """Run the main job in a folder that is removed again, and write what it came to."""
    with tempfile.TemporaryDirectory() as folder:
        load_tensorflow()
        document = measure(folder)
    write_json(FILE, document)
    say(f"wrote {FILE}; python -m benchmarks.tables shows it in the README")


if __name__ == "__main__":
    cli.main(main, "python -m benchmarks.main_job")
