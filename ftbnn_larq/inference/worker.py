"""The child process that runs an interpreter. A damaged flatbuffer can crash the process that loads it.

    python -m ftbnn_larq.inference.worker FILE ENGINE KERNEL THREADS

It first writes the shapes of inputs and outputs. Then it reads pickled requests from standard input and writes one
pickled answer for each to standard output. Requests: ("predict", pictures), ("outputs", picture) and
("time", pictures, warm-up runs, runs). It does not import TensorFlow, so it starts at once, and its memory is mostly
the interpreter's.
"""

from __future__ import annotations

import os
import pickle
import resource
import sys
import time

from ftbnn_larq.errors import one_line


def main() -> None:
    path, engine, kernel, threads = *sys.argv[1:4], int(sys.argv[4])
    # Standard output is for answers only. What native code prints goes to standard error.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    def answer(kind: str, value) -> None:
        pickle.dump((kind, value), answers)
        answers.flush()

    import numpy as np

    from ftbnn_larq.inference import engines

    try:
        with open(path, "rb") as file:
            flatbuffer = file.read()
        interpreter = engines.load(engine, flatbuffer, kernel, threads)
        answer(
            "ok",
            {
                "inputs": [tuple(shape) for shape in interpreter.input_shapes],
                "outputs": [tuple(shape) for shape in interpreter.output_shapes],
            },
        )
        while True:
            try:
                request, *arguments = pickle.load(sys.stdin.buffer)
            except EOFError:
                return
            # Copied into a new array: the binding does not accept the dtype object of an unpickled one.
            pictures = np.empty(arguments[0].shape, np.float32)
            pictures[...] = arguments[0]
            if request == "predict":
                answer("ok", np.concatenate([interpreter.predict([picture[None]])[0] for picture in pictures]))
            elif request == "outputs":
                answer("ok", interpreter.predict([pictures]))
            else:
                warmup, runs = arguments[1:]
                times = []
                for index in range(warmup + runs):
                    picture = pictures[index % len(pictures)][None]
                    begin = time.perf_counter()
                    interpreter.predict([picture])
                    times.append((time.perf_counter() - begin) * 1e3)
                answer("ok", {"times_ms": times[warmup:], "peak_memory_mb": _peak_memory_mb()})
    except Exception as error:  # whatever the interpreter raises is reported by the parent process
        answer("error", f"{type(error).__name__}: {one_line(error)}")


def _peak_memory_mb() -> float:
    """Peak resident memory of this process, in MiB."""
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM:")) / 1024
    except (OSError, StopIteration):
        # Only without /proc: on Linux this figure would include the parent's memory at the fork.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
