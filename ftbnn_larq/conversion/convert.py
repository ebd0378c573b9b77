"""The line of a conversion: plan, source, LCE's flatbuffer, rewritten flatbuffer, proof, model.json."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from ftbnn_larq import documents, runs
from ftbnn_larq.analysis import zero_padding
from ftbnn_larq.conversion import census, explain, passes, proof, source
from ftbnn_larq.conversion.converter import to_flatbuffer
from ftbnn_larq.conversion.flatbuffer import Graph
from ftbnn_larq.conversion.network import Network, prepared
from ftbnn_larq.conversion.passes import int8
from ftbnn_larq.conversion.plan import Plan, plan
from ftbnn_larq.errors import ConversionError
from ftbnn_larq.files import sha256, write_json, written_together, written_whole
from ftbnn_larq.inference.sidecar import sidecar_path
from ftbnn_larq.models import ends
from ftbnn_larq.quiet import quiet_native_stderr


def convert(
    source: str | os.PathLike | tf.keras.Model,
    *,
    to: str = "tflite",
    output: str | os.PathLike | None = None,
    softmax: bool = False,
    groups: str = passes.SPLIT,
    without: Iterable[str] = (),
    dataset: str | None = None,
    data_dir: str | None = None,
    preprocessing: str | None = None,
    on_event: Callable[[str], None] = lambda line: None,
) -> dict:
    """Convert a trained network.

    Arguments:
        source: a run folder, a .keras or .h5 file, NAME:DATASET for a published network, or a Keras model object.
        to: "tflite" (LCE's flatbuffer, proven), "saved_model" or "keras".
        output: path of the result. Unless given: in the run folder, beside the file, or here, called NAME-DATASET or
            after the model.
        softmax: let the flatbuffer end in probabilities; it ends in logits otherwise. One that ends in sigmoids does
            so either way.
        groups: "split" or "fused", see `passes.GROUPS`.
        without: names of `passes.PASSES` to leave out.
        dataset, data_dir: the data set of a Keras file or model, for the proof and for the labels, and where TFDS keeps
            it. A run and a published network know their own. Without a data set, or where it cannot be read, the
            flatbuffer is proven on noise.
        preprocessing: how the pixels of a Keras file or model were prepared in its training: "raw", "unit",
            "symmetric", "standard", "standard:MEAN/STD" or "larq_zoo". Unless given it is found on the data set; see
            `analysis.preprocessing`.
        on_event: told what the user should know of the data, a line at a time.

    Returns:
        For "tflite" what `convert_model` returns and `top1`, which is also written beside it as JSON; else
        `{path, bytes}`.
        `top1` is `{examples, of, keras, lce}`: accuracy of the trained weights in Keras and of the flatbuffer in LCE,
        on `examples` pictures spread evenly over the `of` pictures of the test split; None without data. `proven_on`
        is the data set, or "noise". `preprocessing` is `{name, mean, std, chosen_by, pictures, top1}`, see
        `analysis.preprocessing.Choice`; None without data. `no_data` says why a network's own data set was not used,
        else it is None.

    Raises:
        UnknownNameError: no such format, pass or way with groups.
        ConfigError: the flatbuffer's JSON would overwrite another file; a data set or preprocessing for a network that
            has its own; nothing is published for DATASET; several preprocessings do equally well.
        RunError, ModelFileError: the run has no sound weights, or the file cannot be loaded; see `keras_files`.
        ConversionError: the proof failed; nothing is written then.
    """
    return carry_out(
        plan(
            source,
            to=to,
            output=output,
            softmax=softmax,
            groups=groups,
            without=without,
            dataset=dataset,
            data_dir=data_dir,
            preprocessing=preprocessing,
        ),
        on_event=on_event,
    )


def carry_out(order: Plan, on_event: Callable[[str], None] = lambda line: None) -> dict:
    """Convert what a plan says; see `convert`."""
    if order.to != "tflite":
        return _saved(order)
    loaded = source.load(order, on_event)
    proven_on = "noise" if loaded.data is None else loaded.data.config.name
    told = {"top1": None, "proven_on": proven_on, "preprocessing": None, "no_data": None, **loaded.details}
    told["versions"] = runs.versions()
    sidecar = sidecar_path(order.path)
    with written_together(order.path, sidecar) as (flatbuffer, beside):
        document = _converted(loaded.network, flatbuffer, loaded.pictures(), order.groups, order.passes)
        document |= {"path": str(order.path), **told}
        # Both at once, for measuring top-1 takes a while.
        _write(beside, document)
    if loaded.data is not None:
        document["top1"] = loaded.top1(order.path)
        _write(sidecar, document)
    return document


def _write(path: Path, document: dict) -> None:
    documents.check(document, documents.Sidecar, path, ConversionError)
    write_json(path, document)


def _saved(order: Plan) -> dict:
    path = order.path
    network = source.keras_model(order)
    with written_whole(path) as temporary, quiet_native_stderr():
        network.save(temporary, save_format="tf" if order.to == "saved_model" else "keras")
    files = path.rglob("*") if path.is_dir() else [path]
    return {"path": str(path), "bytes": sum(file.stat().st_size for file in files if file.is_file())}


def convert_model(
    model: tf.keras.Model,
    path: str | os.PathLike,
    pictures: np.ndarray,
    *,
    groups: str = passes.SPLIT,
    without: Iterable[str] = (),
) -> dict:
    """Convert a Keras model with LCE, rewrite and prove the flatbuffer, and only then write it to `path`.

    Where weights are rounded to 8 bits, the flatbuffer is compared with the Keras model that has the rounded weights.
    `int8` says how far rounding moves that model's answers.

    Arguments:
        model: NHWC pictures in, scores (n, classes) out; best without a softmax, which hides differences.
        pictures: float32 (n, h, w, c), on which the flatbuffer has to give the model's answers.
        groups: "split" makes one ordinary convolution of each group, which every LCE kernel runs; "fused" keeps LCE's
            grouped operator, which the default kernel refuses.
        without: names of `passes.PASSES` to leave out.

    Returns:
        `{path, bytes, sha256, output, groups, needs, passes, operators, left_as_they_are, unfolded, binary_layers,
        binary_operators, int8, kernels, layers}` and the fields of `proof.Agreement`, of the kernel that agrees least.
        `kernels` are those of LCE and the instruction set of ftbnn-runtime, each with its `proof.Agreement`.
        `left_as_they_are` are operators unknown to every pass, and `unfolded` those that add or multiply with a
        constant of their own, both as `{type: [layers]}`.

    Raises:
        UnknownNameError: no such pass or way with groups.
        ConversionError: LCE refuses the model, a binary layer stayed float, or the answers differ.
    """
    chosen = passes.chosen(groups, without)
    with written_whole(path) as temporary:
        document = _converted(Network.of(prepared(model)), temporary, pictures, groups, chosen)
    return {**document, "path": str(path)}


def _converted(
    network: Network, path: Path, pictures: np.ndarray, groups: str, chosen: tuple[passes.Pass, ...]
) -> dict:
    for layer in zero_padding.covered(network.model):
        raise ConversionError(
            f"{layer} with all its kernels but the reference one. Train it with pad_values=1.0, or on larger pictures"
        )
    with _answers(network, pictures, chosen) as answers:
        converted = to_flatbuffer(network.model)
        graph = Graph(converted.flatbuffer)
        _check(network, census.of(graph.model), converted.said)
        rewritten = passes.run(graph, chosen)
        path.write_bytes(rewritten.flatbuffer)
        proof.check_census(network, rewritten.operators, split=groups == passes.SPLIT)
        agreements = proof.prove(network, path, pictures, answers.expected, groups)
        document = _document(network, rewritten, agreements, groups)
        return {"path": str(path), "bytes": len(rewritten.flatbuffer), "sha256": sha256(path)} | {
            **document,
            "int8": answers.in_8_bits,
        }


class _Answers(NamedTuple):
    """Keras's scores that the flatbuffer has to give, and what rounding kernels to 8 bits moved (None without)."""

    expected: np.ndarray
    in_8_bits: dict | None


@contextlib.contextmanager
def _answers(network: Network, pictures: np.ndarray, chosen: tuple[passes.Pass, ...]) -> Iterator[_Answers]:
    """Keras's answers; with the pass `int8` the network's kernels are rounded while the block runs."""
    before = network.answers(pictures)
    if all(row.name != "int8" for row in chosen):
        yield _Answers(before, None)
        return
    with int8.rounded(network.model) as layers:
        expected = network.answers(pictures)
        yield _Answers(expected, {"layers": layers, **proof.difference(network, before, expected)})


def _check(network: Network, found: list[census.Operator], said: str) -> None:
    """Whether LCE's converter made what its interpreter can run, with every binary layer. Raises ConversionError."""
    proof.check_census(network, found, said)
    if any(operator.type.endswith("_SEQUENCE_LSTM") for operator in found):
        raise ConversionError(
            "an LSTM becomes one operator for all steps, which computes otherwise than Keras: unroll it, "
            "LSTM(..., unroll=True)"
        )
    foreign = _by_layer(found, explain.owners(network, found), lambda operator: operator.foreign)
    for kind, layers in foreign.items():
        raise ConversionError(
            f"{layers[0]} becomes {kind}, an operator that LCE's interpreter does not have: write the layer in others"
        )


def _document(
    network: Network, rewritten: passes.Rewritten, agreements: dict[str, proof.Agreement], groups: str
) -> dict:
    """What `convert_model` returns of a proven flatbuffer."""
    found = rewritten.operators
    counted, owners = census.census(found), explain.owners(network, found)
    # A layer of one's own does not say that it ends in them, and operators not behind a reshape or a mean.
    are_probabilities = ends.gives_probabilities(network.model) or found[-1].type in ("SOFTMAX", "LOGISTIC")
    kernels = {kernel: dataclasses.asdict(agreement) for kernel, agreement in agreements.items()}
    return {
        "output": "probabilities" if are_probabilities else "logits",
        "groups": groups,
        "needs": passes.INDIRECT_FLAG if "default" not in kernels else None,
        "passes": rewritten.report,
        "operators": counted,
        "left_as_they_are": _by_layer(found, owners, lambda operator: operator.type not in passes.KNOWN),
        "unfolded": _by_layer(found, owners, lambda operator: operator.unfolded),
        "binary_layers": network.convolutions(split=groups == passes.SPLIT),
        "binary_operators": counted.get(census.BINARY_CONVOLUTION, 0),
        "kernels": kernels,
        **max(kernels.values(), key=lambda agreement: (agreement["sign_ties"], agreement["max_abs_diff"])),
        "layers": explain.explain(network, found, owners),
    }


def _by_layer(found: list[census.Operator], owners: list[str], chosen: Callable) -> dict[str, list[str]]:
    """The layers of the operators that are `chosen`, by type."""
    result: dict[str, list[str]] = {}
    for operator, layer in zip(found, owners, strict=True):
        if chosen(operator):
            result.setdefault(operator.type, []).append(layer)
    return result
