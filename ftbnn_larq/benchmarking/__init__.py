"""Flatbuffer in, measurements out: on this machine, or on a board by ftbnn-runtime or LCE's benchmark tool."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager

from ftbnn_larq.benchmarking import machines, measurements
from ftbnn_larq.benchmarking.jobs import Job, make_jobs
from ftbnn_larq.benchmarking.models import Model, read_model
from ftbnn_larq.benchmarking.statistics import split
from ftbnn_larq.boards import device
from ftbnn_larq.boards.session import Told, silent
from ftbnn_larq.boards.targets import Target, parse_target
from ftbnn_larq.conversion.reference import flatbuffer_of, is_converted
from ftbnn_larq.documents import quoted
from ftbnn_larq.errors import ConfigError, UnknownNameError
from ftbnn_larq.inference.interpreter import ENGINES, check_engine, engine_of

MOST_RUNS, MOST_THREADS = 10**6, 1_024
# Unless given: the longest that a run may take, and the side and classes of a network by name.
SECONDS, SIDE, CLASSES = 600, 224, 1000


def benchmark(
    files: str | os.PathLike | Iterable[str | os.PathLike],
    *,
    on: str = "host",
    engine: str | Sequence[str] = "lce",
    threads: int | Sequence[int] = 1,
    runs: int = 50,
    warmup: int = 10,
    kernel: str | None = None,
    tool: str | os.PathLike | None = None,
    runner: str = "",
    profile: bool = False,
    verify: int = 0,
    pictures: str = "random",
    keep: bool = False,
    timeout: float = SECONDS,
    input_size: int = SIDE,
    classes: int = CLASSES,
    on_event: Callable[[str], None] = lambda line: None,
    sending: Callable[[int], AbstractContextManager[Callable[[int], None]]] = silent,
    on_result: Callable[[list[dict]], None] = lambda documents: None,
) -> list[dict]:
    """Latency of flatbuffers, one inference of one picture at a time, all of them in turn so that drift hits all alike.

    Arguments:
        files: flatbuffers, published ones as NAME:DATASET, or names of networks ("ftbnn_r18", "larq_zoo:QuickNet",
            "keras:MobileNetV2", "keras:MobileNetV2:int8"), which are built with random weights, or
            "larq_zoo:QuickNet:imagenet".
        on: "host" is an interpreter in Python on this machine; "local" this machine as a board is,
            "ssh:[user@]host[:port]" and "adb[:serial]" a board.
        engine: what runs flatbuffers with operators of LCE: "lce" is LCE's interpreter on "host" and its benchmark tool
            on a board, "ftbnn" ftbnn-runtime in TFLite's, not on "adb"; several are measured in turn. TFLite's with
            XNNPACK runs all others.
        threads: of the interpreter; several numbers measure each.
        runs, warmup: timed inferences of each file, and those before them that are not.
        kernel: of LCE, "default", "indirect" or "reference"; of ftbnn-runtime, the instruction set. What suits the
            model and the machine unless given.
        tool: LCE's lce_benchmark_model for the board; the one fetched for it unless given.
        runner: a command to put in front of the tool, such as an emulator.
        profile: measure the time of each operator too; of ftbnn-runtime, of each of its steps.
        verify: compare the board's answers with this machine's on so many pictures; see `agreement.real_pictures`.
        pictures: "random", or "test": the first of the test split.
        keep: leave tool and models on the board for the next time.
        timeout: the most seconds that one run of the tool may take.
        input_size, classes: of networks given by name.
        on_event: told what goes on, a line at a time.
        sending: see `boards.session.Told`.
        on_result: told all results so far whenever there is more of them.

    Returns:
        For each number of threads, file and engine `{path, input_shape, classes, on, when, device, engine, kernel,
        kernel_reason, threads, runs, input, latency_ms: {mean, median, min, max, std, p95, median_of}, rounds_ms,
        ratio, bytes, sha256, peak_memory_mb, operators: [{type, count, ms}], layers: [{layer, type, ms, calls}],
        agreement, warnings}`. `ratio` is to the first of as many threads; `layers` and `ms` are there with `profile`,
        `agreement` with `verify`.

    Raises:
        ModelFileError: a file that cannot be loaded.
        ConfigError, UnknownNameError: a target, a number or a name that cannot be used.
        BoardError, ToolError: the board or the benchmark tool failed.
    """
    target = parse_target(on)
    threads = [threads] if isinstance(threads, int) else list(threads)
    engines = [engine] if isinstance(engine, str) else list(engine)
    files = [os.fspath(file) for file in ([files] if isinstance(files, str | os.PathLike) else files)]
    check(
        target,
        files,
        threads,
        engines,
        runs=runs,
        warmup=warmup,
        kernel=kernel,
        pictures=pictures,
        tool=tool,
        runner=runner,
        verify=verify,
        keep=keep,
        timeout=timeout,
        input_size=input_size,
        classes=classes,
    )
    with tempfile.TemporaryDirectory() as folder:
        models = [_model(file, folder, input_size, classes, on_event) for file in files]
        of_test = pictures == "test"
        chosen = {model.path: _pictures(model, verify or 8, of_test) for model in models if verify or of_test}
        given = {"tool": tool, "runner": runner, "keep": keep, "seconds": timeout}
        with machines.opened(target, engines, told=Told(on_event, sending), **given) as (machine, engines):
            facts = machine.facts
            on_event(device.describe(facts))
            warnings = device.warnings(facts)
            rows = make_jobs(machine, models, threads, engines, kernel)
            for job in rows:
                job.warnings += warnings
                if job.threads == threads[0]:
                    on_event(job.told)
            when = time.strftime(measurements.WHEN)

            def results() -> list[dict]:
                return [job.document(on, facts, when, pictures) for job in rows if job.rounds]

            parts = split(runs, machine.rounds)
            for index, part in enumerate(parts):
                on_event(f"round {index + 1} of {len(parts)} ...")
                for job in rows:
                    real = chosen[job.model.path][0] if of_test else None
                    turn = {"runs": part, "warmup": -(-warmup // len(parts)), "pictures": real}
                    job.rounds.append(machine.round(job.model, job.kernel, job.threads, **turn))
                    on_result(results())
            for job in rows:
                job.inspected(**machine.inspect(job.model, job.kernel, job.threads, profile=profile))
                if profile and "layers" not in job.found:
                    job.warnings.append(
                        f"{job.model.name}: no times by operator: TFLite's interpreter has no profiler: LCE's tool has "
                        "one, --engine lce"
                    )
                on_result(results())
            after = machine.state()
            for job in rows:
                job.warnings += [line for line in device.warnings(after) if line not in job.warnings]
            if verify:
                for job in (job for job in rows if job.threads == threads[0]):
                    job.found["agreement"] = _agreement(machine, job, *chosen[job.model.path])
                    on_result(results())
            on_result(results())
            return results()


def check(
    target: Target,
    files: Iterable[str],
    threads: Sequence[int],
    engines: Sequence[str],
    *,
    runs,
    warmup,
    kernel,
    pictures,
    tool,
    runner,
    verify,
    keep,
    timeout,
    input_size,
    classes,
) -> None:
    """Raises ConfigError or UnknownNameError for arguments of `benchmark` that cannot be used."""
    from ftbnn_larq.benchmarking import networks

    if not (1 <= runs <= MOST_RUNS and 0 <= warmup <= MOST_RUNS):
        raise ConfigError(
            f"{quoted(runs)} runs after {quoted(warmup)} for warm-up: at least 1 run is needed, and {MOST_RUNS:,} are "
            "the most"
        )
    if not threads or min(threads) < 1 or max(threads) > MOST_THREADS:
        raise ConfigError(
            f"{', '.join(map(quoted, threads)) or 'no'} threads: at least 1 is needed, and {MOST_THREADS} are the most"
        )
    for engine in engines:
        check_engine(engine)
    if not engines or len(set(engines)) < len(engines):
        raise ConfigError(f"engine {','.join(engines)!r}: lce, ftbnn, or both, each once")
    known = [each for engine in engines for each in ENGINES[engine]]
    if kernel is not None and kernel not in known:
        raise UnknownNameError("kernel", kernel, known, hint=f"(engine {', '.join(engines)})")
    if target.kind == "adb" and engines != ["lce"]:
        raise ConfigError("engine ftbnn: needs Python, which Android has not: leave it out, LCE's tool runs there")
    if target.kind != "host" and "lce" not in engines and (tool or runner or keep):
        raise ConfigError("the benchmark tool is LCE's: leave --tool, --runner and --keep out, or add lce to --engine")
    if pictures not in ("random", "test"):
        raise ConfigError(f"pictures {pictures!r}: random or test")
    if verify < 0:
        raise ConfigError(f"{verify} pictures to verify on: at least 1 is needed")
    if target.kind == "host" and (tool or runner):
        raise ConfigError("host is the interpreter in Python; to run the benchmark tool here say --on local")
    if target.kind == "host" and verify:
        raise ConfigError("host is what boards are compared with: --verify needs another --on")
    if target.kind == "host" and (keep or timeout != SECONDS):
        raise ConfigError("host sends nothing and has no time limit: --keep and --timeout need another --on")
    if (input_size, classes) != (SIDE, CLASSES) and not any(
        not is_converted(file) and networks.is_network(file) for file in files
    ):
        raise ConfigError(
            f"{input_size}x{input_size} and {classes} classes: flatbuffers have sizes of their own: leave --input-size "
            "and --classes out, or name a network"
        )


def _model(file: str, folder: str, input_size: int, classes: int, on_event) -> Model:
    from ftbnn_larq.benchmarking import networks

    if is_converted(file):
        return read_model(flatbuffer_of(file, folder, on_event), file)
    if not networks.is_network(file):
        return read_model(file)
    on_event(f"building and converting {file}, {input_size}x{input_size}, random weights ...")
    return read_model(networks.build(file, folder, input_size=input_size, classes=classes), file)


def _pictures(model: Model, count: int, of_test: bool) -> tuple:
    """Real pictures, and what data they are of; of the test split alone if asked for."""
    from ftbnn_larq.inference import agreement
    from ftbnn_larq.inference.sidecar import data_config_beside

    if of_test:
        return agreement.test_pictures(model.path, count), data_config_beside(model.path).name
    return agreement.real_pictures(model.path, count)


def _agreement(machine, job: Job, pictures, data: str) -> dict:
    from ftbnn_larq.benchmarking.host import Host
    from ftbnn_larq.inference.agreement import agreement

    is_lce = engine_of(job.kernel) == "lce"
    with Host() as host:
        kernel = host.isa if engine_of(job.kernel) == "ftbnn" else job.model.kernel(host.fastest)
        expected = host.answers(job.model, kernel[0], pictures)
    advice = "try --kernel default, or another build of the tool" if is_lce else "try --kernel portable"
    answers = machine.answers(job.model, job.kernel, pictures)
    return {"data": data, **agreement(job.model.path, expected, answers, advice)}
