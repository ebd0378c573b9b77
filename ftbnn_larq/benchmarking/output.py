"""What TFLite's and LCE's `benchmark_model` prints: timings, memory, profile. Microseconds in, milliseconds out.

A line is known by words within it, never by how it begins: builds and logs put level, date, file or process in front.
"""

from __future__ import annotations

import dataclasses
import math
import re

from ftbnn_larq.benchmarking.statistics import Timing
from ftbnn_larq.errors import ToolError

_NUMBER = r"-?\d+(?:\.\d*)?(?:[eE][-+]?\d\d?)?"
_SHARE = rf"(?:{_NUMBER}|-?nan|-?inf)%?"
# No time in microseconds, nor memory in MB, is larger: it is a number that overflowed.
_MOST = 1e15
# The oldest builds tell `curr` before `count`.
_STATISTICS = re.compile(r"\b(?:count=\S+ (?:first|curr)=.*|count=0\s*$|curr=\S+ count=.*)")
_STATISTICS_KEYS = {"count", "first", "curr", "min", "max", "avg", "std", "p5", "median", "p95"}
# What a profile says of itself.
_OF_PROFILE = re.compile(r"Timings \(microseconds\):|Memory \(bytes\):")
_AVERAGE = re.compile(rf"(?:Inference \(avg\)|no stats): ({_NUMBER})")
_PEAK = re.compile(rf"Overall peak memory footprint \(MB\) via periodic monitoring: ({_NUMBER})")
_GROWTH = re.compile(rf"(?:Memory footprint delta|Peak memory footprint).* \(MB\):.*overall=({_NUMBER})")


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
        timing: of the measured inferences.
        memory_mb: the most that the process held where the tool says so, else how much it grew, MB.
        rows: the profile in order of execution, where the tool was asked for it.
    """

    timing: Timing
    memory_mb: float | None
    rows: tuple[Row, ...]


def parse(text: str) -> Output:
    """Read the tool's standard output, with standard error among it or not; a profile in text or CSV form.

    Raises:
        ToolError: the tool failed, was cut off, or printed a line that cannot be read; the message quotes the line.
    """
    colourless = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)
    lines = re.split(r"\r*\n", colourless)
    rows, timing = _profile(lines)
    results = [line for line in lines if _STATISTICS.search(line) and not _OF_PROFILE.search(line)]
    if len(results) > 2:
        raise ToolError(f"output of more than one benchmark: a third result in {_short(results[2])}")
    timings = [_timing(line) for line in results]
    # The first is the warm-up; of a single one the average at the end says whether it is the measurement.
    average = _first(_AVERAGE, lines)
    if len(timings) == 2 or (timings and average and math.isclose(timings[0].mean, average / 1e3, rel_tol=1e-5)):
        timing = timings[-1]
    elif timings:
        timing = None
    if timing is None or timing.count == 0:
        raise ToolError(_why_no_result(lines))
    peak = _first(_PEAK, lines)
    return Output(timing, _first(_GROWTH, lines) if peak is None else peak, tuple(rows))


def complaint(text: str) -> str:
    """What the tool complained of, on one line: the first error that gives a reason; empty where there is none."""
    said = [match[1].strip() for line in text.splitlines() if (match := re.search(r"\b(?:ERROR|FATAL):?\s+(.*)", line))]
    vague = ("Benchmarking failed", "Failed to a")
    telling = [line for line in said if not line.startswith(vague)]
    return " ".join((telling or said)[:1])


def _first(pattern: re.Pattern, lines: list[str]) -> float | None:
    return next((_number(match[1], line) for line in lines if (match := pattern.search(line))), None)


def _number(text: str, line: str, least: float = -_MOST) -> float:
    """The number in a part of a line. Raises ToolError if it can be none of a measurement."""
    if least <= (value := float(text)) <= _MOST:
        return value
    raise ToolError(f"no measurement, {text[:40]} in this line of the benchmark tool: {_short(line)}")


def _short(line: str) -> str:
    return repr(line.strip()[:300])


def _why_no_result(lines: list[str]) -> str:
    said = complaint("\n".join(lines))
    if said:
        return f"the tool refused: {said}"
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    if not last:
        return "the tool printed nothing: is it LCE's lce_benchmark_model?"
    return f"the tool's output holds no result; it ends in {last[:200]!r}: is it LCE's lce_benchmark_model?"


def _timing(line: str) -> Timing:
    """The statistics in a line."""
    found = _STATISTICS.search(line)
    said = found[0].replace("(all same)", " ") if found else line
    values = dict(field.partition("=")[::2] for field in said.split())
    # Of runs that hardly differ the tool draws the root of a number below zero.
    if re.fullmatch(r"-?nan|-\d+", values.get("std", "")):
        values["std"] = "0"
    if not values.keys() <= _STATISTICS_KEYS or not all(re.fullmatch(_NUMBER, value) for value in values.values()):
        raise ToolError(f"cannot read this line of the benchmark tool: {_short(line)}")
    values = {key: _number(value, line, 0) / 1e3 for key, value in values.items()}
    count = round(values.pop("count") * 1e3)
    if count == 0:
        return Timing(0, 0.0, 0.0, 0.0, 0.0)
    # Runs that took all the same time, such as a single one, are told once.
    if values.keys() <= {"curr", "p5", "median", "p95"}:
        values = {**dict.fromkeys(("avg", "min", "max", "median", "p95"), values["curr"]), "std": 0.0}
    if not {"avg", "min", "max", "std"} <= values.keys():
        raise ToolError(f"cannot read this line of the benchmark tool, it lacks a figure: {_short(line)}")
    if 0 in (values["avg"], values.get("median")):
        raise ToolError(f"no measurement, a time of 0 in this line of the benchmark tool: {_short(line)}")
    spread = values.get("median"), values.get("p95")
    return Timing(count, values["avg"], values["min"], values["max"], values["std"], *spread)


def _profile(lines: list[str]) -> tuple[list[Row], Timing | None]:
    """The rows of the operators' "Run Order", and the timing that the profile gives itself.

    Tables of the initialisation, of subgraphs and of what happens inside a delegate's node come besides; the time of
    the last two is part of the operators' own.
    """
    rows, timing, columns = [], None, None
    regular, primary, in_order = True, True, False
    for line in lines:
        if "Profiling Info for" in line:
            regular, primary = "Initialization" not in line, True
        elif re.search(r"Delegate internal:|Subgraph \(index: .*\) profile:", line):
            primary = False
        elif re.search(r"Primary graph .*profile:", line):
            primary = True
        elif not regular or not primary:
            continue
        elif "=====" in line:
            in_order, columns = "Run Order" in line, None
        elif match := re.search(r"Number of nodes executed: (\d+)", line):
            if match[1] != str(len(rows)):
                raise ToolError(
                    f"the profile lists {len(rows)} operators but says {match[0][:80]!r}: part of the output is missing"
                )
        elif "Timings (microseconds): count=" in line:
            timing = timing or _timing(line)
        elif in_order and "node type" in line.lower():
            columns = _columns(line)
        elif columns and (row := _row(line, columns)):
            rows.append(row)
    return rows, timing


def _columns(header: str) -> list[str]:
    """The names of a table's columns, "node type" first and "name" last."""
    text = header.lower()[max(0, header.lower().index("node type") - 1) :]
    names = re.findall(r"\[([^\]]*)\]", text) if text.startswith("[") else text.split(",")
    names = [name.strip().replace("_", " ") for name in names]
    if names[0] != "node type" or names[-1] != "name" or "avg ms" not in names:
        raise ToolError(f"cannot read this header of the benchmark tool's profile: {_short(header)}")
    return names


def _row(line: str, columns: list[str]) -> Row | None:
    # A row of text begins with a tab.
    start, separator = (r"[^\t]*\t\s*", r"\s*\t\s*") if "\t" in line else (r"\s*", r",\s*")
    figures = "".join(f"{separator}({_SHARE if '%' in name else _NUMBER})" for name in columns[1:-1])
    match = re.fullmatch(rf"{start}(\S.*?){figures}(?:{separator}(.*))?", line)
    if not match:
        # Standard error may come between any two lines; a row it is not.
        if len(re.findall(r"\d%", line)) > 1:
            raise ToolError(f"cannot read this row of the benchmark tool's profile: {_short(line)}")
        return None
    values = dict(zip(columns, match.groups(), strict=True))
    calls = max(1, int(_number(values.get("times called") or "1", line, 0)))
    # The average is that of a call, not of an inference.
    return Row(values["node type"], (values["name"] or "").strip(), _number(values["avg ms"], line, 0) * calls, calls)
