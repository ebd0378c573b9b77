"""What deployment makes of the zoo on this machine: operators, bytes, time, beside networks of others.

python -m benchmarks.deployment

Writes zoo/results/deployment.json. Networks take 224x224 pictures in 1,000 classes and have
random weights, but batch norms and slopes as if trained, so that nothing is optimised away. Files are timed in turn,
an inference each, so that drift of the machine hits all alike.

larq-zoo's networks are converted by LCE as they are. Those of tf.keras.applications are plain TFLite, in float and in
8 bits with float input and output; TFLite's interpreter runs them with XNNPACK. LCE is made for ARM: on x86-64 its
times rank the networks that it runs, and nothing else.
"""

from __future__ import annotations

import contextlib
import platform
import statistics
import tempfile
import time
from pathlib import Path

import click
import numpy as np

from benchmarks.results import HERE, STEPS
from ftbnn_larq import cli, runs
from ftbnn_larq.benchmarking.networks import INT8
from ftbnn_larq.cli.output import load_tensorflow, say
from ftbnn_larq.files import write_json
from ftbnn_larq.zoo import applications, networks

FILE = HERE / "deployment.json"

# To these each network's time is told.
PEERS = ("larq_zoo:BiRealNet", "larq_zoo:QuickNet", "keras:MobileNetV3Small")
OTHERS = (*PEERS, PEERS[2] + INT8, "keras:MobileNetV2", "keras:MobileNetV2" + INT8)
# Whose conversions are compared: ours with all passes, and LCE's own of the peer.
CONVERTED, CONVERTED_PEER = "ftbnn_r18", PEERS[0]


def network(name: str):
    """A network with random weights; batch norms and what non-linearities learn are moved off their start values."""
    import tensorflow as tf

    from ftbnn_larq.models import ends, nonlinearities

    tf.keras.utils.set_random_seed(1)
    model = networks.create(name.removesuffix(INT8), input_shape=(224, 224, 3), num_classes=1000)
    moved = (tf.keras.layers.BatchNormalization, nonlinearities.PReLU, nonlinearities.FPReLU, nonlinearities.RPReLU)
    generator = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, moved):
            weights = [weight + generator.uniform(0, 0.2, weight.shape) for weight in layer.get_weights()]
            layer.set_weights([np.float32(weight) for weight in weights])
    return ends.up_to_logits(model)


def needed(model, document: dict) -> int:
    """Bytes that the weights take: a bit for a binary one, 8 for one of a kernel in 8 bits, 32 for any other."""
    from ftbnn_larq.analysis.counts import count

    rounded = sum(model.get_layer(name).kernel.shape.num_elements() for name in document["int8"]["layers"])
    return count(model)["weights_bytes"] - 3 * rounded


def convert_ours(name: str, path: Path) -> dict:
    from ftbnn_larq.conversion.convert import convert_model

    model = network(name)
    pictures = np.random.default_rng(0).standard_normal((2, 224, 224, 3), np.float32)
    document = convert_model(model, path, pictures)
    kept = ("bytes", "operators", "passes", "sign_ties", "max_abs_diff", "logits_range")
    return {"bytes_needed": needed(model, document)} | {key: document[key] for key in kept}


def convert_other(name: str, path: Path) -> dict:
    from ftbnn_larq.conversion import census
    from ftbnn_larq.conversion.plain import to_tflite

    plain, model = name.startswith(applications.PREFIX), network(name)
    path.write_bytes(to_tflite(model, int8=name.endswith(INT8)) if plain else by_lce(model))
    operators = census.census(census.operators(path.read_bytes(), path))
    return {"bytes": path.stat().st_size, "operators": operators}


def by_lce(model) -> bytes:
    import larq_compute_engine as lce

    from ftbnn_larq.quiet import quiet_native_stderr

    with quiet_native_stderr():
        return lce.convert_keras_model(model)


def time_files(files: dict[str, Path], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of one inference, one thread, this machine's fastest kernel: `{name: [rounds numbers]}`."""
    from ftbnn_larq.benchmarking.models import read_model
    from ftbnn_larq.inference.interpreter import Interpreter, host_kernel

    pictures = np.random.default_rng(0).standard_normal((1, 224, 224, 3), np.float32)
    with contextlib.ExitStack() as stack:
        interpreters = {
            name: stack.enter_context(Interpreter(path, kernel=read_model(path).kernel((host_kernel(), ""))[0]))
            for name, path in files.items()
        }
        times = {name: [] for name in files}
        for interpreter in interpreters.values():
            interpreter.time(pictures, warmup=3, runs=1)
        for _ in range(rounds):
            for name, interpreter in interpreters.items():
                times[name] += interpreter.time(pictures, warmup=0, runs=1)["times_ms"]
    return times


def time_conversions(rounds: int) -> list[float]:
    """How long our conversion takes, all passes, over LCE's own of the peer, in turn."""
    from ftbnn_larq.conversion import passes
    from ftbnn_larq.conversion.converter import to_flatbuffer
    from ftbnn_larq.conversion.flatbuffer import Graph

    model, peer = network(CONVERTED), network(CONVERTED_PEER)
    ratios = []
    for _ in range(rounds):
        begin = time.perf_counter()
        passes.run(Graph(to_flatbuffer(model).flatbuffer), passes.chosen())
        between = time.perf_counter()
        by_lce(peer)
        ratios.append((between - begin) / (time.perf_counter() - between))
    return ratios


def measure(rounds: int, conversions: int) -> dict:
    from ftbnn_larq.inference.interpreter import host_kernel

    rows, files = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for name in (*STEPS, *OTHERS):
            say(f"converting {name} ...")
            files[name] = Path(folder) / f"{name.replace(':', '-')}.tflite"
            rows[name] = (convert_other if name in OTHERS else convert_ours)(name, files[name])
        say("timing ...")
        times = time_files(files, rounds)
    for name, row in rows.items():
        row["milliseconds"] = round(statistics.median(times[name]), 3)
        for peer in PEERS:
            pairs = zip(times[name], times[peer], strict=True)
            row[f"time_to_{peer}"] = round(statistics.median(own / other for own, other in pairs), 3)
    say("timing conversions ...")
    return {
        "date": time.strftime("%Y-%m-%d"),
        "versions": runs.versions(),
        "machine": platform.machine(),
        "kernel": host_kernel(),
        "threads": 1,
        "rounds": rounds,
        "conversion_time": {
            "of": CONVERTED,
            "to": CONVERTED_PEER,
            "ratio": round(statistics.median(time_conversions(conversions)), 3),
        },
        "networks": rows,
    }


@click.command()
@click.option("--rounds", type=int, default=25, show_default=True, help="Timed inferences of each network.")
@click.option("--conversions", type=int, default=3, show_default=True, help="Timed conversions.")
@click.option("--output", type=click.Path(path_type=Path), default=FILE, help="[default: zoo/results/deployment.json]")
def main(rounds: int, conversions: int, output: Path) -> None:
    """Measure deployment, write it to zoo/results/deployment.json."""
    load_tensorflow()
    write_json(output, measure(rounds, conversions))
    say(f"wrote {output}; python -m benchmarks.tables shows it in docs/speed.md")


if __name__ == "__main__":
    cli.main(main, "python -m benchmarks.deployment")
