"""How fast a step of training is, beside other ways to train the same shape; ratios taken in one run.

python -m benchmarks.training --width 16 --width 64 --dataset cifar10 --data-dir DIR

The networks take steps in turn, and the fastest step of each counts: other load on the machine only adds time. Single
layers with groups and without are timed alike. Photographs are read for training beside a plain TensorFlow pipeline.
Then a small network is trained for
some epochs, to see whether memory stays flat, another with and without bfloat16, emulated where the machine lacks it,
to see whether top-1 holds, and a third in one process and in two, to see whether they take the same steps. Writes
zoo/results/training.json, where the speeds of other kinds of processors stay; python -m benchmarks.tables shows it in
docs/speed.md.
"""

from __future__ import annotations

import csv
import os
import platform
import tempfile
import time
from pathlib import Path

import click

from benchmarks import reading, workers
from benchmarks.results import HERE
from ftbnn_larq import cli, runs, zoo
from ftbnn_larq import data as datasets
from ftbnn_larq.cli.output import load_tensorflow, say
from ftbnn_larq.files import read_json, write_json
from ftbnn_larq.recipe import Recipe
from ftbnn_larq.zoo import networks

FILE = HERE / "training.json"

# (side of the picture, channels, groups) of layers that are compared with one of half the channels and no groups,
# which multiplies as much.
GROUPED_LAYERS = ((32, 128, 4), (16, 128, 4), (8, 256, 4), (4, 512, 4))

# A network whose steps have taken so long is timed no further.
ENOUGH_SECONDS = 40


def float_resnet(width: int, input_shape: tuple, classes: int):
    """A full-precision ResNet-18 of the zoo's shape: its small stem, two 3x3 convolutions a block, pooled shortcuts."""
    import tensorflow as tf

    from ftbnn_larq.models import blocks

    layers = tf.keras.layers
    inputs = tf.keras.Input(input_shape)
    x = layers.ReLU()(blocks.batch_norm(None)(blocks.float_conv(width, 3, 1, None)(inputs)))
    for stage in range(4):
        filters = width * 2**stage
        for block in range(2):
            strides = 2 if stage and not block else 1
            y = layers.ReLU()(blocks.batch_norm(None)(blocks.float_conv(filters, 3, strides, None)(x)))
            y = blocks.batch_norm(None)(blocks.float_conv(filters, 3, 1, None)(y))
            if strides > 1:
                x = layers.AveragePooling2D(2)(x)
                x = blocks.batch_norm(None)(blocks.float_conv(filters, 1, 1, None)(x))
            x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.Softmax()(layers.Dense(classes)(layers.GlobalAveragePooling2D()(x)))
    return tf.keras.Model(inputs, x)


def with_larqs_layers(model):
    """The same network with Larq's own convolution in place of ours."""
    import larq as lq
    import tensorflow as tf

    from ftbnn_larq.models.layers import BinaryConv2D

    def clone(layer):
        kind = lq.layers.QuantConv2D if isinstance(layer, BinaryConv2D) else type(layer)
        return kind.from_config(layer.get_config())

    return tf.keras.models.clone_model(model, clone_function=clone)


def contenders(width: int, input_shape: tuple, classes: int) -> dict:
    """Networks with random weights that end in probabilities; what is ours takes bfloat16 if the machine has it."""
    from ftbnn_larq.models import native
    from ftbnn_larq.models.layers import train_with
    from ftbnn_larq.training import precision

    arguments = {"input_shape": input_shape, "num_classes": classes, "width": width}
    found = {
        "ftbnn_r18": zoo.create_model("ftbnn_r18", **arguments),
        "ftbnn_r18, TensorFlow's operators": zoo.create_model("ftbnn_r18", **arguments),
        "ftbnn_r18, float32": zoo.create_model("ftbnn_r18", **arguments),
        "ftbnn_r18_pure": zoo.create_model("ftbnn_r18_pure", **arguments),
        "float ResNet-18": float_resnet(width, input_shape, classes),
        "larq_zoo:BiRealNet": networks.create("larq_zoo:BiRealNet", **arguments),
        "ftbnn_r18_pure, Larq's layers": with_larqs_layers(zoo.create_model("ftbnn_r18_pure", **arguments)),
        "ftbnn_r18, Larq's grouped layers": with_larqs_layers(zoo.create_model("ftbnn_r18", **arguments)),
    }
    has_kernels = native.why_missing() is None
    for name in ("ftbnn_r18", "ftbnn_r18_pure", "ftbnn_r18, TensorFlow's operators"):
        is_native = has_kernels and "TensorFlow" not in name
        train_with(found[name], arithmetic=precision.resolve("auto"), native=is_native)
    train_with(found["ftbnn_r18, float32"], native=has_kernels)
    return found


def measure(width: int, data, batch_size: int, steps: int) -> dict:
    """Pictures per second in training: `{name: number}`, the input pipeline alone among them."""
    import tensorflow as tf

    from ftbnn_larq.data import pipeline
    from ftbnn_larq.models import ends
    from ftbnn_larq.training.optimization import FusedAdam
    from ftbnn_larq.training.student import Student

    classes = len(data.config.labels)
    how = Recipe(batch_size=batch_size, epochs=1_000)
    batches = iter(pipeline.training_batches(data.train, data.config, how, seed=0))
    pictures, targets = next(batches)
    models = {}
    for name, network in contenders(width, data.config.input_shape, classes).items():
        say(f"width {width}: {name}")
        logits = ends.up_to_logits(network)
        # As `train` makes it.
        model = models[name] = Student(logits.inputs, logits.outputs)
        model.learn_from(None, how)
        model.learn_only(None)
        # A step is cheap to lose and a rate of zero keeps it from running away.
        model.compile(FusedAdam(0.0), tf.keras.losses.CategoricalCrossentropy(from_logits=True))
        model.train_on_batch(pictures, targets)
    times = {name: [] for name in models}
    # Small networks take more: their steps are short, and scatter most.
    for _ in range(steps * max(1, 64 // width)):
        for name, model in models.items():
            if sum(times[name]) > ENOUGH_SECONDS:
                continue
            begin = time.perf_counter()
            model.train_on_batch(pictures, targets)
            times[name].append(time.perf_counter() - begin)
    # Whole epochs apart: shuffling fills its buffer first.
    begin = time.perf_counter()
    for _ in range(50):
        next(batches)
    pipeline_seconds = (time.perf_counter() - begin) / 50
    speeds = {name: batch_size / min(seconds) for name, seconds in times.items()}
    return {**speeds, "input pipeline": batch_size / pipeline_seconds}


def layer_step(side: int, channels: int, groups: int, batch_size: int, arithmetic: str = "float32"):
    """One step of training of a binary 3x3 convolution by itself, to be called."""
    import tensorflow as tf

    from ftbnn_larq.models.layers import binary_conv

    layer = binary_conv(channels, groups=groups)
    layer.arithmetic = arithmetic
    x = tf.random.stateless_normal((batch_size, side, side, channels), (1, 2))
    layer(x)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
        return tape.gradient(y, [x, *layer.trainable_weights], output_gradients=y)

    step()
    return step


def cost_of_groups(
    side: int, channels: int, groups: int, batch_size: int, arithmetic: str = "float32", rounds: int = 40
) -> float:
    """Time of a step of a grouped layer, over that of an ungrouped one with as many multiply-accumulates.

    Each takes steps in turn, and its fastest counts.
    """
    shapes = ((channels, groups), (channels // round(groups**0.5), 1))
    steps = [layer_step(side, *shape, batch_size, arithmetic) for shape in shapes]
    fastest = [float("inf")] * 2
    for _ in range(rounds):
        for index, step in enumerate(steps):
            begin = time.perf_counter()
            step()
            fastest[index] = min(fastest[index], time.perf_counter() - begin)
    return fastest[0] / fastest[1]


def grouped_layers(batch_size: int) -> dict[str, float]:
    """`cost_of_groups` of each of `GROUPED_LAYERS`, by what it is called in tables."""
    from ftbnn_larq.training import precision

    arithmetic = precision.resolve("auto")
    return {
        f"{side}x{side}x{channels} in {groups}": round(
            cost_of_groups(side, channels, groups, batch_size, arithmetic), 2
        )
        for side, channels, groups in GROUPED_LAYERS
    }


def vector_instructions() -> str:
    """The widest of this processor's that decide how fast it multiplies, as Linux names them."""
    from ftbnn_larq.training.precision import cpu_flags

    return next((name for name in ("amx_bf16", "avx512_bf16", "avx512f", "avx2") if name in cpu_flags()), "no AVX2")


def memory(data, epochs: int) -> list[int]:
    """The most memory held until the end of each epoch, in MB, while one unit a stage is trained."""
    from ftbnn_larq.training import loop

    with tempfile.TemporaryDirectory() as folder:
        options = {"width": 16, "units": (1, 1, 1, 1)}
        how = Recipe(batch_size=256, epochs=epochs)
        run = Path(loop.start("ftbnn_r18_pure", data, how, options=options, output=folder)["run"])
        with (run / runs.METRICS).open(newline="") as file:
            return [round(float(row["memory_mb"])) for row in csv.DictReader(file)]


def accuracy(seeds: tuple[int, ...]) -> dict:
    """Top-1 of `ftbnn_r18_pure` on digits after 40 epochs, for each seed, without bfloat16 and with it."""
    from ftbnn_larq.training import loop, precision

    data = datasets.load("digits")
    # Longer than the recipe of digits, which is made for a first look: what is compared is where a training ends.
    how = Recipe(batch_size=64, epochs=40)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("float32", "bfloat16"):
            arguments = {"options": {"width": 16}, "output": folder}
            found[name] = [
                loop.start("ftbnn_r18_pure", data, how.replace(precision=name), seed=seed, **arguments)["top1"]
                for seed in seeds
            ]
    return {"top1": found, "emulated": precision.attributes("bfloat16")["emulated"]}


def two_processes(dataset: str, data_dir: str | None, model: str = "ftbnn_r18_baseline", width: int = 16) -> dict:
    """How far the loss of a step in two processes is at most from that in one, in float32 and in float64."""
    steps, apart = 20, {}
    for dtype in ("float32", "float64"):
        alone, *joint = workers.compare(model, {"width": width}, dataset, data_dir, dtype=dtype, steps=steps)
        apart[dtype] = max(abs(one - other) for losses in joint for one, other in zip(alone, losses, strict=True))
    return {"model": model, "width": width, "steps": steps, "apart": apart}


@click.command()
@click.option("--width", "widths", type=int, multiple=True, default=(16, 64), show_default=True)
@click.option("--dataset", default="cifar10", show_default=True)
@click.option("--data-dir", help="Where TFDS keeps its data sets.")
@click.option("--batch-size", type=int, default=64, show_default=True)
@click.option(
    "--steps",
    type=int,
    default=9,
    show_default=True,
    help="Steps of each network at width 64, at most; the fastest counts.",
)
@click.option(
    "--only",
    type=click.Choice(["speed", "reading", "memory", "accuracy", "workers"]),
    help="Measure one part and keep the others.",
)
def main(widths, dataset, data_dir, batch_size, steps, only):
    """Measure training, write it to zoo/results/training.json."""
    load_tensorflow()
    document = read_json(FILE) if FILE.exists() else {"speed": {}}
    common = {"versions": runs.versions(), "date": time.strftime("%Y-%m-%d")}
    if only in (None, "speed"):
        data = datasets.load(dataset, data_dir=data_dir)
        document["speed"][vector_instructions()] = {
            **common,
            "dataset": dataset,
            "batch_size": batch_size,
            "cores": len(os.sched_getaffinity(0)),
            "machine": platform.machine(),
            "grouped_layers": grouped_layers(batch_size),
            "widths": {str(width): measure(width, data, batch_size, steps) for width in widths},
        }
    if only in (None, "reading"):
        with tempfile.TemporaryDirectory() as folder:
            document["reading"] = {**common, "cores": len(os.sched_getaffinity(0)), **reading.measure(Path(folder))}
    if only in (None, "memory"):
        data = datasets.load(dataset, data_dir=data_dir)
        document["memory"] = {**common, "dataset": dataset, "megabytes": memory(data, epochs=8)}
    if only in (None, "accuracy"):
        document["accuracy"] = {**common, "dataset": "digits", **accuracy(seeds=(0, 1, 2))}
    if only in (None, "workers"):
        document["workers"] = {**common, "dataset": dataset, **two_processes(dataset, data_dir)}
    write_json(FILE, document)
    say(f"wrote {FILE}; python -m benchmarks.tables shows it in docs/speed.md")


if __name__ == "__main__":
    cli.main(main, "python -m benchmarks.training")
