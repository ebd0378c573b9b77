"""The short answers of the README, from the stored results: what was measured, and when to use such a network."""

from __future__ import annotations

from benchmarks import cards, results
from benchmarks.aarch64 import FILE as AARCH64
from benchmarks.deployment import FILE as DEPLOYMENT
from benchmarks.main_job import FILE as MAIN_JOB
from benchmarks.markdown import table
from benchmarks.runtime import FILE as RUNTIME
from ftbnn_larq import zoo
from ftbnn_larq.cli.output import human_bytes
from ftbnn_larq.files import read_json

# Networks of tf.keras.applications, run by plain TFLite.
KERAS = "keras:"
SMALL = "keras:MobileNetV3Small"
# Each idea of the paper: in words, the network that has it, and the one it is added to.
IDEAS = (
    ("tuned non-linearity", "ftbnn_r18_baseline", "bireal_r18"),
    ("binary purification", "ftbnn_r18_pure", "ftbnn_r18_baseline"),
    ("purification and width in groups", "ftbnn_r18", "ftbnn_r18_baseline"),
)
OURS = ("ftbnn_r18_pure", "ftbnn_r18")


def studied() -> dict[str, results.Variant]:
    """The zoo's networks as they were trained side by side, all in the setting of the first, by name."""
    found = [each for each in results.variants("path") if not each.changes]
    return {each.model: each for each in found if each.setting == found[0].setting}


def measured() -> list[str]:
    """One table of all that was measured, a result a row."""
    rows = [_first_command(), *_published(), *_ideas(), *_times()]
    return table(["what", "result", "measured with", "more"], rows)


def choice() -> list[str]:
    """Time and size of our networks beside small float networks, each by what runs it best."""
    document, files = read_json(RUNTIME), read_json(DEPLOYMENT)["networks"]
    times = {name: row["milliseconds"] for name, row in document["together"].items() if name in files}
    times = {name: times[name] for name in sorted(times, key=times.get) if name in OURS or name.startswith(KERAS)}
    rows = [
        [
            f"`{name}`",
            "TFLite" if name.startswith(KERAS) else "ftbnn-runtime",
            f"{time / times[SMALL]:.2f}",
            human_bytes(files[name]["bytes"]),
        ]
        for name, time in times.items()
    ]
    first = OURS[0]
    slower = max(row["ratio"] for row in document["networks"][first].values() if "ratio" in row)
    counts = read_json(AARCH64)["instructions"]
    return [
        *table(["network", "run by", f"time / `{SMALL}`", "file"], rows),
        "",
        f"One picture of 224x224 in 1,000 classes, one thread on {document['machine']}, measured {document['date']}. "
        f"By LCE, which is made for ARM, `{first}` takes {slower:.0f} times as long here. On 64-bit ARM it needs "
        f"{counts[first] / counts[SMALL]:.1f} times the instructions of `{SMALL}`, counted in an emulator "
        "([Runtime](docs/runtime.md#instructions-on-aarch64)).",
    ]


def _first_command() -> list[str]:
    document = read_json(MAIN_JOB)
    top1 = ", ".join(f"{each:.1%}" for each in document["top1"])
    result = f"{top1} top-1; the first is {document['flatbuffer_top1']:.1%} in LCE"
    seeds = ", ".join(map(str, document["seeds"]))
    how = f"`{document['model']}`, width {document['width']}, {document['epochs']} epochs, seeds {seeds}"
    return [f"{document['dataset']}, the first command", result, how, "[Training](docs/training.md)"]


def _published() -> list[list[str]]:
    files = [
        (f"`{name}:{data}`", cards.published(zoo.published(name, data)))
        for name in zoo.list_models()
        for data in zoo.published_weights(name)
    ]
    rows = []
    for name, file in sorted(files, key=lambda item: -item[1]["keras"]["top1"]):
        result = f"{file['keras']['top1']:.1%} top-1, {file['lce']['top1']:.1%} in LCE"
        how = f"width {file['width']}, {file['epochs']} epochs, seed {file['seed']}"
        rows.append([f"{name}, published", result, how, "[Zoo](docs/zoo.md#trained-networks)"])
    return rows


def _ideas() -> list[list[str]]:
    found, rows = studied(), []
    for words, name, base in IDEAS:
        if not {name, base} <= set(found):
            continue
        new, old = found[name], found[base]
        result = f"{100 * (new.top1 - old.top1):+.1f} points of top-1, {new.ops / old.ops:.0%} of the OPs"
        how = (
            f"`{name}` to `{base}` on {new.dataset}, width {new.width}, {new.epochs} epochs, "
            f"{new.seeds} seed{'' if new.seeds == 1 else 's'}"
        )
        rows.append([words, result, how, "[Ideas](docs/ideas.md)"])
    return rows


def _times() -> list[list[str]]:
    document = read_json(DEPLOYMENT)
    peer = "larq_zoo:BiRealNet"
    result = ", ".join(f"`{name}` {document['networks'][name][f'time_to_{peer}']:.2f}" for name in OURS)
    how = f"LCE, one thread, {document['machine']}, 224x224"
    return [[f"time / `{peer}`", result, how, "[Speed](docs/speed.md)"]]
