"""What the benchmark tool and a board print, with other lines, numbers and words."""

from __future__ import annotations

import functools
import random
from pathlib import Path

from tests.fuzz import damage
from tests.fuzz.flatbuffers import SAMPLES

FACTS = """cpu=Cortex-A72
cores=4
machine=aarch64
bits=64
clock=1500000
max_clock=1800000
governor=ondemand
temperatures=48312 51000
throttled=0x50005
memory=3884412
os=Debian GNU/Linux 12 (bookworm)
parts=0x41 0xd08 0x41 0xd08
load=0.52
android=
"""


@functools.cache
def samples() -> tuple[str, ...]:
    return tuple(path.read_text() for path in sorted(SAMPLES.glob("*.txt")))


def tool(rng: random.Random, folder: Path) -> None:
    from ftbnn_larq.benchmarking import statistics
    from ftbnn_larq.benchmarking.output import complaint, parse

    said = rng.choice(samples())
    for _ in range(rng.randint(1, 3)):
        said = damage.text(rng, said)
    complaint(said)
    found = parse(said)
    statistics.combine([found.timing] * 2)
    assert 0 < statistics.ratio([found.timing], [found.timing]) < 2, "the ratio to itself"


def facts(rng: random.Random, folder: Path) -> None:
    from ftbnn_larq.boards import device

    found = device.parse_facts(damage.text(rng, FACTS))
    device.describe(found)
    device.warnings(found)
