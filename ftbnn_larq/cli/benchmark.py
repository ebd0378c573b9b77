"""ftbnn-larq benchmark"""

from __future__ import annotations

from pathlib import Path

import click

from ftbnn_larq.cli.output import emit, json_option, newest_flatbuffer, say, table


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option("--on", default="host", show_default=True, help="Where: host is this machine.")
@click.option("--threads", default=1, show_default=True, help="Threads of the interpreter.")
@click.option("--runs", default=50, show_default=True, help="Timed inferences.")
@click.option("--warmup", default=10, show_default=True, help="Inferences before them that are not timed.")
@click.option("--kernel", help="default, indirect or reference.  [default: indirect on x86-64, else default]")
@json_option
def benchmark(
    files: tuple[Path, ...], on: str, threads: int, runs: int, warmup: int, kernel: str | None, as_json: bool
):
    """Latency of flatbuffers: one picture, one inference at a time.

    \b
    Example:
      ftbnn-larq benchmark model.tflite --threads 2
    """
    from ftbnn_larq.benchmarking import benchmark as measure

    files = files or (newest_flatbuffer(),)
    for path in files:
        say(f"measuring {path} ...")
    results = measure(files, on=on, threads=threads, runs=runs, warmup=warmup, kernel=kernel)

    def show():
        first = results[0]
        device = first["device"]
        rows = [
            [result["path"], *(f"{result['latency_ms'][name]:.3f}" for name in ("median", "mean", "min", "p95"))]
            for result in results
        ]
        title = f"{device['cpu']}, {first['kernel']} kernel, {threads} thread(s), {runs} runs; ms"
        table(title, ["file", "median", "mean", "min", "p95"], rows)
        for result in results:
            census = ", ".join(f"{row['count']} {row['type']}" for row in result["operators"])
            click.echo(f"{result['path']}: peak memory {result['peak_memory_mb']:.0f} MB; {census}")
        if on == "host" and device["architecture"] == "x86_64":
            click.echo("LCE is made for ARM; x86-64 times rank networks, they don't foretell a board's.")

    emit(as_json, results, show)
