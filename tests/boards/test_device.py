"""What a board says of itself: its processor, its temperatures, what spoils a measurement."""

from __future__ import annotations

import platform
import subprocess

import pytest

from ftbnn_larq.boards.device import FACTS, describe, parse_facts, warnings
from tests.boards.helpers import installed


def test_states_of_boards(monkeypatch):
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
    said = "governor=powersave \nscaling_driver="
    assert warnings(parse_facts(f"{said}intel_pstate \n")) == []
    assert "powersave" in warnings(parse_facts(f"{said}cpufreq-dt \n"))[0]
