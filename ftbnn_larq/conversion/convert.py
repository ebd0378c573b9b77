"""From a run or a Keras model to what a board needs, proven before it gets its final name."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import tensorflow as tf

from ftbnn_larq import runs, zoo
from ftbnn_larq.analysis.accuracy import accuracy
from ftbnn_larq.conversion import census, explain, passes, proof
from ftbnn_larq.conversion.destination import check_source, destination
from ftbnn_larq.conversion.passes import int8
from ftbnn_larq.conversion.prepare import prepared
from ftbnn_larq.data import DataConfig, check_fits, pipeline
from ftbnn_larq.data import load as load_data
from ftbnn_larq.errors import ConversionError, DataError, ModelFileError, UnknownNameError, one_line
from ftbnn_larq.files import sha256, write_json, written_whole
from ftbnn_larq.inference.interpreter import KERNELS, host_kernel
from ftbnn_larq.inference.sidecar import sidecar_path
from ftbnn_larq.models import ends, keras_files
from ftbnn_larq.quiet import quiet_native_stderr
from ftbnn_larq.zoo import trained

# Pictures of the test split that Keras and LCE must agree on: with this machine's kernel, and with each other one.
PROOF_PICTURES = 128
PROOF_PICTURES_OTHERS = 16
# Most pictures of the test split whose top-1 accuracy is compared: all of CIFAR's, a part of a larger one's.
TEST_PICTURES = 10_000


def convert(
    source: str | os.PathLike,
    *,
    to: str = "tflite",
    output: str | os.PathLike | None = None,
    softmax: bool = False,
    groups: str = passes.SPLIT,
    without: Iterable[str] = (),
    dataset: str | None = None,
    data_dir: str | None = None,
) -> dict:
    """Convert a trained network.

    Arguments:
        source: a run folder, a .keras or .h5 file, or NAME:DATASET for a published network.
        to: "tflite" (LCE's flatbuffer, proven), "saved_model" or "keras".
        output: path of the result; in the run folder, beside the file, or NAME-DATASET here, unless given.
        softmax: let the flatbuffer end in probabilities; it ends in logits otherwise. One that ends in sigmoids does
            so either way.
        groups: "split" or "fused", see `passes.GROUPS`.
        without: names of `passes.PASSES` to leave out.
        dataset, data_dir: the data set of a Keras file, for the proof and for the labels, and where TFDS keeps it; a
            run and a published network know their own. Without one, or where theirs cannot be read, the flatbuffer is
            proven on noise.

    Returns:
        For "tflite" what `convert_model` returns and `top1`, which is also written beside it as JSON; else
        `{path, bytes}`.
        `top1` is `{examples, of, keras, lce}`: accuracy on `examples` pictures of those `of` the test split, taken
        evenly, of the weights as they were trained in Keras and of the flatbuffer; None without data. `proven_on` is
        the data set, or "noise"; `no_data` says why a network's own was not used, else it is None.

    Raises:
        UnknownNameError: no such format, pass or way with groups.
        ConfigError: the flatbuffer's JSON would take the place of another file, a data set for what has its own,
            nothing is published for DATASET, or a softmax of one score.
        RunError, ModelFileError: the run has no sound weights, or the file cannot be loaded; see `keras_files`.
        ConversionError: the proof failed; nothing is written then.
    """
    passes.chosen(groups, without)
    check_source(Path(source), dataset)
    path = destination(Path(source), to, output)
    network, data, details = _network(Path(source), to, dataset, data_dir)
    if to != "tflite":
        with written_whole(path) as temporary, quiet_native_stderr():
            network.save(temporary, save_format="tf" if to == "saved_model" else "keras")
        files = path.rglob("*") if path.is_dir() else [path]
        return {"path": str(path), "bytes": sum(file.stat().st_size for file in files if file.is_file())}

    model = ends.up_to_probabilities(network) if softmax else ends.up_to_logits(network)
    if data is None:
        pictures = np.random.default_rng(0).standard_normal((PROOF_PICTURES, *model.input_shape[1:]), np.float32)
    else:
        pictures = next(pipeline.batches(data.test, data.config, PROOF_PICTURES).as_numpy_iterator())[0]
    document = convert_model(model, path, pictures, groups=groups, without=without)
    document |= {"top1": None, "proven_on": "noise" if data is None else data.config.name, "no_data": None}
    document |= details | {"versions": runs.versions()}
    # At once, for until top-1 is measured an older one would tell of another flatbuffer.
    write_json(sidecar_path(path), document)
    if data is not None:
        document["top1"] = _top1(model, path, data)
        write_json(sidecar_path(path), document)
    return document


def _network(source: Path, to: str, dataset: str | None, data_dir: str | None):
    """The Keras model, its data set or None, and what the JSON file shall say of where it came from."""
    if not keras_files.is_model_file(source):
        if zoo.is_reference(source):
            name, weights = str(source).split(":", 1)
            network, described = zoo.pretrained(name, weights)
            details = {"model": {"name": name, "weights": weights}}
        else:
            run = runs.open_run(source)
            network, described = trained.load_run(run), run.config["data"]
            details = {"model": run.config["model"], "run": str(run.path)}
        if to != "tflite":
            return network, None, details
        config = DataConfig.from_json(described)
        details["data"] = config.to_json()
        try:
            data = load_data(config.name, data_dir=data_dir or config.data_dir, config=config, download=False)
        except (DataError, UnknownNameError) as error:
            # It can be converted on a machine that does not hold its pictures.
            return network, None, details | {"no_data": str(error)}
        return network, data, details
    network = keras_files.load(source)
    details = {"model": {"name": network.name, "file": str(source)}}
    if to != "tflite":
        # Nothing is proven.
        return network, None, details
    network = prepared(network)
    if dataset is None:
        return network, None, details
    shape = network.input_shape[1:]
    data = load_data(dataset, data_dir=data_dir, input_size=shape[0])
    check_fits(data, shape, network.output_shape[-1])
    return network, data, details | {"data": data.config.to_json()}


def _top1(model: tf.keras.Model, path: Path, data) -> dict:
    from ftbnn_larq.inference.interpreter import Interpreter

    batches = pipeline.batches(pipeline.spread(data.test, TEST_PICTURES), data.config, 128)
    keras = accuracy(model.predict_on_batch, batches.as_numpy_iterator())
    with Interpreter(path) as interpreter:
        lce = accuracy(interpreter.predict, batches.as_numpy_iterator())
    return {
        "examples": keras["examples"],
        "of": data.test.examples,
        "keras": keras["top1"],
        "lce": lce["top1"],
    }


def convert_model(
    model: tf.keras.Model,
    path: str | os.PathLike,
    pictures: np.ndarray,
    *,
    groups: str = passes.SPLIT,
    without: Iterable[str] = (),
) -> dict:
    """Convert a Keras model with LCE, rewrite and prove the flatbuffer, and only then write it to `path`.

    Where weights are rounded to 8 bits, the flatbuffer is proven against the Keras model with the rounded weights, as
    tightly as any other; how far that model is from the one given is told beside it (`int8`).

    Arguments:
        model: NHWC pictures in, scores (n, classes) out; best without a softmax, which hides differences.
        pictures: float32 (n, h, w, c), on which the flatbuffer has to give the model's answers.
        groups: "split" makes one ordinary convolution of each group, which every LCE kernel runs; "fused" keeps LCE's
            grouped operator, which the default kernel refuses.
        without: names of `passes.PASSES` to leave out.

    Returns:
        `{path, bytes, sha256, output, groups, needs, passes, operators, left_as_they_are, unfolded, binary_layers,
        binary_operators, int8, kernels, layers}` and the fields of `proof.Agreement`, of the kernel that agrees least.
        `left_as_they_are` are operators unknown to every pass, and `unfolded` those that add or multiply with a
        constant of their own, both as `{type: [layers]}`.

    Raises:
        UnknownNameError: no such pass or way with groups.
        ConversionError: LCE refuses the model, a binary layer stayed float, or the answers differ.
    """
    chosen = passes.chosen(groups, without)
    model = prepared(model)
    with written_whole(path) as temporary, contextlib.ExitStack() as stack:
        in_8_bits = None
        if any(row.name == "int8" for row in chosen):
            before = proof.answers(model, pictures)
            layers = stack.enter_context(int8.rounded(model))
            expected = proof.answers(model, pictures)
            in_8_bits = {"layers": layers, **proof.difference(before, expected)}
        else:
            expected = proof.answers(model, pictures)
        flatbuffer, said = to_flatbuffer(model)
        binary = proof.binary_layers(model)
        found = census.operators(flatbuffer)
        proof.check_census(binary, found, said)
        _check_foreign(model, found)
        flatbuffer, report = passes.run(flatbuffer, chosen)
        temporary.write_bytes(flatbuffer)
        found = census.operators(flatbuffer)
        proof.check_census(binary, found, groups=groups)
        kernels = {
            kernel: dataclasses.asdict(_proven(model, temporary, pictures, kernel, expected))
            for kernel in _kernels(binary, groups)
        }
        counted, layers = census.census(found), explain.layers(model, found)
        return {
            "path": str(path),
            "bytes": len(flatbuffer),
            "sha256": sha256(temporary),
            "output": "probabilities" if found[-1].type in ("SOFTMAX", "LOGISTIC") else "logits",
            "groups": groups,
            "needs": passes.INDIRECT_FLAG if "default" not in kernels else None,
            "passes": report,
            "operators": counted,
            "left_as_they_are": _by_layer(found, layers, lambda operator: operator.type not in passes.KNOWN),
            "unfolded": _by_layer(found, layers, lambda operator: operator.unfolded),
            "binary_layers": proof.binary_convolutions(binary, groups),
            "binary_operators": counted.get(census.BINARY_CONVOLUTION, 0),
            "int8": in_8_bits,
            "kernels": kernels,
            **max(kernels.values(), key=lambda agreement: (agreement["sign_ties"], agreement["max_abs_diff"])),
            "layers": explain.explain(model, found),
        }


def _by_layer(found: list[census.Operator], layers: list[str], chosen: Callable) -> dict[str, list[str]]:
    """The layers of the operators that are `chosen`, by type."""
    result: dict[str, list[str]] = {}
    for operator, layer in zip(found, layers, strict=True):
        if chosen(operator):
            result.setdefault(operator.type, []).append(layer)
    return result


def _check_foreign(model: tf.keras.Model, found: list[census.Operator]) -> None:
    foreign = _by_layer(found, explain.layers(model, found), lambda operator: operator.foreign)
    for kind, layers in foreign.items():
        raise ConversionError(
            f"{layers[0]} becomes {kind}, an operator that LCE's interpreter does not have: write the layer in others"
        )


def _kernels(binary: list, groups: str) -> list[str]:
    """LCE's kernels that run the flatbuffer, this machine's first."""
    fused = groups == passes.FUSED and any(getattr(layer, "groups", 1) > 1 for layer in binary)
    kernels = [kernel for kernel in KERNELS if not (fused and kernel == "default")]
    return sorted(kernels, key=lambda kernel: kernel != host_kernel())


def _proven(model, path: Path, pictures: np.ndarray, kernel: str, expected: np.ndarray) -> proof.Agreement:
    count = len(pictures) if kernel == host_kernel() else PROOF_PICTURES_OTHERS
    try:
        return proof.compare(model, path, pictures[:count], kernel, expected[:count])
    except ModelFileError as error:
        raise ConversionError(f"LCE cannot run what it converted: {error}") from error


def to_flatbuffer(model: tf.keras.Model) -> tuple[bytes, str]:
    """What LCE's converter makes of a model, and what its native code had to say.

    Raises:
        ConversionError: LCE refuses the model.
    """
    import larq_compute_engine as lce

    # One function and its variables are saved, not the model: saving a Keras model, as LCE's convert_keras_model does,
    # traces every layer by itself, several times, which takes most of a minute.
    module = tf.Module()
    module.kept = [getattr(variable, "latent_variable", variable) for variable in model.variables]
    module.answer = tf.function(
        lambda picture: {model.layers[-1].name: model(picture, training=False)},
        input_signature=[tf.TensorSpec((1, *model.input_shape[1:]), tf.float32, name="picture")],
    )
    with (
        quiet_native_stderr() as said,
        warnings.catch_warnings(),
        tempfile.TemporaryDirectory() as folder,
    ):
        warnings.simplefilter("ignore")
        try:
            # Gradients, whose tracing takes as long as the rest, are of no use on a board.
            options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
            tf.saved_model.save(module, folder, signatures=module.answer, options=options)
            flatbuffer = lce.convert_saved_model(folder)
        except Exception as error:  # MLIR's errors come as whatever the binding makes of them
            raise ConversionError(f"LCE cannot convert {model.name}: {one_line(error, 300)}") from error
    lines = [line for line in said().splitlines() if "error:" in line or "warning:" in line or "remark:" in line]
    return flatbuffer, " ".join(lines)[:300]
