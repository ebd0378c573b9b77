"""Hardware, system and state of a board or of this machine, read by one shell script."""

from __future__ import annotations

import re

# Prints key=value lines; an unknown value is empty. Uses only POSIX and what toybox and busybox have.
FACTS = r"""
say() { printf '%s=%s\n' "$1" "$(echo "$2" | tr '\n' ' ')"; }
some() { cat "$@" | sort -u; }
# Skips the zones of phones that are no temperatures: charge, current, voltage, and limits for switching off.
heats() {
  for zone in /sys/class/thermal/thermal_zone*; do
    kind=; read -r kind <"$zone/type"
    case $kind in
      soc | socd | *[iv]bat* | *bcl* | *hw-trip*) ;;
      *) cat "$zone/temp" ;;
    esac
  done | sort -u
}
cpus=/sys/devices/system/cpu
{
say machine "$(uname -m)"
say kernel "$(uname -sr)"
say bits "$(getconf LONG_BIT)"
say cores "$(nproc || grep -c ^processor /proc/cpuinfo)"
say board "$(tr -d '\000' </proc/device-tree/model)"
say cpu "$(grep -m 1 -E '^(model name|Hardware)' /proc/cpuinfo | cut -d : -f 2-)"
say parts "$(grep -E '^CPU (implementer|part)' /proc/cpuinfo | cut -d : -f 2-)"
say governor "$(some $cpus/cpu*/cpufreq/scaling_governor)"
say scaling_driver "$(some $cpus/cpu*/cpufreq/scaling_driver)"
say clock "$(some $cpus/cpu*/cpufreq/scaling_cur_freq | sort -n | tail -n 1)"
say max_clock "$(some $cpus/cpu*/cpufreq/cpuinfo_max_freq | sort -n | tail -n 1)"
say temperatures "$(heats)"
say throttled "$(vcgencmd get_throttled | cut -d = -f 2)"
say memory "$(grep ^MemTotal /proc/meminfo)"
say os "$(. /etc/os-release; echo "$PRETTY_NAME")"
say libc "$(getconf GNU_LIBC_VERSION)"
say load "$(cut -d ' ' -f 1 /proc/loadavg)"
if command -v getprop; then
  say product "$(getprop ro.product.manufacturer) $(getprop ro.product.model)"
  say soc "$(getprop ro.soc.model)"
  say android "$(getprop ro.build.version.release)"
  say build "$(getprop ro.build.id)"
fi
} 2>/dev/null
"""

# ARM's own cores by the part number in /proc/cpuinfo (https://developer.arm.com, "Main ID Register").
_ARM_PARTS = {
    0xD03: "A53", 0xD04: "A35", 0xD05: "A55", 0xD07: "A57", 0xD08: "A72", 0xD09: "A73", 0xD0A: "A75", 0xD0B: "A76",
    0xD0D: "A77", 0xD41: "A78", 0xD44: "X1", 0xD46: "A510", 0xD47: "A710", 0xD48: "X2", 0xD4D: "A715", 0xD4E: "X3",
    0xD80: "A520", 0xD81: "A720", 0xD82: "X4",
}  # fmt: skip
_SLOW_GOVERNORS = {"powersave", "conservative"}
# With these drivers, the governor powersave lets the processor choose any clock.
_CHOOSING_DRIVERS = {"intel_pstate", "amd-pstate-epp", "amd_pstate_epp"}
# A Raspberry Pi slows down from this temperature on.
HOT_CELSIUS = 80
# Bits of the Raspberry Pi's get_throttled. The same bits shifted by 16 mean: at some time since it was started.
_THROTTLED = {
    0: "its supply voltage is too low",
    1: "its clock is capped",
    2: "it is throttled",
    3: "it is at its soft temperature limit",
}


def parse_facts(text: str) -> dict:
    """Parse the output of `FACTS`.

    Returns:
        `{cpu, board, cores, architecture, bits, clock_mhz, max_clock_mhz, governor, scaling_driver, temperature_c,
            throttled, memory_mb, os, kernel, libc, load}`, without the keys that are unknown.
    """
    said = {key: value.strip() for key, _, value in (line.partition("=") for line in text.splitlines())}

    def number(key: str, factor: float = 1.0) -> float | None:
        # A longer one is no number of these.
        match = re.search(r"(?<!\d)-?\d{1,12}(?!\d)(\.\d+)?", said.get(key, ""))
        return float(match[0]) * factor if match else None

    # In degrees or thousandths of a degree. Some sensors of phones give nonsense.
    heats = [float(value) for value in re.findall(r"-?\d+", said.get("temperatures", ""))]
    heats = [value / 1000 if abs(value) >= 1000 else value for value in heats]
    temperature = max((value for value in heats if 0 < value < 120), default=None)
    android, machine = said.get("android"), said.get("machine")
    facts = {
        "cpu": _arm_cores(said.get("parts", "")) or said.get("cpu"),
        "board": " ".join(filter(None, (said.get("product"), said.get("soc")))) or said.get("board"),
        "cores": _whole(number("cores")),
        # Some systems use another name for it.
        "architecture": "aarch64" if machine == "arm64" else machine,
        "bits": _whole(number("bits")),
        "clock_mhz": _whole(number("clock", 1e-3)),
        "max_clock_mhz": _whole(number("max_clock", 1e-3)),
        "governor": said.get("governor"),
        "scaling_driver": said.get("scaling_driver"),
        "temperature_c": temperature,
        "throttled": said.get("throttled"),
        "memory_mb": _whole(number("memory", 1.024e-3)),
        "os": f"Android {android} ({said.get('build', '')})" if android else said.get("os"),
        "kernel": said.get("kernel"),
        "libc": said.get("libc"),
        "load": number("load"),
    }
    return {key: value for key, value in facts.items() if value not in (None, "")}


def facts_of(board) -> dict:
    """The facts of a `Board` as they are now; see `parse_facts`."""
    return parse_facts(board.run(FACTS).out.decode(errors="replace"))


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)


def _arm_cores(parts: str) -> str:
    """The kinds of cores, such as "4x Cortex-A53", from implementer and part of each core; empty if not ARM's own."""
    numbers = [int(number, 16) for number in re.findall(r"0x[0-9a-fA-F]+", parts)]
    names = [
        _ARM_PARTS.get(part)
        for implementer, part in zip(numbers[::2], numbers[1::2], strict=False)
        if implementer == 0x41
    ]
    if not names or None in names:
        return ""
    return " + ".join(f"{names.count(name)}x Cortex-{name}" for name in dict.fromkeys(names))


def describe(facts: dict) -> str:
    """The facts in one line for people."""
    facts = {key: value for key, value in facts.items() if value is not None}
    clock = facts.get("max_clock_mhz") or facts.get("clock_mhz")
    parts = [
        facts.get("board"),
        facts.get("cpu"),
        f"{facts['cores']} cores" if "cores" in facts else None,
        f"{clock / 1000:.1f} GHz" if clock else None,
        f"governor {facts['governor']}" if "governor" in facts else None,
        f"{facts['temperature_c']:.0f} °C" if "temperature_c" in facts else None,
        f"{facts['memory_mb'] / 1000:.1f} GB" if "memory_mb" in facts else None,
        facts.get("os"),
        facts.get("architecture"),
        facts.get("libc"),
    ]
    return ", ".join(filter(None, parts))


def warnings(facts: dict) -> list[str]:
    """Warnings about a board's state that makes measurements unreliable; each says what to do."""
    found = []
    governors = _SLOW_GOVERNORS & set(facts.get("governor", "").split())
    if governors and facts.get("scaling_driver") not in _CHOOSING_DRIVERS:
        found.append(
            f"the CPU governor is {', '.join(sorted(governors))}, which keeps the clock low: set it to performance "
            "(`echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor`)"
        )
    if facts.get("temperature_c", 0) >= HOT_CELSIUS:
        found.append(f"the board is at {facts['temperature_c']:.0f} °C and may slow down: cool it")
    try:
        bits = int(facts.get("throttled", "0"), 16)
    except ValueError:
        bits = 0
    now = [reason for bit, reason in _THROTTLED.items() if bits >> bit & 1]
    since = [reason for bit, reason in _THROTTLED.items() if bits >> bit + 16 & 1 and reason not in now]
    if now:
        found.append(
            f"the board says that {' and '.join(now)}, so times are too long: cool it, or give it a better supply"
        )
    elif since:
        found.append(
            f"the board says that at some time since it was started {' and '.join(since)}, so times may be too long: "
            "cool it, or give it a better supply"
        )
    return found
