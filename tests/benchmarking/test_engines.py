"""Both engines on this machine, in one table."""

from __future__ import annotations

from ftbnn_larq.inference.interpreter import host_kernel, kernels
from tests.boards.helpers import GROUPED, PLAIN


def test_both_engines_are_measured_in_turn_and_compared(command, tmp_path):
    arguments = ("benchmark", PLAIN, GROUPED, "--engine", "lce,ftbnn", "--threads", "1,2", "--kernel", "portable")
    result = command(*arguments, "--runs", 4, "--profile", "--json")
    assert result.status == 0, result.err
    rows = [(row["threads"], row["path"], row["engine"], row["kernel"]) for row in result.out]
    assert rows == [
        (threads, str(path), *run_by)
        for threads in (1, 2)
        for path, lces in ((PLAIN, host_kernel()), (GROUPED, "indirect"))
        for run_by in (("lce", lces), ("ftbnn", "portable"))
    ]
    assert [row["ratio"] for row in result.out if row["path"] == str(PLAIN) and row["engine"] == "lce"] == [1, 1]
    assert all(row["ratio"] > 0 and len(row["layers"]) > 5 for row in result.out)
    assert f"{PLAIN}: portable kernels of ftbnn-runtime, as asked for" in result.err

    told = command("benchmark", PLAIN, "--engine", "ftbnn,lce", "--runs", 4)
    assert f"ftbnn, {kernels('ftbnn')[0]}" in told.out and f"lce, {host_kernel()}" in told.out
    assert told.out.count("2 LceBconv2d") == 1


def test_engines_that_cannot_be_measured(refused):
    for arguments, words in (
        (("--engine", "lse"), "unknown engine 'lse': did you mean lce"),
        (("--engine", "tflite"), "unknown engine 'tflite': known: ftbnn, lce"),
        (("--engine", "lce,lce"), "engine 'lce,lce': lce, ftbnn, or both"),
        (("--engine", "ftbnn", "--kernel", "indirect"), "unknown kernel 'indirect'"),
        (("--kernel", "portable"), "unknown kernel 'portable': known: default, indirect, reference (engine lce)"),
    ):
        assert words in refused("benchmark", PLAIN, *arguments)
