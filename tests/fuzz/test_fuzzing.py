"""Cases of every kind: whatever a file or an argument is, a user is told one line, and soon."""

from __future__ import annotations

import random

import pytest

from tests.fuzz import kinds, runner
from tests.fuzz.planted import PLANTED

CASES = 2_000


@pytest.mark.slow
def test_damaged_files_and_odd_arguments_are_refused():
    outcome = runner.run(CASES)
    assert outcome.findings == []
    assert sum(outcome.counts.values()) == CASES and outcome.counts.keys() == kinds.KINDS.keys()


@pytest.mark.parametrize("name", PLANTED)
def test_a_finding_is_noticed_and_the_next_case_is_run(name):
    _, words = PLANTED[name]
    outcome = runner.run(2, kind=name, processes=1, seconds=2 if name == "sleeps" else 60)
    assert [finding.seed for finding in outcome.findings] == ([] if words is None else [0, 1])
    assert all(words in finding.what for finding in outcome.findings), outcome.findings


def test_a_case_comes_again_from_its_seed(tmp_path):
    def made(seed: int, folder) -> dict:
        folder.mkdir()
        write = kinds.documents.write_damaged
        write(random.Random(seed), folder / "it.json", {"a": [1, 2.5, "word", None], "b": {"c": True}})
        return {path.name: path.read_bytes() for path in folder.glob("*") if path.is_file()}

    assert made(7, tmp_path / "1") == made(7, tmp_path / "2") != made(8, tmp_path / "3")
    assert kinds.drawn(7)[0] == kinds.drawn(7)[0]
