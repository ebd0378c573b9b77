"""ftbnn-larq deploy"""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from ftbnn_larq.cli.options import ModelFile, to_option
from ftbnn_larq.cli.output import emit, human_bytes, json_option, load_tensorflow, newest_flatbuffer, say, sending


@click.command()
@click.argument("file", required=False, type=ModelFile())
@click.option("--on", required=True, help="ssh:[user@]host[:port], or local for this machine.")
@to_option
@click.option(
    "--verify",
    type=click.IntRange(min=1, max=1000),
    help="Real pictures on which the board has to give this machine's answers.  [default: 8]",
)
@click.option("--remove", "taken_away", is_flag=True, help="Take away what was deployed.")
@json_option
def deploy(file: Path | None, on: str, to: str, verify: int | None, taken_away: bool, as_json: bool):
    """Put a classifier on a board: FILE, a .tflite file with its .json beside it, or a published NAME:DATASET.

    larq_zoo:NAME:imagenet is a network of larq-zoo with its weights, converted for it.

    The board needs Python 3.9 to 3.14, and no internet: an interpreter, numpy, Pillow and ftbnn-runtime are fetched
    here and brought there. What is there already is not sent again. A new version takes the old one's place once it
    has given this machine's answers; until then the old one works.

    \b
    Example:
      ftbnn-larq deploy model.tflite --on ssh:pi@raspberrypi
      ssh pi@raspberrypi ftbnn/classify photo.jpg
      ftbnn-larq deploy --on ssh:pi@raspberrypi --remove
    """
    from ftbnn_larq.boards import deployment
    from ftbnn_larq.conversion.reference import flatbuffer_of, is_converted
    from ftbnn_larq.errors import ConfigError
    from ftbnn_larq.inference.sidecar import data_config_beside
    from ftbnn_larq.zoo import trained

    deployment.check(on, to)
    if taken_away:
        if file:
            raise ConfigError(f"{file}: --remove takes away whatever is deployed: leave the file out")
        if verify:
            raise ConfigError(f"--verify {verify}: --remove leaves nothing to be verified: leave it out")
        removed = deployment.remove(on=on, to=to)
        kept = f"; left there, for others put it in: {', '.join(removed['kept'])}" if removed["kept"] else ""
        emit(as_json, removed, lambda: click.echo(f"removed from {removed['to']}{kept}"))
        return
    file = file or newest_flatbuffer()
    with tempfile.TemporaryDirectory() as folder:
        if is_converted(file):
            trained.find(file)
            load_tensorflow()
            file = flatbuffer_of(file, folder, say)
        data_config_beside(deployment.check_network(file))
        result = deployment.deploy(file, on=on, to=to, pictures=verify or 8, told=deployment.Told(say, sending))

    def show():
        verified = result["verified"]
        click.echo(
            f"deployed to {result['to']}, {human_bytes(result['bytes_sent'])} sent"
            f"{'' if result['venv'] else '; its Python makes no venv, so the packages are in a folder'}"
        )
        beyond = verified["beyond_tolerance"]
        more = (
            f"; scores differ beyond rounding on {beyond}, as where a sign that sits on zero is turned"
            if beyond
            else ""
        )
        click.echo(f"same class as on this machine on {verified['pictures']} pictures of {verified['data']}{more}")
        click.echo(f"type: {result['command']}")

    emit(as_json, result, show)
