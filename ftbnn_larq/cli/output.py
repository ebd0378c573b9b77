"""Shared by all commands: results go to standard output, everything else to standard error."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import click

RUNS, MEASUREMENTS = "runs", "measurements"

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")


def say(message: str) -> None:
    click.echo(message, err=True)


def emit(as_json: bool, document, show: Callable[[], None]) -> None:
    """Print the result: `document` as JSON, or by `show` for people."""
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        show()


def table(title: str, columns: list[str], rows: list[list], *, whole_names: bool = False) -> None:
    """A table on standard output; columns whose first cell is a number or ends in a unit stand right.

    Arguments:
        whole_names: whether the first column is never folded.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for index, column in enumerate(columns):
        numeric = bool(rows) and str(rows[0][index])[:1].isdigit()
        least = max((len(str(row[0])) for row in rows), default=0) if whole_names and index == 0 else None
        grid.add_column(column, justify="right" if numeric else "left", overflow="fold", min_width=least)
    for row in rows:
        grid.add_row(*(Text(str(cell)) for cell in row))
    # The title may be wider than the table. It is plain text: brackets in file names are no markup.
    if title:
        console.print(Text(title, style="bold"))
    console.print(grid)


def human(number: float) -> str:
    """1676279808 as 1.68 G."""
    for factor, suffix in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(number) >= factor:
            return f"{number / factor:.2f}{suffix}"
    return f"{number:.0f}"


def human_bytes(number: float) -> str:
    return f"{human(number)}B" if number >= 1e3 else f"{number:.0f} B"


def load_tensorflow(look_for_devices: bool = True) -> None:
    """Import TensorFlow without the lines that its native code prints while it starts."""
    from ftbnn_larq.quiet import quiet_native_stderr

    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    with quiet_native_stderr():
        import tensorflow as tf

        if look_for_devices:
            tf.config.list_physical_devices()
    tf.get_logger().setLevel("ERROR")


@contextlib.contextmanager
def progress(description: str) -> Iterator[tuple[Callable[[int], None], Callable[[int], None]]]:
    """A bar on standard error: one function that sets its length, one that moves it. Silent where no one watches."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(description, total=None)
        yield lambda total: bar.update(task, total=total), lambda steps: bar.advance(task, steps)


@contextlib.contextmanager
def sending(size: int) -> Iterator[Callable[[int], None]]:
    """A bar of so many bytes that go to a board, and what moves it."""
    with progress("sending") as (on_start, on_bytes):
        on_start(size)
        yield on_bytes


def newest_run() -> Path:
    """The newest finished run. Says which on standard error."""
    from ftbnn_larq import runs

    path = runs.newest(RUNS, lambda folder: (folder / runs.RESULT).is_file(), "finished run")
    say(f"taking the newest run, {path}")
    return path


def newest_flatbuffer() -> Path:
    """The newest run's flatbuffer. Says which on standard error."""
    from ftbnn_larq import runs

    path = runs.newest(RUNS, lambda folder: (folder / "model.tflite").is_file(), "converted run") / "model.tflite"
    say(f"taking the newest flatbuffer, {path}")
    return path
