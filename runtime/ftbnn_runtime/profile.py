"""The times of the delegate's steps, each of which does the work of one operator or of several."""

from __future__ import annotations

import ctypes
import statistics
import time
from collections.abc import Callable

from ftbnn_runtime.native import library, load


class _Operator(ctypes.Structure):
    """As `Profiled` in src/graph.h."""

    _fields_ = [("node", ctypes.c_int32), ("leader", ctypes.c_int32), ("nanoseconds", ctypes.c_int64)]


def measure(infer: Callable[[], None], delegate: int, warmup: int, runs: int) -> dict:
    """Time inferences by step.

    Arguments:
        infer: one inference.
        delegate: the pointer of the delegate that runs it, made with the option `profile`.

    Returns:
        `{"ms": of an inference, "steps": [{"operators": [number], "ms"}], "views": [number]}`: medians of the runs.
        Operators are numbered as in the flatbuffer. Views are operators for which there is nothing to do. The
        interpreter runs the operators that are in neither.
    """
    function = load(library()).ftbnn_profile
    function.restype = ctypes.c_size_t
    for _ in range(warmup):
        infer()
    # Takes away what the warm-up took.
    count = function(ctypes.c_void_p(delegate), None, ctypes.c_size_t(0))
    operators = (_Operator * count)()
    wholes, times = [], []
    for _ in range(runs):
        begin = time.perf_counter()
        infer()
        wholes.append((time.perf_counter() - begin) * 1e3)
        function(ctypes.c_void_p(delegate), operators, ctypes.c_size_t(count))
        times.append([each.nanoseconds / 1e6 for each in operators])
    ms = {each.node: statistics.median(run[index] for run in times) for index, each in enumerate(operators)}
    together: dict[int, list[int]] = {}
    for each in sorted(operators, key=lambda each: each.node):
        together.setdefault(each.leader, []).append(each.node)
    views = together.pop(-1, [])
    steps = [{"operators": members, "ms": ms[leader]} for leader, members in sorted(together.items())]
    return {"ms": statistics.median(wholes), "steps": steps, "views": views}
