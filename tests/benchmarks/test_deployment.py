"""The stored figures of deployment: they keep what the design promises."""

from __future__ import annotations

import json

import pytest

from benchmarks import deployment, results

DOCUMENT = json.loads(deployment.FILE.read_text(encoding="utf-8"))
NETWORKS = DOCUMENT["networks"]
BIREAL, QUICKNET = (f"time_to_{peer}" for peer in deployment.PEERS)


def test_files_are_as_small_as_their_bits():
    assert NETWORKS["ftbnn_r18_pure"]["bytes"] <= 2_100_000
    for name in results.STEPS:
        assert NETWORKS[name]["bytes"] <= 1.1 * NETWORKS[name]["bytes_needed"]


def test_networks_are_as_fast_as_promised_on_this_kind_of_machine():
    assert NETWORKS["ftbnn_r18_pure"][BIREAL] <= 0.92
    assert NETWORKS["ftbnn_r18_pure"][QUICKNET] <= 0.97
    assert NETWORKS["ftbnn_r18"][BIREAL] <= 1.15
    assert DOCUMENT["conversion_time"]["ratio"] <= 1.3


@pytest.mark.parametrize("name", results.STEPS)
def test_nothing_stands_between_stem_and_classifier_but_what_the_network_needs(name):
    found = NETWORKS[name]["operators"]
    units = {"LceQuantize", "LceBconv2d", "PRELU", "ADD", "SPLIT", "CONCATENATION"}
    stem_and_shortcuts = {"CONV_2D", "DEPTHWISE_CONV_2D", "AVERAGE_POOL_2D", "MAX_POOL_2D"}
    assert set(found) <= units | stem_and_shortcuts | {"DEQUANTIZE", "FULLY_CONNECTED"}
    convolutions = found["LceBconv2d"]
    for kind in ("LceQuantize", "PRELU", "ADD"):
        assert found.get(kind, 0) <= convolutions
