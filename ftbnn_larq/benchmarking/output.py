"""What TFLite's and LCE's `benchmark_model` prints: timings, memory, profile. Microseconds in, milliseconds out."""

from __future__ import annotations

import dataclasses
import re

from ftbnn_larq.benchmarking.statistics import Timing
from ftbnn_larq.errors import ToolError

_NUMBER = r"-?(?:nan|inf|\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)"
# What loggers put in front of a line: the level in newer builds; date, process, tag and level in Android's and glog's.
_PREFIX = re.compile(
    r"^(?:(?:\d\d[-\d]*\s+)?\d\d:\d\d:\d\d\.\d+.*?\sI\s+(?:tflite\s*:\s*|\S+\]\s)?)?(?:(?:INFO|VERBOSE):\s?)?"
)
_STAT_KEYS = {"count", "first", "curr", "min", "max", "avg", "std", "p5", "median", "p95"}
_MEMORY = re.compile(rf"(?:Memory footprint delta|Peak memory footprint).* \(MB\):.*overall=({_NUMBER})")
_PEAK = re.compile(rf"Overall peak memory footprint \(MB\) via periodic monitoring: ({_NUMBER})")
_INIT = re.compile(rf"nference timings in us:.*\bInit: ({_NUMBER})")
_UNKNOWN_FLAGS = re.compile(r"Unconsumed cmdline flags: (.*)")


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of a profile's "Run Order".

    Attributes:
        type: "LceBconv2d", or what a delegate calls it, such as "PReLU (NC, F32)".
        name: the names of the output tensors, cut, and the operator's number: "[model/conv/BiasAdd]:3".
        ms: in one inference, all calls together.
        calls: in one inference; a delegate's operators of one type are one row.
    """

    type: str
    name: str
    ms: float
    calls: int


@dataclasses.dataclass(frozen=True)
class Output:
    """All of one run of the tool.

    Attributes:
        timing, warmup: of the measured inferences, and of those before them.
        init_ms: loading the model.
        memory_mb: growth of the process from its start to the end, MB.
        peak_memory_mb: the most it held, where the tool was asked for it, MB.
        rows: the profile in order of execution, where the tool was asked for it.
        unknown_flags: what the tool did not know and ran without.
    """

    timing: Timing
    warmup: Timing | None
    init_ms: float | None
    memory_mb: float | None
    peak_memory_mb: float | None
    rows: tuple[Row, ...]
    unknown_flags: str


def parse(text: str) -> Output:
    """Read the tool's standard output, with standard error among it or not; a profile in text or CSV form.

    Raises:
        ToolError: the tool failed, was cut off, or printed a line that cannot be read; the message quotes the line.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    found = [(line, stat) for line in lines if (stat := _stat_line(_plain(line))) is not None]
    rows, profile_timing = _profile(lines)
    if len(found) > 2:
        raise ToolError(f"output of more than one benchmark: a third result in {found[2][0].strip()!r}")
    timings = [timing for _, timing in found]
    if not found and profile_timing:
        timings = [None, profile_timing]
    if len(timings) < 2 or timings[1] is None or timings[1].count == 0:
        raise ToolError(_why_no_result(lines))
    return Output(
        timing=timings[1],
        warmup=timings[0] if timings[0] and timings[0].count else None,
        init_ms=_first(_INIT, lines, 1e-3),
        memory_mb=_first(_MEMORY, lines),
        peak_memory_mb=_first(_PEAK, lines),
        rows=tuple(rows),
        unknown_flags=next((match[1].strip() for line in lines if (match := _UNKNOWN_FLAGS.search(line))), ""),
    )


def complaint(text: str) -> str:
    """What the tool complained of, on one line: the first error that gives a reason; empty where there is none."""
    said = [match[1].strip() for line in text.splitlines() if (match := re.search(r"\b(?:ERROR|FATAL):?\s+(.*)", line))]
    vague = ("Benchmarking failed", "Failed to a")
    telling = [line for line in said if not line.startswith(vague)]
    return " ".join((telling or said)[:1])


def _plain(line: str) -> str:
    return _PREFIX.sub("", line.strip())


def _first(pattern: re.Pattern, lines: list[str], factor: float = 1.0) -> float | None:
    found = next((match[1] for line in lines if (match := pattern.search(line))), None)
    return None if found is None else float(found) * factor


def _why_no_result(lines: list[str]) -> str:
    said = complaint("\n".join(lines))
    if said:
        return f"the tool refused: {said}"
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    if not last:
        return "the tool printed nothing"
    return f"the tool's output holds no result; it ends in {last[:200]!r}"


def _stat_line(plain: str, start: str = "count=") -> Timing | None:
    """The statistics of a line that begins with `start`; None for any other line."""
    if not plain.startswith(start):
        return None
    said = plain[len(start) - len("count=") :].replace("(all same)", " ")
    fields = [field.partition("=") for field in said.split()]
    if any(key not in _STAT_KEYS or not re.fullmatch(_NUMBER, value) for key, _, value in fields):
        raise ToolError(f"cannot read this line of the benchmark tool: {plain!r}")
    values = {key: float(value) for key, _, value in fields}
    count = int(values["count"])
    if count == 0:
        return Timing(0, 0.0, 0.0, 0.0, 0.0)
    # Runs that took all the same time, such as a single one, are told once.
    same = None if "first" in values else values.get("curr")
    wanted = {name: values.get(key, same) for name, key in (("mean", "avg"), ("min", "min"), ("max", "max"))}
    wanted["std"] = values.get("std", None if same is None else 0.0)
    if None in wanted.values():
        raise ToolError(f"cannot read this line of the benchmark tool, it lacks a figure: {plain!r}")
    percentiles = {name: values.get(name) for name in ("p5", "median", "p95")}
    if same is not None:
        percentiles = dict.fromkeys(percentiles, same)
    return Timing(
        count, **{name: None if value is None else value / 1e3 for name, value in {**wanted, **percentiles}.items()}
    )


def _profile(lines: list[str]) -> tuple[list[Row], Timing | None]:
    """The rows of the operators' "Run Order", and the timing that the profile gives itself.

    Tables of the initialisation, of subgraphs and of what happens inside a delegate's node come besides; the time of
    the last two is part of the operators' own.
    """
    rows, timing, columns = [], None, None
    ours, in_order, listed = True, False, False
    for line in lines:
        plain = _plain(line)
        if "Profiling Info for" in plain:
            ours = "Initialization" not in plain
        elif re.match(r"Delegate internal:|Subgraph \(index: \d+\) profile", plain):
            ours = False
        elif plain.startswith("Primary graph profile"):
            ours = True
        elif plain.startswith("====="):
            in_order = "Run Order" in plain
            columns = None
        elif plain.startswith(("Number of nodes executed", "Timings (microseconds)", "Memory (bytes)")):
            in_order = False
            if listed and ours and plain.startswith("Number of nodes"):
                _check_count(plain, rows)
            elif ours and plain.startswith("Timings"):
                timing = timing or _stat_line(plain, "Timings (microseconds): count=")
        elif in_order and ours:
            if columns is None:
                columns = _columns(plain)
                listed = listed or columns is not None
            elif row := _row(plain, columns):
                rows.append(row)
    return rows, timing


def _columns(plain: str) -> list[str] | None:
    """The names of a table's columns, "node type" first and "name" last; None if the line is no header."""
    if not plain.lower().lstrip("[").startswith("node type"):
        return None
    names = re.findall(r"\[([^\]]*)\]", plain) if plain.startswith("[") else plain.split(",")
    return [name.strip().lower().replace("_", " ") for name in names]


def _row(line: str, columns: list[str]) -> Row | None:
    separator = r"[\t ,]\s*"
    figures = "".join(f"{separator}({_NUMBER})%?" for _ in columns[1:-1])
    match = re.fullmatch(rf"\s*(\S.*?){figures}(?:{separator}(.*))?", line)
    if not match:
        # Standard error may come between any two lines; a row it is not.
        if len(re.findall(r"\d%", line)) > 1:
            raise ToolError(f"cannot read this row of the benchmark tool's profile: {line.strip()!r}")
        return None
    values = dict(zip(columns, match.groups(), strict=True))
    calls = int(float(values.get("times called") or 1))
    # The average is that of a call, not of an inference.
    return Row(values["node type"], (values["name"] or "").strip(), float(values["avg ms"]) * max(1, calls), calls)


def _check_count(plain: str, rows: list[Row]) -> None:
    wanted = int(re.sub(r"\D", "", plain) or 0)
    if wanted != len(rows):
        raise ToolError(f"the profile lists {len(rows)} operators but says {plain!r}: part of the output is missing")
