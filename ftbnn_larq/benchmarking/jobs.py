"""The rows of a benchmark: a flatbuffer by one engine with so many threads, and what was found of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from ftbnn_larq.benchmarking.models import Model
from ftbnn_larq.benchmarking.statistics import SCATTER, Timing, combine, ratio
from ftbnn_larq.inference.interpreter import ENGINES, engine_of


@dataclasses.dataclass
class Job:
    """One row of the result, as it grows."""

    model: Model
    threads: int
    kernel: str
    why: str
    first: Job | None = None
    rounds: list[Timing] = dataclasses.field(default_factory=list)
    found: dict = dataclasses.field(default_factory=dict)
    warnings: list[str] = dataclasses.field(default_factory=list)

    @property
    def told(self) -> str:
        """Which kernel, and why, for people."""
        kernels = "kernels of ftbnn-runtime" if engine_of(self.kernel) == "ftbnn" else "kernel"
        return f"{self.model.name}: {self.kernel} {kernels}, {self.why}"

    def inspected(self, peak_memory_mb: float | None, layers: list[dict] | None) -> None:
        """Take what a machine has found beside the times; see `Host.inspect`."""
        self.found["peak_memory_mb"] = None if peak_memory_mb is None else round(peak_memory_mb, 1)
        if not layers:
            return
        types = dict.fromkeys(row["type"] for row in layers)
        operators = [
            {
                "type": kind,
                "count": sum(row["calls"] for row in layers if row["type"] == kind),
                "ms": round(sum(row["ms"] for row in layers if row["type"] == kind), 4),
            }
            for kind in types
        ]
        self.found |= {"operators": sorted(operators, key=lambda row: -row["ms"]), "layers": layers}

    def document(self, on: str, facts: dict, when: str, pictures: str) -> dict:
        latency = combine(self.rounds)
        count = sum(each.count for each in self.rounds)
        warnings = list(self.warnings)
        if latency["std"] > SCATTER * latency["mean"]:
            scatter = latency["std"] / max(latency["mean"], 1e-4)
            warnings.append(
                f"{self.model.name}, {self.threads} thread(s): the runs scatter by {scatter:.0%} of their mean: is "
                "something else running there?"
            )
        return {
            "path": self.model.name,
            "input_shape": self.model.input_shape[1:],
            "classes": self.model.classes,
            "on": on,
            "when": when,
            "device": facts,
            "engine": engine_of(self.kernel),
            "kernel": self.kernel,
            "kernel_reason": self.why,
            "threads": self.threads,
            "runs": count,
            "input": pictures,
            "latency_ms": latency,
            "rounds_ms": [round(each.typical, 4) for each in self.rounds],
            "ratio": ratio(self.rounds, (self.first or self).rounds),
            "bytes": self.model.path.stat().st_size,
            "sha256": self.model.sha256,
            "peak_memory_mb": None,
            "operators": self.model.census,
            **self.found,
            "warnings": warnings,
        }


def make_jobs(machine, models: list[Model], threads: Sequence[int], engines: Sequence[str], wanted) -> list[Job]:
    """In the order of the table; each one's first is the first with as many threads."""
    made = []
    for count in threads:
        first = None
        for model in models:
            for kernel, why in _kernels(machine, model, engines, wanted):
                job = Job(model, count, kernel, why, first=first)
                machine.load(model, kernel, count)
                first = first or job
                made.append(job)
    return made


def _kernels(machine, model: Model, engines: Sequence[str], wanted: str | None) -> list[tuple[str, str]]:
    """The kernel of each engine that runs a flatbuffer, and why that one."""
    if model.is_plain:
        # Which does not depend on the machine.
        return [model.kernel(("", ""))]
    found = {"lce": lambda: model.kernel(machine.fastest), "ftbnn": lambda: machine.isa}
    return [(wanted, "as asked for") if wanted in ENGINES[engine] else found[engine]() for engine in engines]
