"""Read the content of the report from the folders of runs and measurements."""

from __future__ import annotations

import csv
import dataclasses
import datetime
import json
import math
import os
from pathlib import Path

from ftbnn_larq import documents
from ftbnn_larq import runs as run_folders
from ftbnn_larq.benchmarking.measurements import WHEN, as_text, read_all
from ftbnn_larq.boards import device
from ftbnn_larq.errors import FtbnnError, RunError


@dataclasses.dataclass
class RunRow:
    """A run: its results and its network.

    Attributes:
        name: name of its folder.
        model: name of the model.
        dataset: name of the data set.
        input: input shape, such as "32x32x3".
        history: one row per epoch, as in metrics.csv; None for values that are not finite numbers.
        top1: top-1 on the test split, as a fraction; None until the run is finished.
        top5: top-5, likewise.
        seconds: training time.
        bytes: size of the flatbuffer; None until the run is converted.
        sha256: checksum of the flatbuffer, likewise.
        ops: OPs of the network; None if not counted.
        answers: what it answered on the test split; None if the run does not tell.
    """

    name: str
    model: str
    dataset: str
    input: str
    history: list[dict]
    top1: float | None = None
    top5: float | None = None
    seconds: float | None = None
    bytes: int | None = None
    sha256: str | None = None
    ops: float | None = None
    answers: documents.Answers | None = None

    @property
    def lowest(self) -> list[documents.OfClass]:
        """The classes that have pictures, the lowest top-1 first."""
        return sorted((row for row in self.answers.per_class if row.examples), key=lambda row: row.top1)


@dataclasses.dataclass
class Board:
    """The measurements on one board.

    Attributes:
        name: the board's name for people.
        device: the hardware in one line.
        rows: documents of `benchmark`, newest first.
    """

    name: str
    device: str
    rows: list[dict]

    @property
    def profiled(self) -> list[dict]:
        """At most 8 of the newest rows that have times by operator."""
        return [row for row in self.newest if row.get("layers")][:8]

    @property
    def warnings(self) -> list[str]:
        """Warnings of the newest rows, without those about scatter, which the table shows."""
        lines = [line for row in self.newest for line in row["warnings"]]
        return [line for line in dict.fromkeys(lines) if "scatter" not in line]

    @property
    def newest(self) -> list[dict]:
        """The newest row for each file (or network of one size), number of threads and kernel."""
        seen = {}
        for row in self.rows:
            size = *row.get("input_shape", ()), row.get("classes")
            seen.setdefault((row["path"], size, row["threads"], row["kernel"]), row)
        return list(seen.values())


@dataclasses.dataclass
class Found:
    """The content of a report.

    Attributes:
        runs: the runs.
        boards: the boards with their measurements.
        left_out: files and folders that could not be read.
        folds: cross-validations, newest first.
    """

    runs: list[RunRow]
    boards: list[Board]
    left_out: list[str]
    folds: list[documents.Folds] = dataclasses.field(default_factory=list)

    def latencies(self, board: Board) -> dict[str, float]:
        """Median time in ms by run, of its flatbuffer on a board, with the fewest threads and the fastest kernel."""
        found = {}
        for run in self.runs:
            rows = [row for row in board.newest if run.sha256 and row.get("sha256") == run.sha256]
            if rows:
                found[run.name] = min((row["threads"], row["latency_ms"]["median"]) for row in rows)[1]
        return found


def gather(runs: str | os.PathLike, measurements: str | os.PathLike, *, ops: bool) -> Found:
    """Read runs and measurements.

    Arguments:
        runs: the folder of runs.
        measurements: the folder of measurements.
        ops: whether to count the OPs of finished runs.

    Raises:
        RunError: there are neither runs nor measurements, or none that can be read.
    """
    found, left_out = [], []
    for config in sorted(
        Path(runs).glob(f"*/{run_folders.CONFIG}"), key=lambda path: path.stat().st_mtime, reverse=True
    ):
        try:
            found.append(_run(run_folders.open_run(config.parent)))
        except (RunError, OSError, ValueError, csv.Error):
            left_out.append(as_text(str(config.parent)))
    folds = []
    for path in sorted(Path(runs).glob(f"*/{run_folders.FOLDS}"), key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            folds.append(documents.read(path, documents.Folds, RunError))
        except (RunError, OSError):
            left_out.append(as_text(str(path)))
    measured, damaged = read_all(measurements)
    left_out += damaged
    if not found and not measured and not folds:
        if left_out:
            raise RunError(f"nothing below {runs}/ and {measurements}/ can be read: {', '.join(left_out)}")
        raise RunError(
            f"neither runs below {runs}/ nor measurements below {measurements}/: train with "
            "`ftbnn-larq train ftbnn_r18`, measure with `ftbnn-larq benchmark`"
        )
    if ops:
        _count([(row, config) for row, config in found if row.top1 is not None])
    return Found([row for row, _ in found], _boards(measured), left_out, folds)


def _number(text: str | None) -> float | None:
    try:
        value = float(text)
    except (TypeError, ValueError):  # TypeError: of a row with more or fewer cells than columns
        return None
    # Beyond that, nothing can be drawn.
    return value if abs(value) < 1e30 else None


def _history(metrics: Path) -> list[dict]:
    """The rows of metrics.csv. Raises ValueError or csv.Error: it is damaged."""
    if not metrics.is_file():
        return []
    # utf-8-sig, because spreadsheets write a byte order mark.
    with open(metrics, encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        if "epoch" not in (reader.fieldnames or ()):
            raise ValueError(f"{metrics}: no column epoch")
        rows = [{key: _number(value) for key, value in row.items()} for row in reader]
    return [row for row in rows if row["epoch"] is not None]


def _document(path: Path, kind: type):
    """The document in a file; None if there is no such file. Raises RunError: it is damaged."""
    return documents.read(path, kind, RunError) if path.is_file() else None


def _run(run: run_folders.Run) -> tuple[RunRow, documents.Network]:
    result = _document(run.path / run_folders.RESULT, documents.Result)
    converted = _document(run.path / "model.json", documents.Sidecar)
    row = RunRow(
        name=as_text(run.path.name),
        model=as_text(run.model_name),
        dataset=as_text(run.config.data.name),
        input="x".join(map(str, run.config.model.input_shape)),
        history=_history(run.path / run_folders.METRICS),
        top1=result and result.top1,
        top5=result and result.top5,
        seconds=result and result.seconds,
        bytes=converted and converted.bytes,
        sha256=converted and converted.sha256,
        answers=result and _document(run.path / run_folders.ANSWERS, documents.Answers),
    )
    return row, run.config.model


def _count(rows: list[tuple[RunRow, documents.Network]]) -> None:
    """Set the OPs of runs. Equal networks are built once; a network that cannot be built any more has None."""
    known = {}
    for row, model in rows:
        key = json.dumps(dataclasses.asdict(model), sort_keys=True)
        if key not in known:
            from ftbnn_larq.analysis.counts import count
            from ftbnn_larq.zoo import networks

            try:
                known[key] = count(networks.rebuild(model))["ops"]
            except FtbnnError:
                known[key] = None
        row.ops = known[key]


def _boards(measured: list[dict]) -> list[Board]:
    grouped = {}
    # sorted() is stable: measurements of the same time keep their order.
    for document in sorted(measured, key=lambda document: _instant(document["when"]), reverse=True):
        facts = document["device"]
        key = document["on"], facts.get("board"), facts.get("cpu")
        grouped.setdefault(key, []).append(document)
    return [
        Board(_name(on, board, cpu), device.describe(rows[0]["device"]), rows)
        for (on, board, cpu), rows in grouped.items()
    ]


def _instant(when: str) -> float:
    """Seconds since 1970; a clock's zone may change between two measurements. What is no time is the oldest."""
    try:
        return datetime.datetime.strptime(when, WHEN).timestamp()
    except (ValueError, OverflowError):
        return -math.inf


def _name(on: str, board: str | None, cpu: str | None) -> str:
    return f"{board or cpu or 'unknown machine'} ({on})"
