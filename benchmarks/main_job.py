"""The README's main job, command by command, each in a process of its own: python -m benchmarks.main_job

Writes zoo/results/main_job.json; python -m benchmarks.tables shows it in the README.
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
from ftbnn_larq.cli.output import say
from ftbnn_larq.files import write_json

FILE = HERE / "main_job.json"
COMMANDS = (["train", "ftbnn_r18"], ["convert", "--to", "tflite"], ["benchmark"])


def measure(folder: str) -> dict:
    """Run `COMMANDS` in a folder: what they came to, and the seconds that each took from its start to its end.

    Raises:
        CalledProcessError: one of them failed.
    """
    seconds, documents = {}, {}
    for command in COMMANDS:
        say(f"ftbnn-larq {' '.join(command)} ...")
        begin = time.perf_counter()
        done = subprocess.run(
            [sys.executable, str(zoo.HERE.parent / "cli.py"), *command, "--json"],
            cwd=folder,
            stdout=subprocess.PIPE,
            check=True,
        )
        seconds[command[0]] = round(time.perf_counter() - begin, 1)
        documents[command[0]] = json.loads(done.stdout)
    trained, converted = documents["train"], documents["convert"]
    config = runs.open_run(os.path.join(folder, trained["run"])).config
    return {
        "model": trained["model"],
        "width": config["model"]["options"]["width"],
        "dataset": trained["dataset"],
        "seed": config["seed"],
        "epochs": trained["epochs"],
        "top1": trained["top1"],
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
        document = measure(folder)
    write_json(FILE, document)
    say(f"wrote {FILE}; python -m benchmarks.tables shows it in the README")


if __name__ == "__main__":
    cli.main(main, "python -m benchmarks.main_job")
