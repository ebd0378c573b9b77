"""A network that another program asks through pipes: python -m ftbnn_runtime.worker model.tflite '{"threads": 2}'

Each request is a line of JSON on standard input, followed by so many float32 pictures, little-endian, as it says:

    {"ask": "scores", "pictures": 8}                        then the pictures
    {"ask": "time", "pictures": 8, "warmup": 2, "runs": 10}  then the pictures, which are used in turn
    {"ask": "profile", "pictures": 1, "warmup": 2, "runs": 10}  then the picture; needs the option "profile"

Each answer is a line of JSON on standard output, `{"error": why}` where it failed. That of "scores" is followed by the
scores, float32. The first line, which tells the shapes, comes before any request. The program ends with its input.
"""

from __future__ import annotations

import json
import os
import sys

import numpy as np

from ftbnn_runtime.errors import one_line
from ftbnn_runtime.network import Network

# Lines of a login shell come before our own.
MARK = "ftbnn-runtime: "


def main(path: str, options: str = "{}") -> None:
    # Standard output is for answers only. What native code prints goes to standard error.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    def answer(document: dict, values: bytes = b"") -> None:
        answers.write(f"{MARK}{json.dumps(document)}\n".encode() + values)
        answers.flush()

    try:
        given = json.loads(options)
        network = Network(path, given.get("threads", 1), given.get("isa"), profiles=given.get("profile", False))
        answer({"input_shape": network.input_shape, "classes": network.classes, "isa": network.isa})
        while line := sys.stdin.buffer.readline():
            request = json.loads(line)
            shape = (request["pictures"], *network.input_shape[1:])
            pictures = np.frombuffer(_read(4 * int(np.prod(shape))), "<f4").reshape(shape)
            if request["ask"] == "scores":
                scores = np.stack([network.scores(picture) for picture in pictures])
                answer({"scores": scores.shape}, scores.astype("<f4").tobytes())
            elif request["ask"] == "profile":
                answer(network.profile(request["warmup"], request["runs"], pictures[0]))
            else:
                times = network.time(request["warmup"], request["runs"], pictures)
                answer({"times_ms": times, "peak_memory_mb": peak_memory_mb()})
    except Exception as error:  # whatever the interpreter raises is reported by the program that asks
        answer({"error": one_line(error)})
        sys.exit(2)


def _read(size: int) -> bytes:
    found = sys.stdin.buffer.read(size)
    if len(found) < size:
        sys.exit(0)
    return found


def peak_memory_mb() -> float | None:
    """Peak resident memory of this process, Python included, in MiB; None where the system does not tell."""
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM:")) / 1024
    except (OSError, StopIteration):
        return None


if __name__ == "__main__":
    main(*sys.argv[1:])
