"""What ftbnn-runtime brings on this machine, beside LCE: times of one inference, threads, memory.

python -m benchmarks.runtime

Writes zoo/results/runtime.json. Networks take 224x224 pictures in 1,000 classes and have random weights, as in
benchmarks.deployment, which converts them. LCE runs its indirect kernel, its fastest on x86-64. Interpreters are timed
in turn, several inferences each a round, the first ones not timed. The least time of a round counts, for other work of
a machine only adds to it; a ratio is the median over the rounds, so drift of the machine hits all alike. Small float
networks stand beside them: TFLite runs these with XNNPACK.
"""

from __future__ import annotations

import contextlib
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import numpy as np

from benchmarks import deployment, markdown
from benchmarks.results import HERE
from ftbnn_larq import cli, runs, zoo
from ftbnn_larq.benchmarking.networks import INT8
from ftbnn_larq.cli.output import load_tensorflow, say
from ftbnn_larq.files import read_json, write_json
from ftbnn_larq.inference.interpreter import Interpreter, host_kernel, kernels
from ftbnn_runtime.native import library

FILE = HERE / "runtime.json"

OURS = ("ftbnn_r18_pure", "ftbnn_r18", "bireal_r18")
OTHERS = ("larq_zoo:QuickNet", "larq_zoo:BiRealNet")
FLOATS = tuple(name + bits for name in ("keras:MobileNetV2", "keras:MobileNetV3Small") for bits in ("", INT8))
SMALL = "ftbnn_r18_pure:cifar10"
# Of a round: inferences before timing, which bring weights and maps back into the caches, and timed ones.
WARMUP, RUNS = 3, 8
BUSY = "while True: pass"


def picture() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((1, 224, 224, 3), np.float32)


def in_turn(settings: dict[str, dict], rounds: int, of: Callable = min) -> dict[str, dict]:
    """Time interpreters in turn.

    Arguments:
        settings: `{name: arguments of Interpreter}`.
        of: what makes one time of a round's.

    Returns:
        `{name: {milliseconds, ratio}}`: medians, the ratio that of the first one's time to this one's.
    """
    times = {name: [] for name in settings}
    with contextlib.ExitStack() as stack:
        interpreters = {name: stack.enter_context(Interpreter(**given)) for name, given in settings.items()}
        for _ in range(rounds):
            for name, interpreter in interpreters.items():
                told = interpreter.time(picture(), warmup=WARMUP, runs=RUNS)
                times[name].append(of(told["times_ms"]))
    first = next(iter(times.values()))
    return {
        name: {
            "milliseconds": round(statistics.median(own), 3),
            "ratio": round(statistics.median(a / b for a, b in zip(first, own, strict=True)), 2),
        }
        for name, own in times.items()
    }


def added_memory(settings: dict[str, dict]) -> dict[str, float]:
    """MiB that each interpreter's process holds at most beyond what it does with a network a hundred times smaller."""

    def held(given: dict) -> float:
        with Interpreter(**given) as interpreter:
            return interpreter.time(np.zeros(interpreter.input_shape, np.float32), warmup=1, runs=1)["peak_memory_mb"]

    small = zoo.published_flatbuffer(SMALL)
    return {name: round(held(given) - held({**given, "path": small}), 1) for name, given in settings.items()}


@contextlib.contextmanager
def busy_cores() -> Iterator[None]:
    """Each core has something else to do."""
    others = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def threads(path: Path, rounds: int) -> dict[str, float]:
    """How many times as fast two threads are as one: `{idle, busy}`."""
    settings = {str(count): {"path": path, "engine": "ftbnn", "threads": count} for count in (1, 2)}
    idle = in_turn(settings, rounds)["2"]["ratio"]
    with busy_cores():
        # Here other work is what is asked for: no round's best.
        return {"idle": idle, "busy": in_turn(settings, rounds, of=statistics.median)["2"]["ratio"]}


def measure(rounds: int) -> dict:
    networks = {}
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder) / f"{name.replace(':', '-')}.tflite" for name in (*OURS, *OTHERS, *FLOATS)}
        for name, path in paths.items():
            say(f"converting {name} ...")
            (deployment.convert_ours if name in OURS else deployment.convert_other)(name, path)
        for name in (*OURS, *OTHERS):
            say(f"timing {name} ...")
            settings = {"lce": {"path": paths[name], "kernel": host_kernel()}}
            settings |= {isa: {"path": paths[name], "kernel": isa} for isa in kernels("ftbnn")}
            networks[name] = in_turn(settings, rounds) | {"threads": threads(paths[name], rounds)}
            networks[name]["added_mb"] = added_memory(settings)
        say("timing all beside each other ...")
        beside = {name: {"path": paths[name], "engine": "ftbnn"} for name in (*OURS, *OTHERS)}
        beside |= {name: {"path": paths[name], "engine": "tflite"} for name in FLOATS}
        together = in_turn(beside, rounds)
    return {
        "date": time.strftime("%Y-%m-%d"),
        "versions": runs.versions(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "lce_kernel": host_kernel(),
        "rounds": rounds,
        "inferences": RUNS,
        "library_bytes": library().stat().st_size,
        "networks": networks,
        "together": together,
    }


def table() -> list[str]:
    """How many times as fast as LCE each network runs, then all times beside those of small float networks."""
    document = read_json(FILE)
    networks, together = document["networks"], document["together"]
    isas = [name for name in next(iter(networks.values())) if name not in ("lce", "threads", "added_mb")]
    rows = []
    for name, row in networks.items():
        memory = row["added_mb"][isas[0]] / row["added_mb"]["lce"]
        two = [f"{row['threads'][cores]:.2f}" for cores in ("idle", "busy")]
        rows.append([f"`{name}`", *(f"{row[isa]['ratio']:.1f}" for isa in isas), *two, f"{memory:.2f}"])
    columns = [*(f"{isa}, speed / LCE" for isa in isas), "2 threads / 1", "on busy cores", "memory / LCE"]
    reference = together[FLOATS[0]]["milliseconds"]
    beside = [
        [
            f"`{name}`",
            "TFLite, XNNPACK" if name in FLOATS else "ftbnn-runtime",
            f"{row['milliseconds'] / reference:.2f}",
        ]
        for name, row in sorted(together.items(), key=lambda item: item[1]["milliseconds"])
    ]
    versions = document["versions"]
    return [
        *markdown.table(["network", *columns], rows),
        "",
        *markdown.table(["network", "run by", f"time / `{FLOATS[0]}`"], beside),
        "",
        f"Measured {document['date']} on {document['machine']} with LCE {versions['larq-compute-engine']}, "
        f"{document['lce_kernel']} kernel, and TensorFlow {versions['tensorflow']}; 224x224 pictures, 1,000 classes, "
        f"one thread where nothing else is said, medians of {document['rounds']} turns, of each the least of "
        f"{document['inferences']} inferences, on busy cores their median. Memory is what a network adds to the "
        "process, at most: the interpreters differ by more.",
    ]


@click.command()
@click.option("--rounds", type=int, default=15, show_default=True, help="How often each interpreter has its turn.")
@click.option("--output", type=click.Path(path_type=Path), default=FILE, help="[default: zoo/results/runtime.json]")
def main(rounds: int, output: Path) -> None:
    """Measure ftbnn-runtime, write it to zoo/results/runtime.json."""
    load_tensorflow()
    write_json(output, measure(rounds))
    say(f"wrote {output}; python -m benchmarks.tables shows it in docs/runtime.md")


if __name__ == "__main__":
    cli.main(main, "python -m benchmarks.runtime")
