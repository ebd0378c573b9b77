"""ftbnn-larq report"""

from __future__ import annotations

from pathlib import Path

import click

from ftbnn_larq.cli.output import MEASUREMENTS, RUNS, emit, human_bytes, json_option, load_tensorflow, say


@click.command()
@click.option("--runs", type=click.Path(path_type=Path), help=f"Folder of runs.  [default: {RUNS}]")
@click.option(
    "--measurements",
    type=click.Path(path_type=Path),
    help=f"Folder of what benchmark measured.  [default: {MEASUREMENTS}]",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), default="report.html", show_default=True, help="The page."
)
@json_option
def report(runs: Path | None, measurements: Path | None, output: Path, as_json: bool):
    """One self-contained HTML page: runs with their curves, models by accuracy and cost, benchmarks, operators.

    \b
    Example:
      ftbnn-larq report -o report.html
    """
    from ftbnn_larq.errors import ConfigError
    from ftbnn_larq.report import counted
    from ftbnn_larq.report import report as write

    for folder in filter(None, (runs, measurements)):
        if not folder.is_dir():
            raise ConfigError(f"{folder}: no such folder: name another, or leave the option out")
    runs, measurements = runs or Path(RUNS), measurements or Path(MEASUREMENTS)
    if output.is_dir():
        raise ConfigError(f"{output} is a folder: name the page, such as {output / 'report.html'}")
    if any(runs.glob("*/result.json")):
        load_tensorflow()
    result = write(output, runs=runs, measurements=measurements)

    def show():
        told = [counted(result["runs"], "run"), counted(result["measurements"], "measurement")]
        click.echo(f"{result['path']}: {', '.join(told)}, {human_bytes(result['bytes'])}")

    for path in result["left_out"]:
        say(f"left out, cannot be read: {path}")
    emit(as_json, result, show)
