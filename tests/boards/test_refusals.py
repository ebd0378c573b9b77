"""What cannot be measured on a board is refused with one line, and leaves nothing there."""

from __future__ import annotations

import re
import time

import pytest

from ftbnn_larq.boards.targets import parse_target
from ftbnn_larq.errors import ConfigError
from tests.boards.helpers import FAULTS, PLAIN, elf, left_on, local, pretending, sleeping, tool, wait_for
from tests.conftest import line_of_refusal, run_without_tensorflow


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
    mark = f"7{time.time_ns() % 10**8}"
    said = refused(*local(PLAIN), "--tool", tool(tmp_path / "tool", body.replace("{mark}", mark)), "--timeout", 1)
    assert re.search(words, said), said
    assert left_on(board) == []
    # What was killed may need a moment to end.
    wait_for(lambda: not sleeping(f"sleep {mark}"))


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
        (("--keep",), "host sends nothing and has no time limit: --keep and --timeout need another --on"),
        (("--timeout", 5), "--keep and --timeout need another --on"),
        (("--on", "local", "--engine", "ftbnn", "--keep"), "leave --tool, --runner and --keep out, or add lce"),
        (("--input-size", 64), "64x64 and 1000 classes: flatbuffers have sizes of their own"),
        (("larq_zoo:QuickNet:imagenet", "--classes", 10), "leave --input-size and --classes out, or name a network"),
        (("--on", f"ssh:board:{'1' * 5_000}"), "expected host, local, ssh:"),
    )
    results = run_without_tensorflow(*(("benchmark", PLAIN, *arguments) for arguments, _ in cases), cwd=tmp_path)
    for (arguments, words), result in zip(cases, results, strict=True):
        assert words in line_of_refusal(result), arguments


def test_addresses_of_version_6_with_any_zone_and_openssh_s_own_form():
    for text, address, port in (
        ("ssh:[fe80::1%wlan-0]", "fe80::1%wlan-0", None),
        ("ssh:pi@[fe80::1%eth0]:22", "pi@fe80::1%eth0", 22),
        ("ssh://pi@raspberrypi:22", "pi@raspberrypi", 22),
    ):
        target = parse_target(text)
        assert (target.address, target.port) == (address, port)
    for text in ("ssh:[-l]", "ssh:///pi", "ssh:pi/raspberrypi"):
        with pytest.raises(ConfigError, match="expected host"):
            parse_target(text)
