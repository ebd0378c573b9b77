"""ftbnn-larq convert"""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from ftbnn_larq.cli.options import preprocessing_option
from ftbnn_larq.cli.output import emit, human_bytes, json_option, load_tensorflow, newest_run, say, table
from ftbnn_larq.conversion import passes
from ftbnn_larq.conversion.plan import check_format, plan
from ftbnn_larq.inference.interpreter import engine_of


def pass_options(command):
    """An option --no-PASS for each row of the table, gathered in the argument `without`."""
    for row in reversed(passes.PASSES):
        if row.name in passes.OPTIONAL:
            # What it does may be two things, of which "do not" would deny the first alone.
            text = f"Leave this out: {row.does}. It changes {row.changes}."
            command = click.option(
                f"--no-{row.name}", "without", flag_value=row.name, multiple=True, help=text, default=()
            )(command)
    return command


@click.command()
@click.argument(
    "source", metavar="[RUN or FILE.keras or NAME:DATASET]", required=False, type=click.Path(path_type=Path)
)
@click.option(
    "--to",
    default="tflite",
    show_default=True,
    callback=lambda context, option, value: check_format(value),
    help="tflite, saved_model or keras.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Path of the result.  [default: in the run, beside the file, or here]",
)
@click.option("--softmax", is_flag=True, help="End the flatbuffer in probabilities instead of logits.")
@click.option(
    "--groups",
    default=passes.SPLIT,
    show_default=True,
    help=f"split: one ordinary convolution for each group, for every LCE kernel; fused: LCE's grouped operator, which "
    f"needs {passes.INDIRECT_FLAG}.",
)
@click.option("--dataset", help="Data set of a Keras file, for proof, accuracy and labels; a run has its own.")
@click.option("--data-dir", help="Where TFDS keeps the data set.")
@preprocessing_option("found by trying on the data set; a run has its own")
@click.option("--explain", is_flag=True, help="Print what became of each Keras layer, and why it is not binary.")
@pass_options
@json_option
def convert(
    source: Path | None,
    to: str,
    output: Path | None,
    softmax: bool,
    groups: str,
    dataset: str | None,
    data_dir: str | None,
    preprocessing: str | None,
    explain: bool,
    without: tuple[str, ...],
    as_json: bool,
):
    """Convert a network, with proof that the flatbuffer is binary and gives the same answers.

    RUN is a run folder; the newest one unless given. FILE is a .keras or .h5 file that Keras 2 saved, of layers of
    Keras, Larq and this library; code in it is never run. NAME:DATASET is a published network, larq_zoo:NAME:imagenet
    one of larq-zoo's.

    \b
    Example:
      ftbnn-larq convert --to tflite
      ftbnn-larq convert ftbnn_r18:cifar10 -o model.tflite
      ftbnn-larq convert larq_zoo:QuickNet:imagenet -o quicknet.tflite
    """
    source = source or newest_run()
    order = plan(
        source,
        to=to,
        output=output,
        softmax=softmax,
        groups=groups,
        without=without,
        dataset=dataset,
        data_dir=data_dir,
        preprocessing=preprocessing,
        explain=explain,
    )
    say(f"converting {source} ...")
    load_tensorflow()
    from ftbnn_larq.conversion.convert import carry_out

    result = carry_out(order, on_event=say)

    def show():
        click.echo(f"{result['path']}: {human_bytes(result['bytes'])}")
        if to == "tflite":
            _show_proof(result)
            if explain:
                _show_layers(result["layers"])
            say(f"next: ftbnn-larq benchmark {shlex.quote(result['path'])}")

    emit(as_json, result, show)


def _show_proof(result: dict) -> None:
    does = {row.name: row.does for row in passes.PASSES}
    table(
        "",
        ["pass", "saved bytes", "operators", ""],
        [[row["name"], row["bytes_saved"], row["operators_saved"], does[row["name"]]] for row in result["passes"]],
    )
    click.echo(f"operators: {_counts(result['operators'])}")
    if result["left_as_they_are"]:
        click.echo(f"of them unknown to the passes and unchanged: {_places(result['left_as_they_are'])}")
    if result["unfolded"]:
        click.echo(f"of them with a constant that was not folded into a layer: {_places(result['unfolded'])}")
    wanted = result["binary_layers"]
    click.echo(f"binary: {result['binary_operators']} of {wanted} convolutions, one a group, are LceBconv2d")
    floats = [row["layer"] for row in result["layers"] if row["float_because"]]
    click.echo(f"float convolutions and dense layers: {', '.join(floats) or 'none'}")
    ties = result["sign_ties"]
    noise = "pictures of noise" + ("" if result["no_data"] else " (no --dataset)")
    pictures = "test pictures" if result["top1"] else noise
    click.echo(
        f"compared with Keras on {result['pictures']} {pictures}: same top-1 on "
        f"{result['top1_agreement']:.1%}, logits within {result['max_abs_diff']:.2g} of a range of "
        f"{result['logits_range']:.3g}" + (f"; on {ties} of them rounding alone turns a sign" if ties else "")
    )
    by_engine = {"lce": [], "ftbnn": []}
    for kernel in result["kernels"]:
        by_engine[engine_of(kernel)].append(kernel)
    proven = f"{', '.join(by_engine['lce'])} of LCE"
    if by_engine["ftbnn"]:
        proven += f", {', '.join(by_engine['ftbnn'])} of ftbnn-runtime"
    else:
        say("warning: not proven on ftbnn-runtime, whose library is missing here: evaluate it with --engine lce")
    click.echo(f"kernels that gave these answers: {proven}")
    if result["needs"]:
        click.echo(f"needs {result['needs']}: LCE's default kernel refuses grouped convolutions")
    rounded = result["int8"]
    if rounded and rounded["layers"]:
        click.echo(
            f"8-bit weights of {', '.join(rounded['layers'])} move logits by up to {rounded['max_abs_diff']:.2g} and "
            f"leave the class of {rounded['top1_agreement']:.1%} of the pictures"
        )
    if result["top1"]:
        top1 = result["top1"]
        click.echo(
            f"top-1 on {top1['examples']} of {top1['of']} test pictures: {top1['keras']:.2%} in Keras before, "
            f"{top1['lce']:.2%} in LCE"
        )
    if result["no_data"]:
        say(f"warning: proven on noise, top-1 not measured: the data set cannot be read: {result['no_data']}")


def _show_layers(layers: list[dict]) -> None:
    rows = []
    for row in layers:
        became = _counts(row["operators"]) + (f", within {row['within']}" if row["within"] else "")
        rows.append([row["layer"], row["type"], became or "nothing", row["float_because"] or ""])
    table("", ["layer", "type", "became", "not binary, because"], rows)


def _places(layers: dict[str, list[str]]) -> str:
    return "; ".join(f"{kind} of {', '.join(dict.fromkeys(names))}" for kind, names in layers.items())


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())
