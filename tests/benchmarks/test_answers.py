"""The stored answers of the published networks: every instruction set gives LCE's."""

from __future__ import annotations

import json

import pytest

from benchmarks import answers
from ftbnn_larq import zoo

NETWORKS = json.loads(answers.FILE.read_text(encoding="utf-8"))["networks"]


def test_every_published_network_is_there():
    assert {*NETWORKS} == {f"{name}:{data}" for name in zoo.list_models() for data in zoo.published_weights(name)}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_instruction_set_gives_lces_answers(name):
    document = NETWORKS[name]
    ours = [row for row in document["run_by"] if row["engine"] == "ftbnn"]
    assert document["pictures"] >= 1000 and {"portable"} < {row["kernel"] for row in ours}
    for row in ours:
        assert row["same_class"] == document["pictures"]
        assert row["max_abs_diff"] <= 1e-5 * document["logits_range"]
