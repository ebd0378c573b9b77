"""The stored counts on aarch64 keep what the design promises."""

from __future__ import annotations

import json

from benchmarks import aarch64

DOCUMENT = json.loads(aarch64.FILE.read_text(encoding="utf-8"))
# Million instructions that were aimed at.
AIMS = {"ftbnn_r18_pure": 62, "ftbnn_r18": 75, "bireal_r18": 110, "larq_zoo:QuickNet": 70}


def test_no_network_takes_more_instructions_than_by_lce():
    counted, lce = DOCUMENT["instructions"], DOCUMENT["lce"]["instructions"]
    assert set(lce) <= set(counted) and all(counted[name] < lce[name] for name in lce)
    assert DOCUMENT["cpu"] == DOCUMENT["lce"]["cpu"]


def test_the_aims_are_met():
    assert {name: DOCUMENT["instructions"][name] < 1e6 * aim for name, aim in AIMS.items()} == dict.fromkeys(AIMS, True)


def test_the_library_is_small():
    assert DOCUMENT["library_bytes"] <= 100_000
