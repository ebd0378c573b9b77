"""ftbnn-larq convert"""

from __future__ import annotations

from pathlib import Path

import click

from ftbnn_larq.cli.output import emit, human_bytes, json_option, load_tensorflow, newest_run, say


@click.command()
@click.argument("run", required=False, type=click.Path(path_type=Path))
@click.option("--to", "to", default="tflite", show_default=True, help="tflite, saved_model or keras.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Path of the result.  [default: in the run]")
@click.option("--softmax", is_flag=True, help="End the flatbuffer in probabilities instead of logits.")
@json_option
def convert(run: Path | None, to: str, output: Path | None, softmax: bool, as_json: bool):
    """Convert a run's network, with proof that the flatbuffer is binary and gives the same answers.

    \b
    Example:
      ftbnn-larq convert --to tflite
    """
    from ftbnn_larq import runs
    from ftbnn_larq.deploy.sidecar import check_format, destination

    # Refused before TensorFlow is loaded.
    check_format(to)
    run = run or newest_run()
    destination(run, to, output)
    runs.open_run(run).check_weights()
    say(f"converting {run} ...")
    load_tensorflow()
    from ftbnn_larq.deploy import convert as deploy

    result = deploy.convert(run, to=to, output=output, softmax=softmax)

    def show():
        click.echo(f"{result['path']}: {human_bytes(result['bytes'])}")
        if to == "tflite":
            census = ", ".join(f"{count} {name}" for name, count in result["operators"].items())
            click.echo(f"operators: {census}")
            click.echo(f"binary: {result['binary_operators']} of {result['binary_layers']} layers are LceBconv2d")
            ties = result["sign_ties"]
            click.echo(
                f"compared with Keras on {result['pictures']} test pictures: same top-1 on "
                f"{result['top1_agreement']:.1%}, logits within {result['max_abs_diff']:.2g} of a range of "
                f"{result['logits_range']:.3g}" + (f"; on {ties} of them rounding alone turns a sign" if ties else "")
            )
            say(f"next: ftbnn-larq benchmark {result['path']}")

    emit(as_json, result, show)
