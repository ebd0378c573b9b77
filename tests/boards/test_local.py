"""`benchmark` by LCE's tool on this machine: a program that prints recorded outputs stands in the tool's place."""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import time

import numpy as np
import pytest

from ftbnn_larq.benchmarking.measurements import Journal
from ftbnn_larq.inference.interpreter import host_kernel
from tests.boards.helpers import (
    GROUPED,
    PLAIN,
    SAMPLES,
    answering_tool,
    calls,
    check_awkward_names,
    check_interrupt,
    elf,
    left_on,
    local,
    pretending,
    tool,
)
from tests.conftest import run_command


def kept(folder) -> list[dict]:
    (file,) = (folder / "measurements").glob("*.json")
    return json.loads(file.read_text())


def test_one_command_measures_prints_keeps_and_cleans_up(board, tmp_path, command):
    program = tool(tmp_path / "tool")
    result = command(*local(PLAIN), "--tool", program, "--runs", 20, "--json", cwd=tmp_path)
    assert result.status == 0, result.err
    (measured,) = result.out
    # Recorded: microseconds, four rounds of five runs and then some.
    assert measured["latency_ms"]["mean"] == pytest.approx(98.9494)
    assert measured["latency_ms"]["min"] == 96.813
    assert measured["latency_ms"]["median_of"] == "means of rounds"
    assert measured["kernel"] == host_kernel() and measured["threads"] == 1
    assert measured["device"]["cores"] >= 1 and "os" in measured["device"]
    assert kept(tmp_path) == result.out
    assert left_on(board) == []
    assert all("--min_secs=0 " in call and "--warmup_min_secs=0 " in call for call in calls(program))
    runs = [int(call.partition("--num_runs=")[2].split()[0]) for call in calls(program)]
    assert sum(runs[:-1]) == 20, "the last call looks at memory"


def test_people_get_a_table_in_milliseconds(board, tmp_path, command):
    result = command(*local(PLAIN), "--tool", tool(tmp_path / "tool"), cwd=tmp_path)
    assert "98.949" in result.out and "millisecond" in result.out
    assert "the median is that of the means of rounds" in result.out
    assert "kept in measurements/" in result.out


def test_no_number_is_broken_on_a_narrow_terminal(board, tmp_path):
    narrow = {"FORCE_COLOR": "1", "COLUMNS": "80"}
    result = run_command(*local(PLAIN), "--tool", tool(tmp_path / "tool"), cwd=tmp_path, **narrow)
    assert all(cell in result.out for cell in ("98.949", "96.813", "1.361", host_kernel(), "8 MB", "1.000")), result.out


def test_files_and_threads_are_measured_in_turn(board, tmp_path, command):
    program = tool(tmp_path / "tool")
    result = command(
        *local(PLAIN, GROUPED), "--tool", program, "--threads", "1,4", "--runs", 10, "--json", cwd=tmp_path
    )
    assert [(row["path"], row["threads"]) for row in result.out] == [
        (str(PLAIN), 1), (str(GROUPED), 1), (str(PLAIN), 4), (str(GROUPED), 4),
    ]  # fmt: skip
    seen = [(call.split()[0], "--num_threads=4" in call) for call in calls(program)][:8]
    assert seen[:4] == seen[4:] and len(set(seen)) == 4
    assert all(row["ratio"] == 1 for row in result.out)


def test_the_kernel_fits_the_model_and_the_reason_is_told(board, tmp_path, command):
    program = tool(tmp_path / "tool")
    result = command(*local(PLAIN, GROUPED), "--tool", program, "--json", cwd=tmp_path)
    assert [row["kernel"] for row in result.out] == [host_kernel(), "indirect"]
    assert f"plain.tflite: {host_kernel()} kernel, the fastest one on {platform.machine()}" in result.err
    assert "grouped.tflite: indirect kernel, it holds grouped binary convolutions" in result.err
    grouped = {call.split()[0]: "--use_indirect_bgemm=true" in call for call in calls(program)}
    assert list(grouped.values()) == [host_kernel() == "indirect", True]
    other = command(*local(PLAIN), "--tool", program, "--kernel", "reference", "--json", cwd=tmp_path)
    assert other.out[0]["kernel"] == "reference" and "--use_reference_bconv=true" in calls(program)[-1]


def test_a_profile_is_a_table_a_picture_and_names_of_layers(board, tmp_path, command):
    program = tool(tmp_path / "tool")
    result = command(*local(PLAIN), "--tool", program, "--profile", "--json", cwd=tmp_path)
    (measured,) = result.out
    operators = {row["type"]: row for row in measured["operators"]}
    assert operators["LceBconv2d"]["ms"] == pytest.approx(60.043)
    # Merged by the delegate: 1.502 ms is the average of a call, and there are four.
    assert operators["PReLU (NC, F32)"] == {"type": "PReLU (NC, F32)", "count": 4, "ms": pytest.approx(6.008)}
    assert sum(row["ms"] for row in measured["operators"]) == pytest.approx(98.68, rel=1e-3)
    assert measured["layers"][0]["ms"] >= measured["layers"][-1]["ms"]
    (picture,) = (tmp_path / "measurements").glob("*.png")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "--enable_op_profiling=true" in calls(program)[-1]


def test_layers_are_named_from_the_flatbuffer_where_the_profile_cuts_names():
    from ftbnn_larq.benchmarking.models import read_model
    from ftbnn_larq.benchmarking.output import Row

    model = read_model(PLAIN)
    newer = Row("LceBconv2d", "[small/unit2_norm/Fused]:5", 2.0, 1)
    older = Row("LceBconv2d", "[small/unit1_norm/FusedBatchNormV3;small/unit1_conv]", 3.0, 1)
    merged = Row("Add (ND, F32)", "Delegate/Add (ND, F32):1", 1.0, 2)
    assert [(row["layer"], row["ms"]) for row in model.profile([newer, older, merged])] == [
        ("unit1_conv, unit1_norm", 3.0), ("unit2_conv, unit2_norm", 2.0), ("several", 1.0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("tensor", "root", "layers"),
    [
        ("net/conv1/Conv2D;net/bn1/FusedBatchNormV3", "net", ["conv1", "bn1"]),
        ("quicknet/batch_normalization_3/FusedBatchNormV3;qu", "quicknet", ["batch_normalization_3"]),
        ("stage1_unit1_bn/group2", "", ["stage1_unit1_bn/group2"]),
        ("stage1_unit1_conv/approx_sign", "", ["stage1_unit1_conv"]),
        ("StatefulPartitionedCall:0", "net", ["StatefulPartitionedCall:0"]),
        ("model/conv/BiasAdd", None, ["conv"]),
    ],
)
def test_layers_in_names_of_tensors(tensor, root, layers):
    from ftbnn_larq.benchmarking.models import layers_named

    assert layers_named(tensor, root) == layers


def test_real_pictures_go_in_and_the_answers_are_those_of_this_machine(board, tmp_path, command):
    program = answering_tool(tmp_path / "tool")
    result = command(*local(PLAIN), "--tool", program, "--verify", 4, "--pictures", "test", "--json", cwd=tmp_path)
    assert result.status == 0, result.err
    found = result.out[0]["agreement"]
    assert found["pictures"] == 4 and found["top1_agreement"] == 1
    assert found["max_abs_diff"] <= found["tolerance"] and found["beyond_tolerance"] == 0
    assert result.out[0]["input"] == "test"
    assert left_on(board) == []

    # Its data set need not be here, nor is it downloaded: other real pictures do as well.
    elsewhere = tmp_path / "elsewhere.tflite"
    elsewhere.write_bytes(PLAIN.read_bytes())
    description = json.loads(PLAIN.with_suffix(".json").read_text())
    description["data"]["name"] = f"folder:{tmp_path}/nowhere"
    elsewhere.with_suffix(".json").write_text(json.dumps(description))
    result = command(*local(elsewhere), "--tool", program, "--verify", 2, cwd=tmp_path)
    assert "same class as on this machine on all 2 pictures of digits" in result.out, result.err


def test_of_a_test_split_with_fewer_pictures_all_are_taken():
    from ftbnn_larq import data
    from ftbnn_larq.inference.agreement import real_pictures

    pictures, name = real_pictures(PLAIN, 10_000)
    assert (len(pictures), name) == (data.load("digits").test.examples, "digits")


def test_answers_of_another_class_are_a_fault_and_signs_on_zero_are_counted():
    from ftbnn_larq.errors import BoardError
    from ftbnn_larq.inference.agreement import agreement
    from ftbnn_larq.inference.interpreter import Interpreter

    pictures = np.random.default_rng(0).standard_normal((4, 8, 8, 1), np.float32)
    with Interpreter(PLAIN) as interpreter:
        scores = interpreter.predict(pictures)
    assert agreement(PLAIN, scores, scores, "")["beyond_tolerance"] == 0
    turned = scores.copy()
    turned[2, scores[2].argmax()] += 1
    found = agreement(PLAIN, scores, turned, "")
    assert found["beyond_tolerance"] == 1 and found["max_abs_diff"] == pytest.approx(1, rel=1e-3)
    with pytest.raises(BoardError, match=r"on 4 of 4 pictures, .*rounding explains .*: do this"):
        agreement(PLAIN, scores, -scores, "do this")
    with pytest.raises(BoardError, match=r"differ on half of the pictures by .*: do this"):
        agreement(PLAIN, scores, scores + np.ptp(scores), "do this")
    with pytest.raises(BoardError, match="not all numbers"):
        agreement(PLAIN, scores, scores * np.nan, "")


def test_awkward_file_names_reach_no_shell(board, tmp_path):
    check_awkward_names("local", tmp_path)


@pytest.mark.slow
def test_awkward_file_names_are_told_and_drawn_as_they_are(board, tmp_path):
    names = [r"a$\x$ $(y).tflite", "[red]m[bold].tflite", os.fsdecode(b"\xff.tflite")]
    for name in names:
        shutil.copy(PLAIN, os.path.join(str(tmp_path), name))
    result = run_command(*local(*names), "--tool", tool(tmp_path / "tool"), "--profile", cwd=tmp_path)
    assert result.status == 0, result.err
    for name in names:
        assert name.encode(errors="replace").decode() in result.out
    assert len(list((tmp_path / "measurements").glob("*.png"))) == 1 and ".png" in result.out
    assert run_command("report", cwd=tmp_path).status == 0


def test_a_runner_stands_in_front_of_the_tool(board, tmp_path, command):
    runner = tmp_path / "runner"
    runner.write_text(f'#!/bin/sh\necho "$1" >> {tmp_path}/ran\nshift\nexec "$@"\n')
    runner.chmod(0o755)
    result = command(
        *local(PLAIN), "--tool", tool(tmp_path / "tool"), "--runner", f"{runner} 'a b'", "--json", cwd=tmp_path
    )
    assert result.status == 0, result.err
    assert set((tmp_path / "ran").read_text().splitlines()) == {"a b"}
    assert result.out[0]["kernel"] == host_kernel()


def test_behind_an_emulator_the_kernel_is_that_of_the_tools_machine(board, tmp_path, command):
    emulator = tool(tmp_path / "emulator")
    (tmp_path / "arm").write_bytes(elf(183))
    result = command(*local(PLAIN), "--tool", "arm", "--runner", emulator, "--json", cwd=tmp_path)
    assert result.status == 0, result.err
    assert result.out[0]["kernel"] == "default" and "the fastest one on aarch64" in result.err


def test_sessions_of_the_same_second_have_a_file_each(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "strftime", lambda form: "20260102-030405")
    first, second = (Journal("ssh:pi@board", tmp_path / "measurements") for _ in range(2))
    assert not first.path and not (tmp_path / "measurements").exists()
    for number, journal in enumerate((first, second, first, second)):
        journal.keep([{"number": number}])
    assert first.path != second.path
    assert [json.loads(journal.path.read_text())[0]["number"] for journal in (first, second)] == [2, 3]
    assert len(list((tmp_path / "measurements").iterdir())) == 2


def test_a_fault_in_the_middle_loses_no_measurement(board, tmp_path, command):
    program = tool(tmp_path / "tool", f"[ $(wc -l < '{tmp_path}/tool.log') -lt 4 ] || kill -9 $$")
    result = command(*local(PLAIN), "--tool", program, "--runs", 50, cwd=tmp_path)
    assert result.status == 2 and "killed" in result.err.splitlines()[-1]
    assert "what was measured until then is kept in measurements/" in result.err
    (measured,) = kept(tmp_path)
    assert len(measured["rounds_ms"]) == 3


def test_what_spoils_a_measurement_is_told(board, tmp_path, command):
    path = pretending(tmp_path / "hot", vcgencmd="throttled=0x50004")
    program = tool(tmp_path / "tool", f"sed s/std=1361/std=45361/ '{SAMPLES}/profile_xnnpack.txt'; exit 0")
    result = command(*local(PLAIN), "--tool", program, "--json", cwd=tmp_path, PATH=path)
    warnings = " ".join(result.out[0]["warnings"])
    assert "throttled" in warnings and "scatter" in warnings


def test_arm64_is_aarch64_by_another_name(tmp_path, monkeypatch):
    from ftbnn_larq.benchmarking import fetched
    from ftbnn_larq.boards.device import parse_facts
    from ftbnn_larq.errors import ToolError

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ToolError, match="no benchmark tool for aarch64 yet"):
        fetched.find(parse_facts("machine=arm64\nbits=64\n"))


def test_how_much_of_a_file_was_sent_is_told_while_it_is(board, tmp_path):
    from ftbnn_larq.boards.board import Board
    from ftbnn_larq.boards.targets import Target

    file, told = tmp_path / "file", []
    file.write_bytes(bytes(1 << 20))
    with Board(Target("local")) as session:
        session.put(file, ".bin", on_bytes=told.append)
        assert sum(told) == 1 << 20 and min(told) >= 0
        # What is there already counts as sent.
        session.put(file, ".bin", on_bytes=told.append)
        assert sum(told) == 2 << 20


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupt_leaves_no_process_and_no_file(board, tmp_path, number):
    check_interrupt(number, "local", board, tmp_path)


def test_a_full_disk_on_the_board(refused, small_disk, tmp_path):
    disk = small_disk("64k")
    (disk / "filling").write_bytes(bytes(44_000))
    said = refused(*local(PLAIN), "--tool", tool(tmp_path / "tool"), TMPDIR=str(disk))
    assert "cannot be put there: its disk is full" in said and "make room there" in said
    assert left_on(disk) == []


def test_time_by_operator_on_this_machine(tmp_path, command):
    result = command("benchmark", PLAIN, "--profile", "--runs", 5, "--json", cwd=tmp_path)
    assert result.status == 0, result.err
    (measured,) = result.out
    operators = {row["type"]: row for row in measured["operators"]}
    assert operators["LceBconv2d"]["count"] == 2 and len(measured["layers"]) == 9
    assert all(row["ms"] > 0 for row in measured["layers"])
    assert {"unit1_conv, unit1_norm", "stem"} <= {row["layer"] for row in measured["layers"]}
    assert len(list((tmp_path / "measurements").glob("*.png"))) == 1


@pytest.mark.slow
def test_networks_by_name_are_built_converted_and_measured_beside_files(tmp_path, command):
    result = command(
        "benchmark", PLAIN, "larq_zoo:QuickNetSmall", "--input-size", 64, "--classes", 10, "--runs", 3, "--json",
        cwd=tmp_path,
    )  # fmt: skip
    assert result.status == 0, result.err
    first, peer = result.out
    assert peer["path"] == "larq_zoo:QuickNetSmall" and first["ratio"] == 1 < peer["ratio"]
    assert {"type": "LceBconv2d", "count": 16} in peer["operators"]
    assert "SOFTMAX" not in {operator["type"] for operator in peer["operators"]}
    # Of the interpreter's process, not of the one that built the network.
    assert 10 < peer["peak_memory_mb"] < 300
