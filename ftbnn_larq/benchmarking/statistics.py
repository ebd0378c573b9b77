"""From rounds of inferences to the figures that are told. Times in ms."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence

# Deviation of the runs, relative to their mean, from which a measurement is called scattered.
SCATTER = 0.10


@dataclasses.dataclass(frozen=True)
class Timing:
    """Times of some inferences in ms; what is not known is None.

    Attributes:
        count: inferences.
        mean, min, max, std: over them.
        median, p95: percentiles; builds of the benchmark tool before TensorFlow 2.17 do not print them.
        times: each of them, where they are known.
    """

    count: int
    mean: float
    min: float
    max: float
    std: float
    median: float | None = None
    p95: float | None = None
    times: tuple[float, ...] = ()

    @classmethod
    def of(cls, times: Sequence[float]) -> Timing:
        spread = percentile(times, 50), percentile(times, 95)
        least, most = min(times), max(times)
        return cls(
            len(times), statistics.fmean(times), least, most, statistics.pstdev(times), *spread, times=tuple(times)
        )

    @property
    def typical(self) -> float:
        """The median where it is known, else the mean."""
        return self.mean if self.median is None else self.median


def percentile(values: Sequence[float], percent: float) -> float:
    """Linear between the two nearest of the values."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def combine(rounds: Sequence[Timing]) -> dict:
    """All rounds together: `{mean, median, min, max, std, p95, median_of}`, in ms.

    `median_of` is "runs" where every time is known, else "medians of rounds", or "means of rounds" for a build of the
    tool that prints no percentiles; `p95` is the largest of the rounds then, or None.
    """
    times = [time for each in rounds for time in each.times]
    count = sum(each.count for each in rounds)
    if len(times) == count:
        whole = Timing.of(times)
        median, p95, mean, std = whole.median, whole.p95, whole.mean, whole.std
        median_of = "runs"
    else:
        mean = sum(each.count * each.mean for each in rounds) / count
        squares = sum(each.count * (each.std**2 + each.mean**2) for each in rounds) / count
        std = math.sqrt(max(0.0, squares - mean**2))
        median = statistics.median(each.typical for each in rounds)
        known = [each.p95 for each in rounds]
        p95 = None if None in known else max(known)
        median_of = "means of rounds" if None in (each.median for each in rounds) else "medians of rounds"
    figures = {
        "mean": mean,
        "median": median,
        "min": min(each.min for each in rounds),
        "max": max(each.max for each in rounds),
        "std": std,
        "p95": p95,
    }
    rounded = {name: None if value is None else round(value, 4) for name, value in figures.items()}
    return {**rounded, "median_of": median_of}


def ratio(rounds: Sequence[Timing], first: Sequence[Timing]) -> float:
    """How much longer than `first`: the median over rounds that were taken side by side, so drift cancels out."""
    return round(statistics.median(own.typical / other.typical for own, other in zip(rounds, first, strict=False)), 4)


def split(runs: int, rounds: int) -> list[int]:
    """`runs` in `rounds` nearly equal parts, none of them empty."""
    rounds = min(rounds, runs)
    return [runs // rounds + (index < runs % rounds) for index in range(rounds)]
