"""From the times of ftbnn-runtime's steps to rows of a table. A step does the work of one operator, or of several."""

from __future__ import annotations

from dataclasses import dataclass

from ftbnn_larq import documents
from ftbnn_larq.benchmarking.models import Model
from ftbnn_larq.errors import ModelFileError

WARMUP, RUNS = 2, 20


@dataclass(frozen=True)
class _Step:
    operators: tuple[int, ...]
    ms: float


@dataclass(frozen=True)
class _Profile:
    """See `ftbnn_runtime.profile.measure`."""

    ms: float
    steps: tuple[_Step, ...]
    views: tuple[int, ...]


def layers(model: Model, told: dict) -> list[dict]:
    """What ftbnn-runtime's profile says, the slowest first: `[{layer, type, ms, calls}]`.

    The type of a step names all operators that it does the work of, the layer is that of the first. What the
    interpreter runs by itself is one row with the rest of the time.

    Raises:
        ModelFileError: the profile is not that of this network.
    """
    source = f"{model.name}: its profile by ftbnn-runtime"
    profile = documents.check(told, _Profile, source, ModelFileError)
    taken = [*profile.views, *(index for step in profile.steps for index in step.operators)]
    if any(not step.operators for step in profile.steps) or not {*taken} <= {*range(len(model.operators))}:
        raise ModelFileError(f"{source}: its operators are others than those of the file")

    def types(operators, between: str) -> str:
        return between.join(dict.fromkeys(model.operators[index].type for index in operators))

    rows = [
        {"layer": model.layers[step.operators[0]], "type": types(step.operators, " + "), "ms": step.ms, "calls": 1}
        for step in profile.steps
    ]
    rest = [index for index in range(len(model.layers)) if index not in taken]
    if rest:
        layer = model.layers[rest[0]] if len(rest) == 1 else "several"
        ms = max(0.0, profile.ms - sum(step.ms for step in profile.steps))
        rows.append({"layer": layer, "type": types(rest, ", "), "ms": ms, "calls": len(rest)})
    return sorted(({**row, "ms": round(row["ms"], 4)} for row in rows), key=lambda row: -row["ms"])
