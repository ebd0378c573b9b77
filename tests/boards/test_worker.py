"""A program on a board that is asked through pipes: how it ends, and answers that nobody can use."""

from __future__ import annotations

import sys
import time

import numpy as np
import pytest

from ftbnn_larq.boards.board import Board
from ftbnn_larq.boards.targets import parse_target
from ftbnn_larq.boards.worker import Worker
from ftbnn_larq.errors import BoardError
from tests.boards.helpers import sleeping, tool, wait_for

HELLO = 'ftbnn-runtime: {"input_shape": [1, 64, 64, 3], "classes": 10, "isa": "portable"}'


def ask(folder, body: str):
    """Ask a program in Python's place for the scores of more pictures than a pipe holds."""
    program = tool(folder / "python", body)
    with Board(parse_target("local")) as session, Worker(session, str(program), "network.tflite") as worker:
        worker.predict(np.zeros((8, 64, 64, 3), np.float32))


@pytest.mark.parametrize(
    "body, told",
    [
        (f"echo '{HELLO}'; echo 'no memory' >&2; exit 137", r"the runtime ended with status 137 \(no memory\)"),
        ("printf 'ftbnn-runtime: {\"input_sh'; exit 3", "the runtime ended with status 3"),
        (
            "echo 'ftbnn-runtime: {\"classes\": 10}'",
            "without input_shape and classes and isa: is it of another version",
        ),
        ("echo 'ftbnn-runtime: [[['", r"answers '\[\[\['"),
        (f"echo '{HELLO}'; echo 'ftbnn-runtime: 3'; cat >/dev/null", "answers '3', without scores"),
    ],
)
def test_a_program_that_ends_or_answers_nonsense_is_told_in_a_line(board, tmp_path, body, told):
    with pytest.raises(BoardError, match=told):
        ask(tmp_path, body)


def test_one_that_is_ended_as_its_answer_comes_is_told_by_the_next_question(board, tmp_path):
    # The answer comes from a child, after the program itself was ended for being late.
    answer = 'ftbnn-runtime: {"times_ms": [1], "peak_memory_mb": 1}'
    program = tool(tmp_path / "python", f"echo '{HELLO}'; (sleep 1.5; echo '{answer}') & exec sleep 9")
    pictures = np.zeros((1, 64, 64, 3), np.float32)
    with Board(parse_target("local")) as session, Worker(session, str(program), "net.tflite", seconds=0.5) as worker:
        assert worker.time(pictures, warmup=0, runs=1)["times_ms"] == [1]
        with pytest.raises(BoardError, match=r"no end within 0\.5 s: give it more time with --timeout"):
            worker.predict(pictures)


def test_it_ends_with_the_session_though_it_reads_nothing(board):
    mark = f"sleep 9{time.time_ns() % 10**6}"
    with Board(parse_target("local")) as session:
        session.talk(["sh", "-c", f"{mark} & wait"])
        wait_for(lambda: sleeping(mark))
    wait_for(lambda: not sleeping(mark))


def test_what_it_is_told_gets_there(board):
    with Board(parse_target("local")) as session:
        process = session.talk([sys.executable, "-c", "import sys; print(sys.stdin.read().upper())"])
        told, _ = process.communicate(b"hello\n", timeout=60)
    assert told.split() == [b"HELLO"]
