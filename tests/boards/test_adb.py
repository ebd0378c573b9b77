"""`benchmark --on adb` through Debian's `adb`, client and server; the device is one that speaks adb's protocol."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from types import SimpleNamespace

import pytest

from tests.boards.fake_device import Device
from tests.boards.helpers import (
    FAULTS,
    PLAIN,
    check_answers,
    check_awkward_names,
    check_interrupt,
    check_lost_connection,
    installed,
    left_on,
    tool,
    wait_for,
)
from tests.boards.test_ssh import free_port


@pytest.fixture
def android(tmp_path):
    """adb's server with nothing plugged in: `plug` adds a device and gives it, with its `disk` and `on`."""
    adb = installed("adb", "adb")
    environment = {"ANDROID_ADB_SERVER_PORT": str(free_port()), "HOME": str(tmp_path), "ADB_MDNS_AUTO_CONNECT": "0"}
    devices = []

    def run(*arguments):
        return subprocess.run([adb, *arguments], env={**os.environ, **environment}, capture_output=True, text=True)

    def plug(name: str = "phone", **options):
        disk = tmp_path / name
        (disk / "bin").mkdir(parents=True)
        for program, said in {"getprop": "14", "uname": "aarch64"}.items():
            (disk / "bin" / program).write_text(f"#!/bin/sh\necho {said}\n")
            (disk / "bin" / program).chmod(0o755)
        device = Device(disk, **options)
        devices.append(device)
        run("connect", device.serial)
        state = "device" if device.trusts else "unauthorized"
        wait_for(lambda: f"{device.serial}\t{state}" in run("devices").stdout)
        device.disk, device.on = disk, f"adb:{device.serial}"
        return device

    run("start-server")
    yield SimpleNamespace(plug=plug, environment=environment, run=run)
    run("kill-server")
    for device in devices:
        device.close()


def test_one_command_measures_on_the_phone_and_leaves_nothing_there(android, tmp_path, command):
    phone = android.plug()
    program = tool(tmp_path / "tool")
    result = command(
        "benchmark", PLAIN, "--on", "adb", "--tool", program, "--json", cwd=tmp_path, **android.environment
    )
    assert result.status == 0, result.err
    (measured,) = result.out
    assert measured["latency_ms"]["mean"] == pytest.approx(98.9494)
    assert measured["device"]["os"] == "Android 14 (14)"
    assert left_on(phone.disk) == []


def test_pictures_get_there_and_answers_back(android, tmp_path, monkeypatch):
    phone = android.plug()
    for name, value in android.environment.items():
        monkeypatch.setenv(name, value)
    check_answers(phone.on, tmp_path)
    assert left_on(phone.disk) == []


def test_of_two_devices_one_is_named_by_its_serial(refused, android, tmp_path, command):
    _, second = android.plug("first"), android.plug("second")
    program = tool(tmp_path / "tool")
    said = refused("benchmark", PLAIN, "--on", "adb", "--tool", program, **android.environment)
    assert "several Android devices: name one as adb:SERIAL" in said
    result = command(
        "benchmark", PLAIN, "--on", second.on, "--tool", program, "--json", cwd=tmp_path, **android.environment
    )
    assert result.status == 0, result.err
    assert result.out[0]["on"] == second.on


def test_devices_that_are_not_there_or_do_not_trust(refused, android, tmp_path):
    program = tool(tmp_path / "tool")
    arguments = ("benchmark", PLAIN, "--tool", program, "--on")
    assert "plug it in" in refused(*arguments, "adb", **android.environment)
    assert "no such Android device" in refused(*arguments, "adb:nope", **android.environment)
    stranger = android.plug(trusts=False)
    said = refused(*arguments, stranger.on, **android.environment)
    assert "unlock it and accept" in said


def test_a_cable_pulled_in_the_middle_keeps_what_was_measured_and_leaves_nothing(android, tmp_path):
    phone = android.plug()

    def pull():
        phone.listener.close()
        phone.unplug()

    check_lost_connection(pull, phone.on, phone.disk, tmp_path, **android.environment)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupt_leaves_no_process_and_no_file_on_the_phone(android, tmp_path, number):
    phone = android.plug()
    check_interrupt(number, phone.on, phone.disk, tmp_path, **android.environment)


@pytest.mark.parametrize(("body", "words"), FAULTS)
def test_faults_of_the_tool_there_are_one_line_and_leave_nothing(refused, android, tmp_path, body, words):
    phone = android.plug()
    program = tool(tmp_path / "tool", body)
    said = refused("benchmark", PLAIN, "--on", phone.on, "--tool", program, **android.environment)
    assert re.search(words, said), said
    assert left_on(phone.disk) == []


def test_awkward_file_names_reach_no_shell_on_either_side(android, tmp_path):
    check_awkward_names(android.plug().on, tmp_path, **android.environment)
