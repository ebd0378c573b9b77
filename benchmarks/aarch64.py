"""Instructions of one inference on aarch64, in an emulator: python -m benchmarks.aarch64

The stock interpreter runs each network with the runtime's library; qemu-user counts. A count is the same each time. It
is no time: no board was measured. Networks take 224x224 pictures in 1,000 classes and have random weights, but for the
published ones. Writes zoo/results/aarch64.json; python -m benchmarks.tables shows it.

What LCE takes stands in the file already and stays: its own benchmark tool, built for aarch64, was counted in the same
way.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import click

from benchmarks import deployment, emulated, markdown
from benchmarks.results import HERE
from ftbnn_larq import cli, runs, zoo
from ftbnn_larq.benchmarking.networks import INT8
from ftbnn_larq.cli.output import load_tensorflow, say
from ftbnn_larq.files import read_json, write_json

FILE = HERE / "aarch64.json"
OURS = ("ftbnn_r18_pure", "ftbnn_r18", "bireal_r18", "ftbnn_r34_pure", "ftbnn_r34")
PUBLISHED = ("ftbnn_r18_pure:cifar10", "ftbnn_r18:cifar10")
OTHERS = ("larq_zoo:QuickNet", "larq_zoo:BiRealNet")
# Plain TFLite, by the interpreter's XNNPACK alone.
FLOAT = ("keras:MobileNetV3Small", "keras:MobileNetV2")
NETWORKS = (*OURS, *OTHERS, *PUBLISHED, *FLOAT, *(name + INT8 for name in FLOAT))


def flatbuffer(name: str, folder: Path) -> Path:
    """A network's flatbuffer: a published one, or converted into the folder."""
    if name in PUBLISHED:
        return zoo.published_flatbuffer(name)
    path = folder / "model.tflite"
    (deployment.convert_ours if name in OURS else deployment.convert_other)(name, path)
    return path


def measure(names: tuple[str, ...], cpu: str) -> dict:
    """Count each network's instructions.

    Raises:
        ToolError: the emulated system cannot be made.
    """
    system = emulated.system()
    counts = {}
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            say(f"counting {name} ...")
            counts[name] = system.instructions(flatbuffer(name, Path(folder)), cpu)
            say(f"  {counts[name] / 1e6:.1f} million")
    return {
        "date": time.strftime("%Y-%m-%d"),
        "versions": {**runs.versions(), **system.versions()},
        "cpu": cpu,
        "threads": 1,
        "library_bytes": system.library.stat().st_size,
        "instructions": counts,
    }


def table() -> list[str]:
    """Instructions of one inference, by our runtime and by LCE."""
    document = read_json(FILE)
    lce = document["lce"]
    rows = []
    for name, count in document["instructions"].items():
        by_lce = lce["instructions"].get(name)
        theirs = [f"{by_lce / 1e6:.1f}", f"{count / by_lce:.2f}"] if by_lce else ["", ""]
        rows.append([f"`{name}`", f"{count / 1e6:.1f}", *theirs])
    versions = document["versions"]
    return [
        *markdown.table(["network", "million instructions", "by LCE", "ratio"], rows),
        "",
        f"Counted {document['date']} with ai-edge-litert {versions['ai-edge-litert']} in qemu {versions['qemu']}, "
        f"{document['cpu']}, one thread; `keras:` networks with XNNPACK. The library takes "
        f"{document['library_bytes']:,} bytes. LCE {lce['versions']['larq-compute-engine']} by its own benchmark tool, "
        f"built for aarch64 and counted {lce['date']}. LCE and TFLite alone convert the networks of larq-zoo and of "
        "Keras.",
    ]


@click.command()
@click.argument("names", nargs=-1, metavar="[NETWORK]...")
@click.option("--cpu", default=emulated.CPU, show_default=True, help="Processor that qemu emulates.")
@click.option("--output", type=click.Path(path_type=Path), default=FILE, help="[default: zoo/results/aarch64.json]")
def main(names: tuple[str, ...], cpu: str, output: Path) -> None:
    """Count the instructions of each network, or of some; what was counted of others stays."""
    load_tensorflow()
    counted = measure(names or NETWORKS, cpu)
    before = read_json(output) if output.is_file() else {}
    counted["instructions"] = {**(before.get("instructions", {}) if names else {}), **counted["instructions"]}
    write_json(output, {**before, **counted})
    say(f"wrote {output}; python -m benchmarks.tables shows it in docs/runtime.md")


if __name__ == "__main__":
    cli.main(main, "python -m benchmarks.aarch64")
