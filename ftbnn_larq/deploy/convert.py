"""From a run to what a board needs, proven before it gets its final name."""

from __future__ import annotations

import dataclasses
import os
import tempfile
import warnings

import numpy as np
import tensorflow as tf

from ftbnn_larq import resnet, runs
from ftbnn_larq.data import DataConfig, pipeline
from ftbnn_larq.data import load as load_data
from ftbnn_larq.deploy import census, proof
from ftbnn_larq.deploy.groups import split_groups
from ftbnn_larq.deploy.sidecar import destination, sidecar_path
from ftbnn_larq.errors import ConversionError, ModelFileError, one_line
from ftbnn_larq.files import sha256, write_json, written_whole
from ftbnn_larq.quiet import quiet_native_stderr

# Pictures of the test split that Keras and LCE must agree on.
PROOF_PICTURES = 128


def convert(run, *, to: str = "tflite", output: str | os.PathLike | None = None, softmax: bool = False) -> dict:
    """Convert a run's trained network.

    Arguments:
        run: a run folder.
        to: "tflite" (LCE's flatbuffer, proven), "saved_model" or "keras".
        output: path of the result; in the run folder unless given.
        softmax: let the flatbuffer end in probabilities; it ends in logits otherwise.

    Returns:
        For "tflite" `{path, bytes, operators: {name: count}, binary_layers, binary_operators, max_abs_diff,
        top1_agreement, ...}`, which is also written beside it as JSON; else `{path, bytes}`.

    Raises:
        UnknownNameError: no such format.
        ConfigError: the flatbuffer's JSON would take the place of another file.
        RunError, ModelFileError: the run has no sound weights.
        ConversionError: the proof failed; nothing is written then.
    """
    run = runs.open_run(run)
    path = destination(run.path, to, output)
    network = run.load_model()
    model = network if softmax else resnet.up_to_logits(network)
    if to != "tflite":
        with written_whole(path) as temporary, quiet_native_stderr():
            network.save(temporary, save_format="tf" if to == "saved_model" else "keras")
        files = path.rglob("*") if path.is_dir() else [path]
        return {"path": str(path), "bytes": sum(file.stat().st_size for file in files if file.is_file())}

    config = DataConfig.from_json(run.config["data"])
    data = load_data(config.name, data_dir=config.data_dir, config=config)
    pictures = next(pipeline.batches(data.test, config, PROOF_PICTURES).as_numpy_iterator())[0]
    document = convert_model(model, path, pictures)
    ends_in = "probabilities" if softmax else "logits"
    details = {
        "output": ends_in,
        "model": run.config["model"],
        "data": config.to_json(),
        "run": str(run.path),
        "versions": runs.versions(),
    }
    write_json(sidecar_path(path), {**document, **details})
    return document


def convert_model(
    model: tf.keras.Model, path: str | os.PathLike, pictures: np.ndarray, *, groups: str = "split"
) -> dict:
    """Convert a Keras model with LCE, prove the flatbuffer, and only then write it to `path`.

    Arguments:
        model: NHWC pictures in, scores (n, classes) out; best without a softmax, which hides differences.
        pictures: float32 (n, h, w, c), on which the flatbuffer has to give the model's answers.
        groups: "split" makes one ordinary convolution of each group, which every LCE kernel runs; "fused" keeps LCE's
            grouped operator, which the default kernel refuses.

    Returns:
        The document that `convert` returns.

    Raises:
        ConversionError: LCE refuses the model, a binary layer stayed float, or the answers differ.
    """
    with written_whole(path) as temporary:
        flatbuffer, said = _run_converter(split_groups(model) if groups == "split" else model)
        temporary.write_bytes(flatbuffer)
        found = census.operators(flatbuffer)
        proof.check_census(model, found, said, groups=groups)
        try:
            agreement = proof.compare(model, temporary, pictures)
        except ModelFileError as error:
            raise ConversionError(f"LCE cannot run what it converted: {error}") from error
        document = {
            "path": str(path),
            "bytes": len(flatbuffer),
            "sha256": sha256(temporary),
            "operators": census.census(found),
            "binary_layers": proof.binary_convolutions(model, groups),
            "binary_operators": sum(operator.type == census.BINARY_CONVOLUTION for operator in found),
            **dataclasses.asdict(agreement),
        }
    return document


def _run_converter(model: tf.keras.Model) -> tuple[bytes, str]:
    """The flatbuffer, and what the converter's native code had to say."""
    import larq_compute_engine as lce

    # One function and its variables are saved, not the model: saving a Keras model, as LCE's convert_keras_model does,
    # traces every layer by itself, several times, which takes most of a minute.
    module = tf.Module()
    module.kept = [getattr(variable, "latent_variable", variable) for variable in model.variables]
    module.answer = tf.function(
        lambda picture: model(picture, training=False),
        input_signature=[tf.TensorSpec((1, *model.input_shape[1:]), tf.float32, name="picture")],
    )
    with (
        quiet_native_stderr() as said,
        warnings.catch_warnings(),
        tempfile.TemporaryDirectory() as folder,
    ):
        warnings.simplefilter("ignore")
        try:
            tf.saved_model.save(module, folder, signatures=module.answer)
            flatbuffer = lce.convert_saved_model(folder)
        except Exception as error:  # MLIR's errors come as whatever the binding makes of them
            raise ConversionError(f"LCE cannot convert {model.name}: {one_line(error, 300)}") from error
    lines = [line for line in said().splitlines() if "error:" in line or "warning:" in line or "remark:" in line]
    return flatbuffer, " ".join(lines)[:300]
