"""The stored figures of deployment: they keep what the design promises."""

from __future__ import annotations

import json

import pytest

from benchmarks import deployment, results
from ftbnn_larq.benchmarking.networks import INT8

DOCUMENT = json.loads(deployment.FILE.read_text(encoding="utf-8"))
NETWORKS = DOCUMENT["networks"]
BIREAL, QUICKNET, MOBILENET = (f"time_to_{peer}" for peer in deployment.PEERS)
compared = pytest.mark.skipif(deployment.PEERS[2] not in NETWORKS, reason="Keras's networks are not measured yet")


def test_files_are_as_small_as_their_bits():
    assert NETWORKS["ftbnn_r18_pure"]["bytes"] <= 2_100_000
    for name in results.STEPS:
        assert NETWORKS[name]["bytes"] <= 1.1 * NETWORKS[name]["bytes_needed"]


def test_networks_are_as_fast_as_promised_on_this_kind_of_machine():
    assert NETWORKS["ftbnn_r18_pure"][BIREAL] <= 0.92
    assert NETWORKS["ftbnn_r18_pure"][QUICKNET] <= 0.97
    assert NETWORKS["ftbnn_r18"][BIREAL] <= 1.15
    assert DOCUMENT["conversion_time"]["ratio"] <= 1.3


@compared
def test_small_float_networks_are_faster_here_by_xnnpack_than_ours_by_lce_and_larger():
    """Whoever reads when not to use this project reads so."""
    for name in results.STEPS:
        assert NETWORKS[name][MOBILENET] >= 5
        assert NETWORKS[name]["bytes"] < 0.6 * NETWORKS[deployment.PEERS[2]]["bytes"]
    assert NETWORKS["ftbnn_r18_pure"]["bytes"] <= 0.2 * NETWORKS[deployment.PEERS[2]]["bytes"]


@compared
@pytest.mark.parametrize("name", [name for name in deployment.OTHERS if name.endswith(INT8)])
def test_8_bits_take_a_quarter_of_the_bytes_and_no_other_operators(name):
    small, whole = NETWORKS[name], NETWORKS[name.removesuffix(INT8)]
    assert small["bytes"] <= 0.3 * whole["bytes"]
    assert small["operators"] == {**whole["operators"], "QUANTIZE": 1, "DEQUANTIZE": 1}


@pytest.mark.parametrize("name", results.STEPS)
def test_nothing_stands_between_stem_and_classifier_but_what_the_network_needs(name):
    found = NETWORKS[name]["operators"]
    units = {"LceQuantize", "LceBconv2d", "PRELU", "ADD", "SPLIT", "CONCATENATION"}
    stem_and_shortcuts = {"CONV_2D", "DEPTHWISE_CONV_2D", "AVERAGE_POOL_2D", "MAX_POOL_2D"}
    assert set(found) <= units | stem_and_shortcuts | {"DEQUANTIZE", "FULLY_CONNECTED"}
    convolutions = found["LceBconv2d"]
    for kind in ("LceQuantize", "PRELU", "ADD"):
        assert found.get(kind, 0) <= convolutions
