"""The classes of a result of `benchmark`: what the report reads of it."""

from __future__ import annotations

from dataclasses import dataclass

from ftbnn_larq.documents.reading import within


@dataclass(frozen=True)
class Latency:
    """Times of an inference in ms."""

    mean: float
    median: float
    min: float
    std: float

    def __post_init__(self):
        for key in ("mean", "median", "min", "std"):
            within(key, getattr(self, key), 0, 1e12)


@dataclass(frozen=True)
class OperatorTime:
    """The operators of a type: how many, and their time in ms where it was measured."""

    type: str
    count: int = 0
    ms: float | None = None

    def __post_init__(self):
        within("count", self.count, 0, 1e9)
        within("ms", self.ms, 0, 1e12)


@dataclass(frozen=True)
class LayerTime:
    """The time of a layer's operators of a type, in ms."""

    layer: str
    type: str
    ms: float

    def __post_init__(self):
        within("ms", self.ms, 0, 1e12)


@dataclass(frozen=True)
class Device:
    """What is told of a machine; see `boards.device.parse_facts`."""

    board: str | None = None
    cpu: str | None = None
    cores: int | None = None
    clock_mhz: int | float | None = None
    max_clock_mhz: int | float | None = None
    governor: str | None = None
    temperature_c: int | float | None = None
    memory_mb: int | float | None = None
    os: str | None = None
    architecture: str | None = None
    libc: str | None = None

    def __post_init__(self):
        for key in ("cores", "clock_mhz", "max_clock_mhz", "temperature_c", "memory_mb"):
            within(key, getattr(self, key), -300, 1e12)


@dataclass(frozen=True)
class Measurement:
    """What the report reads of a result of `benchmark`; see there."""

    path: str
    on: str
    when: str
    device: Device
    kernel: str
    threads: int
    runs: int
    latency_ms: Latency
    ratio: float
    bytes: int
    operators: tuple[OperatorTime, ...]
    warnings: tuple[str, ...]
    peak_memory_mb: float | None = None
    layers: tuple[LayerTime, ...] | None = None
    input_shape: tuple[int, ...] = ()
    classes: int | None = None
    sha256: str | None = None

    def __post_init__(self):
        for key in ("threads", "runs", "ratio", "bytes", "peak_memory_mb", "classes"):
            within(key, getattr(self, key), 0, 1e15)
        for side in self.input_shape:
            within("input_shape", side, 1, 1e9)
        if self.layers is not None and any(each.ms is None for each in self.operators):
            raise ValueError("operators has rows without ms, expected it with layers")
