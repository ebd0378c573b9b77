"""Latency of a flatbuffer in the stock interpreter: python -m ftbnn_runtime.benchmark model.tflite"""

from __future__ import annotations

import json
import statistics

from ftbnn_runtime.command import Parser, ends_in_a_line, of_deployed
from ftbnn_runtime.errors import Error

NAME = "benchmark"


def main(arguments: list[str] | None = None) -> None:
    """Run the command; it exits with status 0, 2 after one line that says why, or 130 on Ctrl-C or SIGTERM."""
    model, arguments = of_deployed(arguments)
    with ends_in_a_line(NAME):
        parser = Parser(
            model=model,
            help_of_model="a .tflite file",
            prog=NAME,
            description="Latency of a flatbuffer: one picture, one inference at a time.",
        )
        parser.add_argument("--threads", type=int, default=1, metavar="N", help="threads of the network (default: 1)")
        parser.add_argument("--runs", type=int, default=50, metavar="N", help="timed inferences (default: 50)")
        parser.add_argument("--warmup", type=int, default=10, metavar="N", help="inferences before them (default: 10)")
        parser.add_argument("--json", action="store_true", help="one JSON document in place of a line")
        given = parser.parse_args(arguments)
        found = measure(given.model, given.threads, given.runs, given.warmup)
        if given.json:
            print(json.dumps(found))
        else:
            print(
                f"median {found['median_ms']:.3f} ms, least {found['min_ms']:.3f}, of {found['runs']} runs with "
                f"{found['threads']} thread(s), {found['isa']}"
            )


def measure(path, threads: int = 1, runs: int = 50, warmup: int = 10) -> dict:
    """`{median_ms, min_ms, runs, threads, isa}` on random numbers, on which the time does not depend.

    Raises:
        Error: the flatbuffer or a number cannot be used.
    """
    if runs < 1 or warmup < 0:
        raise Error(f"{runs} runs after {warmup}: at least 1 run is needed")
    from ftbnn_runtime.network import Network

    network = Network(path, threads)
    times = network.time(warmup, runs)
    return {
        "median_ms": round(statistics.median(times), 4),
        "min_ms": round(min(times), 4),
        "runs": runs,
        "threads": threads,
        "isa": network.isa,
    }


if __name__ == "__main__":
    main()
