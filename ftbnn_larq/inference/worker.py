"""The child process that runs an interpreter. A damaged flatbuffer can crash the process that loads it.

    python -m ftbnn_larq.inference.worker FILE ENGINE KERNEL THREADS [profile]

It first tells the shapes of inputs and outputs, or why it refuses the file. Then it reads requests from standard input
and writes one answer for each to standard output, all as `messages` does. Requests: "predict" with pictures, "outputs"
with one picture, "time" with pictures, warm-up runs and runs, and "profile" with the same, for a flatbuffer that was
loaded to be profiled. It does not import TensorFlow, so it starts at once, and its memory is mostly the interpreter's.
"""

from __future__ import annotations

import os
import resource
import sys
import time

from ftbnn_larq import leash
from ftbnn_larq.errors import ModelFileError, one_line


def main() -> None:
    path, engine, kernel, threads, profiles = *sys.argv[1:4], int(sys.argv[4]), sys.argv[5:] == ["profile"]
    leash.begin()
    # Standard output is for answers only. What native code prints goes to standard error.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    from ftbnn_larq.inference import engines, inspection, messages, schema

    try:
        engines.load_library(engine)
        leash.library_loaded()
        flatbuffer = schema.content(path)
        # Asked before the interpreter sees the file.
        operations = inspection.operations(flatbuffer)
        interpreter = engines.load(engine, flatbuffer, kernel, threads, profiles)
        shapes = {"inputs": interpreter.input_shapes, "outputs": interpreter.output_shapes}
        messages.send(answers, shapes)
        while True:
            leash.answer_within(0)
            try:
                request, (pictures,) = messages.receive(sys.stdin.buffer, "a request")
            except EOFError:
                return
            inferences = len(pictures) + request.get("warmup", 0) + request.get("runs", 0)
            leash.answer_within(inspection.seconds(operations * inferences))
            messages.send(answers, *_ANSWERS[request["ask"]](interpreter, pictures, request))
    except ModelFileError as error:
        messages.send(answers, {"refused": str(error)})
    except Exception as error:  # whatever the interpreter raises is reported by the parent process
        messages.send(answers, {"refused": f"{type(error).__name__}: {one_line(error)}"})


def _predict(interpreter, pictures, request: dict) -> tuple[dict, list]:
    import numpy as np

    return {}, [np.concatenate([interpreter.predict([picture[None]])[0] for picture in pictures])]


def _outputs(interpreter, picture, request: dict) -> tuple[dict, list]:
    return {}, interpreter.predict([picture])


def _time(interpreter, pictures, request: dict) -> tuple[dict, list]:
    times = []
    for index in range(request["warmup"] + request["runs"]):
        picture = pictures[index % len(pictures)][None]
        begin = time.perf_counter()
        interpreter.predict([picture])
        times.append((time.perf_counter() - begin) * 1e3)
    return {"times_ms": times[request["warmup"] :], "peak_memory_mb": _peak_memory_mb()}, []


def _profile(interpreter, pictures, request: dict) -> tuple[dict, list]:
    from ftbnn_runtime import profile

    given = [pictures[:1]]
    counts = request["warmup"], request["runs"]
    return profile.measure(lambda: interpreter.predict(given), interpreter.delegate, *counts), []


_ANSWERS = {"predict": _predict, "outputs": _outputs, "time": _time, "profile": _profile}


def _peak_memory_mb() -> float:
    """Peak resident memory of this process, in MiB."""
    from ftbnn_runtime.worker import peak_memory_mb

    found = peak_memory_mb()
    if found is None:
        # Only without /proc: on Linux this figure would include the parent's memory at the fork.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found


if __name__ == "__main__":
    main()
