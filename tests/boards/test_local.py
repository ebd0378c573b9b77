"""`benchmark` by LCE's tool on this machine: a program that prints recorded outputs stands in the tool's place."""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import struct
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from ftbnn_larq.inference.interpreter import host_kernel
from tests.boards.helpers import (
    FAULTS,
    GROUPED,
    PLAIN,
    SAMPLES,
    answering_tool,
    calls,
    check_awkward_names,
    check_interrupt,
    installed,
    left_on,
    sleeping,
    tool,
    wait_for,
)
from tests.conftest import line_of_refusal, run_command, run_without_tensorflow


@pytest.fixture
def board(tmp_path, monkeypatch):
    """The folder that stands for the board's disk."""
    folder = tmp_path / "board"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def local(*arguments):
    return "benchmark", *arguments, "--on", "local"


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
    with pytest.raises(BoardError, match="not all numbers"):
        agreement(PLAIN, scores, scores * np.nan, "")


def test_awkward_file_names_reach_no_shell(board, tmp_path):
    check_awkward_names("local", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", [r"a$\x$ $(y).tflite", "[red]m[bold].tflite", b"\xff.tflite"])
def test_awkward_file_names_are_told_and_drawn_as_they_are(board, tmp_path, name):
    model = Path(os.path.join(str(tmp_path), os.fsdecode(name)))
    model.write_bytes(PLAIN.read_bytes())
    result = run_command(*local(model.name), "--tool", tool(tmp_path / "tool"), "--profile", cwd=tmp_path)
    assert result.status == 0, result.err
    assert os.fsdecode(name).encode(errors="replace").decode() in result.out
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


@pytest.mark.parametrize(
    ("runner", "words"),
    [
        ("no-such-emulator", "no-such-emulator: no such program there"),
        ("sh -c 'echo could not open /lib/ld-linux-aarch64.so.1; exit 255'", "-L /usr/aarch64-linux-gnu"),
    ],
)
def test_runners_that_cannot_run_it(refused, board, tmp_path, runner, words):
    assert words in refused(*local(PLAIN), "--tool", tool(tmp_path / "tool"), "--runner", runner)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        *FAULTS,
        ("echo 'ERROR: Encountered unresolved custom op: LceQuantize.' >&2; exit 1", "LceQuantize: take LCE's"),
        ("echo 'ERROR: Bad opcode version.' >&2; exit 1", "Bad opcode version: take the tool of the LCE release"),
        ("exit 3", r"printed nothing \(exit status 3\): is it LCE's lce_benchmark_model"),
        ("kill -SEGV $$", "crashed .*signal 11"),
        ("echo 'sh: tool: not found' >&2; exit 127", "32-bit"),
        (
            "echo 'tool: error while loading shared libraries: libfoo.so.1: cannot open shared object file: No such "
            "file or directory' >&2; exit 127",
            "the board lacks libfoo.so.1: install it, or build the tool statically",
        ),
        (
            'echo \'CANNOT LINK EXECUTABLE "./tool": library "libc++_shared.so" not found\' >&2; kill -ABRT $$',
            r"the board lacks libc\+\+_shared.so: ",
        ),
        ("echo 'WARN: Unconsumed cmdline flags: --min_secs=0'", "does not know --min_secs"),
        ("exit 0", "printed nothing"),
        ("echo 'INFO: count=5 first=10O curr=3'; exit 0", "cannot read this line .*10O"),
        ("echo 'INFO: STARTING!'; exit 0", "no result; it ends in 'INFO: STARTING!': is it"),
        ("sleep {mark}", "no end within 1 s"),
    ],
)  # fmt: skip
def test_faults_of_the_tool_are_one_line_and_leave_nothing(refused, board, tmp_path, body, words):
    import re

    mark = f"7{time.time_ns() % 10**8}"
    said = refused(*local(PLAIN), "--tool", tool(tmp_path / "tool", body.replace("{mark}", mark)), "--timeout", 1)
    assert re.search(words, said), said
    assert left_on(board) == []
    # What was killed may need a moment to end.
    wait_for(lambda: not sleeping(f"sleep {mark}"))


def test_a_fault_in_the_middle_loses_no_measurement(board, tmp_path, command):
    program = tool(tmp_path / "tool", f"[ $(wc -l < '{tmp_path}/tool.log') -lt 4 ] || kill -9 $$")
    result = command(*local(PLAIN), "--tool", program, "--runs", 50, cwd=tmp_path)
    assert result.status == 2 and "killed" in result.err.splitlines()[-1]
    assert "what was measured until then is kept in measurements/" in result.err
    (measured,) = kept(tmp_path)
    assert len(measured["rounds_ms"]) == 3


def elf(machine: int, bits: int = 64) -> bytes:
    return b"\x7fELF" + bytes([2 if bits == 64 else 1]) + bytes(13) + struct.pack("<H", machine) + bytes(100)


def pretending(folder, **programs) -> str:
    """A PATH on which programs print what a board would."""
    folder.mkdir()
    for name, said in programs.items():
        (folder / name).write_text(f"#!/bin/sh\necho '{said}'\n")
        (folder / name).chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def test_a_tool_for_another_machine_is_refused_before_it_is_sent(refused, board, tmp_path):
    (tmp_path / "arm").write_bytes(elf(183))
    path = pretending(tmp_path / "x86", uname="x86_64")
    assert "is for aarch64, the board is x86_64" in refused(*local(PLAIN), "--tool", "arm", PATH=path)
    path = pretending(tmp_path / "pi32", uname="aarch64", getconf="32")
    assert "64-bit Raspberry Pi OS" in refused(*local(PLAIN), "--tool", "arm", PATH=path)
    path = pretending(tmp_path / "pi7", uname="armv7l", getconf="32")
    assert "32-bit one (armv7l)" in refused(*local(PLAIN), PATH=path)
    assert left_on(board) == []


def test_a_missing_tool_says_where_to_get_one(refused, board, tmp_path):
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    path = pretending(tmp_path / "pi", uname="aarch64")
    said = refused(*local(PLAIN), PATH=path, **cache)
    assert "`ftbnn-larq tool fetch --arch aarch64 --sha256 CHECKSUM`" in said and "--tool" in said
    phone = pretending(tmp_path / "phone", uname="aarch64", getprop="14")
    assert "tool fetch --arch android-arm64" in refused(*local(PLAIN), PATH=phone, **cache)
    old = pretending(tmp_path / "old", uname="armv8l", getprop="10")
    said = refused(*local(PLAIN), PATH=old, **cache)
    assert "no benchmark tool for armv8l" in said and "Raspberry" not in said
    assert "none" in refused(*local(PLAIN), "--tool", "none")
    (tmp_path / "empty").touch()
    assert "empty file" in refused(*local(PLAIN), "--tool", "empty")


def test_an_emulator_takes_the_tool_of_its_own_machine(refused, board, tmp_path):
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    path = pretending(tmp_path / "x86", uname="x86_64")
    said = refused(*local(PLAIN), "--runner", "qemu-aarch64-static -L /usr/aarch64-linux-gnu", PATH=path, **cache)
    assert "no benchmark tool for aarch64 yet" in said


def test_what_spoils_a_measurement_is_told(board, tmp_path, command):
    path = pretending(tmp_path / "hot", vcgencmd="throttled=0x50004")
    program = tool(tmp_path / "tool", f"sed s/std=1361/std=45361/ '{SAMPLES}/profile_xnnpack.txt'; exit 0")
    result = command(*local(PLAIN), "--tool", program, "--json", cwd=tmp_path, PATH=path)
    warnings = " ".join(result.out[0]["warnings"])
    assert "throttled" in warnings and "scatter" in warnings


def test_states_of_boards(monkeypatch):
    from ftbnn_larq.boards.device import describe, parse_facts, warnings

    facts = parse_facts(
        "machine=aarch64\nbits=64\ncores=4\nboard=Raspberry Pi 4 Model B Rev 1.4\nparts=0x41 0xd08 0x41 0xd08\n"
        "governor=powersave\nclock=600000\nmax_clock=1800000\ntemperatures=61000 82500\nthrottled=0x20000\n"
        "memory=MemTotal:        3884400 kB\nos=Debian GNU/Linux 12 (bookworm)\nlibc=glibc 2.36\n"
    )
    assert facts["cpu"] == "2x Cortex-A72" and facts["temperature_c"] == 82.5 and facts["max_clock_mhz"] == 1800
    assert "1.8 GHz" in describe(facts) and "4.0 GB" in describe(facts)
    assert describe({**facts, "temperature_c": None, "cores": None}).count("None") == 0
    assert [word for word in ("powersave", "82 °C", "since it was started") if word in " ".join(warnings(facts))] == [
        "powersave", "82 °C", "since it was started",
    ]  # fmt: skip
    monkeypatch.setattr(platform, "processor", lambda: "this machine's")
    phone = parse_facts("machine=aarch64\nproduct=Google Pixel\nandroid=14\nbuild=UP1A\ntemperatures=-273 31 127000\n")
    assert phone["os"] == "Android 14 (UP1A)" and phone["board"] == "Google Pixel" and phone["temperature_c"] == 31
    assert "cpu" not in phone


@pytest.mark.parametrize("shell", ["sh", "busybox"])
def test_only_temperatures_are_taken_for_such(tmp_path, shell):
    from ftbnn_larq.boards.device import FACTS, parse_facts

    zones = {"cpu-0-0": 41000, "soc": 72, "socd": 98, "pm8150b-ibat-lvl0": 90, "pm8550b-bcl-lvl1": 99, "vbat": 119}
    for number, (kind, value) in enumerate({**zones, "cpu-hw-trip-0": 95000, "": 43000}.items()):
        zone = tmp_path / f"thermal_zone{number}"
        zone.mkdir()
        (zone / "temp").write_text(f"{value}\n")
        if kind:
            (zone / "type").write_text(f"{kind}\n")
    command = [installed("busybox", "busybox"), "sh"] if shell == "busybox" else ["sh"]
    script = FACTS.replace("/sys/class/thermal", str(tmp_path))
    said = subprocess.run([*command, "-c", script], capture_output=True, text=True).stdout
    assert "temperatures=41000 43000 \n" in said
    assert parse_facts(said)["temperature_c"] == 43


def test_powersave_is_no_fault_of_a_processor_that_sets_its_own_clock():
    from ftbnn_larq.boards.device import parse_facts, warnings

    said = "governor=powersave \nscaling_driver="
    assert warnings(parse_facts(f"{said}intel_pstate \n")) == []
    assert "powersave" in warnings(parse_facts(f"{said}cpufreq-dt \n"))[0]


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


def test_values_that_cannot_be_used_are_refused_without_tensorflow(tmp_path):
    cases = (
        (("--on", "usb"), "expected host, local, ssh:"),
        (("--on", "ssh:"), "expected host, local, ssh:"),
        (("--on", "ssh:-oProxyCommand=touch x"), "expected host, local, ssh:"),
        (("larq_zoo:QuikNet",), "did you mean larq_zoo:QuickNet"),
        (("ftbn_r18",), "did you mean ftbnn_r18"),
        (("none.tflite",), "none.tflite: cannot be read"),
        (("--threads", "1,x"), "1,4"),
        (("--threads", "0"), "at least 1"),
        (("--runs", 0), "at least 1 run"),
        (("--on", "local", "--kernel", "defalt"), "did you mean default"),
        (("--kernel", "defalt"), "did you mean default"),
        (("--pictures", "real"), "random or test"),
        (("--tool", "x"), "--on local"),
        (("--verify", 3), "--verify needs another --on"),
        (("--on", "local", "--runner", "'"), "--runner"),
    )
    results = run_without_tensorflow(*(("benchmark", PLAIN, *arguments) for arguments, _ in cases), cwd=tmp_path)
    for (arguments, words), result in zip(cases, results, strict=True):
        assert words in line_of_refusal(result), arguments


def test_time_by_operator_on_this_machine(tmp_path, command):
    result = command("benchmark", PLAIN, "--profile", "--runs", 5, "--json", cwd=tmp_path)
    assert result.status == 0, result.err
    (measured,) = result.out
    operators = {row["type"]: row for row in measured["operators"]}
    assert operators["LceBconv2d"]["count"] == 2 and len(measured["layers"]) == 9
    assert all(row["ms"] > 0 for row in measured["layers"])
    assert {"unit1_conv, unit1_norm", "stem"} <= {row["layer"] for row in measured["layers"]}
    assert len(list((tmp_path / "measurements").glob("*.png"))) == 1


def old_timeout(folder: Path) -> None:
    """As that of busybox before 1.30, timeout [-t SECONDS] [-s SIGNAL] PROGRAM, in front of the others."""
    script = folder / "timeout"
    script.write_text(
        "#!/bin/sh\nseconds=10 signal=TERM\n"
        "while :; do case $1 in -t) seconds=$2 ;; -s) signal=$2 ;; *) break ;; esac; shift 2; done\n"
        f'exec {shutil.which("timeout")} -s "$signal" "$seconds" "$@"\n'
    )
    script.chmod(0o755)


@pytest.mark.parametrize("timeout", ["GNU", "busybox", "old"])
def test_a_board_that_hears_nothing_any_more_cleans_up_by_itself(board, monkeypatch, tmp_path, timeout):
    if timeout == "busybox":
        (tmp_path / "timeout").symlink_to(installed("busybox", "busybox"))
    elif timeout == "old":
        old_timeout(tmp_path)
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path), os.environ["PATH"]]))
    from ftbnn_larq.boards import board as boards
    from ftbnn_larq.boards.targets import Target
    from ftbnn_larq.errors import BoardError

    monkeypatch.setattr(boards, "_PATIENCE", 1)
    with boards.Board(Target("local")) as session:
        session.put(PLAIN, ".tflite")
        assert left_on(board)
        wait_for(lambda: not left_on(board))
        with pytest.raises(BoardError, match="connection lost"):
            session.execute(["true"], seconds=5)


def test_a_board_whose_timeout_takes_its_seconds_otherwise_is_not_left_at_once(board, monkeypatch, tmp_path):
    old_timeout(tmp_path)
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path), os.environ["PATH"]]))
    from ftbnn_larq.boards.board import Board
    from ftbnn_larq.boards.targets import Target

    with Board(Target("local")) as session:
        time.sleep(1)
        assert session.execute(["true"], seconds=5).status == 0
    wait_for(lambda: not left_on(board))


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
