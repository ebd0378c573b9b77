"""The picture of the README: the main job as a terminal shows it: python -m benchmarks.console

Runs the commands of benchmarks.main_job on a terminal of their own and draws what they print. Lines are left out, which
the picture says; none is changed. Writes docs/pictures/console.svg.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pty
import re
import subprocess
import sys
import tempfile

import click
from rich.console import Console
from rich.text import Text

from benchmarks.main_job import COMMANDS
from benchmarks.pictures import FOLDER
from ftbnn_larq import cli, zoo
from ftbnn_larq.cli.output import say
from ftbnn_larq.files import write_text

FILE = FOLDER / "console.svg"
WIDTH = 118
# What is left out, by command: all epochs but the first and the last, the passes, the lists of operators, the rounds.
LEFT_OUT = {
    "train": re.compile(r"epoch (?!1/|(\d+)/\1:)|next: "),
    "convert": re.compile(r"taking |converting | |operators: |float |kernels |8-bit |next: "),
    "benchmark": re.compile(r"taking |.*indirect kernel|.*, x86_64, |round |.*: [\d.]+ .?B, |kept "),
}
# rich's pictures load their font from elsewhere; the fonts of the reader's machine do.
FONT = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def printed(command: list[str], folder: str) -> list[str]:
    """The lines that a command prints on a terminal, standard output and standard error together.

    Raises:
        CalledProcessError: it failed.
    """
    ours, its = pty.openpty()
    # A terminal that is dumb gets no colours and no progress bars.
    process = subprocess.Popen(
        [sys.executable, zoo.HERE.parent / "cli.py", *command],
        cwd=folder,
        env={**os.environ, "TERM": "dumb", "COLUMNS": str(WIDTH), "LINES": "50"},
        stdin=subprocess.DEVNULL,
        stdout=its,
        stderr=its,
    )
    os.close(its)
    lines = []
    # Linux reports the other side's end as an error.
    with open(ours, encoding="utf-8") as terminal, contextlib.suppress(OSError):
        for line in terminal:
            lines.append(line.rstrip())
            say(lines[-1])
    if status := process.wait():
        raise subprocess.CalledProcessError(status, command)
    return lines


def shortened(command: str, lines: list[str]) -> list[Text]:
    """The lines without those of `LEFT_OUT`, whose number stands in their place, and without empty ones."""
    kept = []
    for left_out, group in itertools.groupby(filter(None, lines), lambda line: bool(LEFT_OUT[command].match(line))):
        group = list(group)
        count = f"{len(group)} line{'' if len(group) == 1 else 's'}"
        kept += [Text(f"[{count} left out]", style="dim italic")] if left_out else map(Text, group)
    return kept


def picture(sessions: list[tuple[list[str], list[str]]]) -> str:
    """An SVG of a terminal: each command, then what it printed."""
    with open(os.devnull, "w") as nowhere:
        console = Console(width=WIDTH, record=True, file=nowhere)
        for number, (command, lines) in enumerate(sessions):
            console.print(
                *([Text()] if number else []), Text(f"$ ftbnn-larq {' '.join(command)}", style="bold green"), sep="\n"
            )
            for line in shortened(command[0], lines):
                console.print(line)
        return FONT.sub("", console.export_svg(title="ftbnn-larq"))


@click.command()
def main() -> None:
    """Run the main job in a folder that is removed again, and draw its console."""
    with tempfile.TemporaryDirectory() as folder:
        write_text(FILE, picture([(command, printed(command, folder)) for command in COMMANDS]))
    say(f"wrote {FILE}")


if __name__ == "__main__":
    cli.main(main, "python -m benchmarks.console")
