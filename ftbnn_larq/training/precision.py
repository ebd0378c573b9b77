"""Whether this machine multiplies bfloat16, and whether it is the faster way.

What a recipe says holds on every machine: bfloat16 is emulated where nothing multiplies it.
"""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

# x86-64's AVX-512 and AMX, 64-bit ARM's, as Linux names them.
_CPU_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
# What oneDNN needs to convolve bfloat16 at all, in groups and backwards.
_LEAST_CPU_FLAGS = {"avx512f", "avx_ne_convert", *_CPU_FLAGS}
# NVIDIA's Ampere.
_GPU_SINCE = (8, 0)

CPU_INFO = Path("/proc/cpuinfo")


def resolve(precision: str) -> str:
    """ "float32" or "bfloat16" for what a recipe says; "auto" takes bfloat16 where it is faster."""
    if precision != "auto":
        return precision
    if gpus := tf.config.list_physical_devices("GPU"):
        details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
        fast = all(detail.get("compute_capability", (0, 0)) >= _GPU_SINCE for detail in details)
    else:
        fast = bool(_CPU_FLAGS & cpu_flags())
    return "bfloat16" if fast else "float32"


def attributes(precision: str) -> dict:
    """How a `layers.BinaryConv2D` computes in a resolved `precision` on this machine: its `arithmetic`, `emulated`."""
    able = bool(tf.config.list_physical_devices("GPU") or _LEAST_CPU_FLAGS & cpu_flags())
    return {"arithmetic": precision, "emulated": precision == "bfloat16" and not able}


def cpu_flags() -> set[str]:
    """What this processor can, as Linux names it; nothing where that is not told."""
    try:
        return set(CPU_INFO.read_text(encoding="utf-8").split())
    except OSError:
        return set()
