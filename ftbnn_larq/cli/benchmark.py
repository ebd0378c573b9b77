"""ftbnn-larq benchmark"""

from __future__ import annotations

from pathlib import Path

import click

from ftbnn_larq.cli.models import size_options
from ftbnn_larq.cli.output import (
    emit,
    human_bytes,
    json_option,
    load_tensorflow,
    newest_flatbuffer,
    say,
    sending,
    table,
)


class _Names(click.ParamType):
    name = "NAMES"

    def convert(self, value, param, ctx) -> tuple[str, ...]:
        return tuple(str(value).split(","))


class _Threads(click.ParamType):
    name = "NUMBERS"

    def convert(self, value, param, ctx) -> tuple[int, ...]:
        try:
            return tuple(int(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is no number, nor several like 1,4", param, ctx)


@click.command()
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.option("--on", default="host", show_default=True, help="host, local, ssh:[user@]host[:port] or adb[:serial].")
@click.option(
    "--engine",
    "engines",
    type=_Names(),
    default="lce",
    show_default=True,
    help="lce, ftbnn (ftbnn-runtime, not on adb), or lce,ftbnn for both.",
)
@click.option("--threads", type=_Threads(), default="1", show_default=True, help="Threads; 1,4 measures both.")
@click.option("--runs", default=50, show_default=True, help="Timed inferences of each file.")
@click.option("--warmup", default=10, show_default=True, help="Inferences before them that are not timed.")
@click.option(
    "--kernel",
    help="Of lce: default, indirect or reference; of ftbnn: avx512, avx2, neon or portable.  [default: what suits "
    "model and machine]",
)
@click.option(
    "--pictures", default="random", show_default=True, help="What goes in: random, or test for the test split."
)
@click.option("--profile", is_flag=True, help="Time by operator, with the slowest layers, as table and picture.")
@click.option(
    "--verify", type=click.IntRange(0), default=0, help="Compare the board's answers on that many real pictures."
)
@click.option("--tool", type=click.Path(path_type=Path), help="LCE's lce_benchmark_model.  [default: see tool fetch]")
@click.option("--runner", default="", help="A command in front of the tool, such as qemu-aarch64.")
@click.option("--keep", is_flag=True, help="Leave tool and models on the board for the next time.")
@click.option(
    "--timeout", type=click.FloatRange(0.1, 1e6), default=600, show_default=True, help="Seconds a run may take."
)
@size_options
@json_option
def benchmark(
    files: tuple[str, ...],
    on: str,
    engines: tuple[str, ...],
    threads: tuple[int, ...],
    profile: bool,
    as_json: bool,
    **options,
):
    """Latency of flatbuffers: one picture, one inference at a time, on this machine or on a board.

    FILE is a flatbuffer, a published NAME:DATASET, or a network by name: ftbnn_r18, larq_zoo:QuickNet,
    keras:MobileNetV2 (float) or keras:MobileNetV2:int8. A network by name is built with random weights at --input-size
    and --classes; larq_zoo:QuickNet:imagenet has larq-zoo's weights. Several files are measured in turn, by each
    engine. The last column is the ratio of the time to that of the first row with as many threads.

    \b
    --on host   this machine, by interpreters in Python: TFLite's with XNNPACK for
                flatbuffers without operators of LCE, --engine for all others
    --on local  this machine, by LCE's benchmark tool, or as a board is
    --on ssh:pi@raspberrypi, --on adb   a board, by the tool: nothing else is needed there;
                by ftbnn-runtime where it has Python, with what `deploy` put there or for this once

    \b
    Example:
      ftbnn-larq benchmark model.tflite larq_zoo:QuickNet --threads 1,4
      ftbnn-larq benchmark keras:MobileNetV3Small ftbnn_r18_pure --engine lce,ftbnn
      ftbnn-larq benchmark --on ssh:pi@raspberrypi --profile --verify 16
      ftbnn-larq benchmark --on ssh:pi@raspberrypi --engine ftbnn,lce
    """
    from ftbnn_larq.benchmarking import benchmark as measure
    from ftbnn_larq.benchmarking import check, networks
    from ftbnn_larq.benchmarking.figures import draw_operators
    from ftbnn_larq.benchmarking.measurements import Journal
    from ftbnn_larq.boards.targets import parse_target
    from ftbnn_larq.conversion.reference import is_converted

    # Refused before anything is built, loaded or sent.
    check(parse_target(on), files, threads, list(engines), **options)
    files = files or (str(newest_flatbuffer()),)
    made = any(is_converted(file) or networks.is_network(file) for file in files)
    if options["verify"] or options["pictures"] == "test" or made:
        _check_files(files, options)
        load_tensorflow()
    journal = Journal(on)
    told = {"on_event": say, "sending": sending, "on_result": journal.keep}
    try:
        results = measure(files, on=on, engine=engines, threads=threads, profile=profile, **told, **options)
    except BaseException:
        if journal.path:
            say(f"what was measured until then is kept in {journal.path}")
        raise
    picture = journal.path.with_suffix(".png")
    has_profile = any("layers" in result for result in results)
    if has_profile:
        draw_operators(results, picture)
    emit(as_json, results, lambda: _show(results, journal.path, picture if has_profile else None))


def _check_files(files: tuple[str, ...], options: dict) -> None:
    from ftbnn_larq.benchmarking import networks
    from ftbnn_larq.benchmarking.models import read_model
    from ftbnn_larq.conversion.reference import is_converted
    from ftbnn_larq.errors import ConfigError
    from ftbnn_larq.inference.sidecar import data_config_beside
    from ftbnn_larq.zoo import trained

    needs_data = options["verify"] or options["pictures"] == "test"
    for file in files:
        if is_converted(file):
            trained.find(file)
        elif networks.is_network(file):
            if needs_data:
                raise ConfigError(f"{file} has random weights and no test pictures: name a flatbuffer")
        else:
            path = read_model(file).path
            if needs_data:
                data_config_beside(path)


def _show(results: list[dict], journal: Path, picture: Path | None) -> None:
    from ftbnn_larq.boards import device

    def row(result):
        latency = result["latency_ms"]
        figures = [_ms(latency[name]) for name in ("median", "min", "std")]
        memory = "?" if result["peak_memory_mb"] is None else f"{result['peak_memory_mb']:.0f} MB"
        run_by = f"{result['engine']}, {result['kernel']}"
        return [result["path"], *figures, str(result["threads"]), run_by, memory, f"{result['ratio']:.3f}"]

    first = results[0]
    table(
        f"milliseconds of one inference; {first['runs']} runs; {device.describe(first['device'])}",
        ["file", "median", "least", "deviation", "threads", "run by", "memory", "ratio"],
        [row(result) for result in results],
    )
    for median_of in sorted({result["latency_ms"]["median_of"] for result in results} - {"runs"}):
        click.echo(f"LCE's tool does not tell each run's time: the median is that of the {median_of}.")
    told = set()
    for result in results:
        if "layers" in result:
            _show_profile(result)
        elif result["path"] not in told:
            told.add(result["path"])
            census = ", ".join(f"{operator['count']} {operator['type']}" for operator in result["operators"])
            click.echo(f"{result['path']}: {human_bytes(result['bytes'])}, {census}")
        if "agreement" in result:
            found = result["agreement"]
            beyond = found["beyond_tolerance"]
            same = f"same class as on this machine on all {found['pictures']} pictures of {found['data']}"
            signs = f"; on {beyond} of them by more, as where a sign that sits on zero is turned" if beyond else ""
            click.echo(
                f"{result['path']}: {same}; scores differ by up to {found['max_abs_diff']:.2g}, rounding explains "
                f"{found['tolerance']:.2g}{signs}"
            )
    for warning in dict.fromkeys(line for result in results for line in result["warnings"]):
        say(f"warning: {warning}")
    engines = {result["engine"] for result in results}
    if first["on"] == "host" and first["device"].get("architecture") == "x86_64" and "lce" in engines:
        click.echo("LCE is made for ARM; x86-64 times rank networks, they don't foretell a board's.")
        if len(engines) > 1:
            click.echo("LCE has no kernels for x86-64, the others have: a ratio to LCE's time says nothing about ARM.")
    click.echo(f"kept in {journal}" + (f", the operators drawn in {picture}" if picture else ""))


def _show_profile(result: dict) -> None:
    whole = sum(operator["ms"] for operator in result["operators"]) or 1
    rows = [
        [operator["type"], str(operator["count"]), _ms(operator["ms"]), f"{operator['ms'] / whole:.1%}"]
        for operator in result["operators"]
    ]
    title = f"{result['path']}, {result['kernel']}, {result['threads']} thread(s): milliseconds by operator"
    table(title, ["operator", "calls", "ms", "share"], rows)
    rows = [
        [layer["layer"], layer["type"], _ms(layer["ms"]), f"{layer['ms'] / whole:.1%}"]
        for layer in result["layers"][:10]
    ]
    if result["engine"] == "ftbnn":
        click.echo("A step of ftbnn-runtime does the work of several operators. What TFLite runs itself is one row.")
    elif result["on"] == "host":
        click.echo("Each operator was timed by itself: together they need not take what the whole does.")
    table("the slowest layers", ["layer", "operator", "ms", "share"], rows)


def _ms(value: float | None) -> str:
    return "?" if value is None else f"{value:.3f}"
