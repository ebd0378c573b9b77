"""Whether this machine can multiply bfloat16, and whether that is faster than float32.

A recipe holds on every machine: where the hardware cannot multiply bfloat16, it is emulated.
"""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

# CPU flags of fast bfloat16, as Linux names them: AVX-512 and AMX on x86-64, and that of 64-bit ARM.
_CPU_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
# oneDNN needs one of these flags for bfloat16 convolutions with groups and gradients.
_LEAST_CPU_FLAGS = {"avx512f", "avx_ne_convert", *_CPU_FLAGS}
# Compute capability of NVIDIA's Ampere, the first with fast bfloat16.
_GPU_SINCE = (8, 0)

CPU_INFO = Path("/proc/cpuinfo")


def resolve(precision: str) -> str:
    """Turn a recipe's precision into "float32" or "bfloat16"; "auto" takes bfloat16 where it is faster."""
    if precision != "auto":
        return precision
    if gpus := tf.config.list_physical_devices("GPU"):
        details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
        fast = all(detail.get("compute_capability", (0, 0)) >= _GPU_SINCE for detail in details)
    else:
        fast = bool(_CPU_FLAGS & cpu_flags())
    return "bfloat16" if fast else "float32"


def attributes(precision: str) -> dict:
    """The attributes `arithmetic` and `emulated` of `layers.BinaryConv2D` for a resolved precision on this machine."""
    able = bool(tf.config.list_physical_devices("GPU") or _LEAST_CPU_FLAGS & cpu_flags())
    return {"arithmetic": precision, "emulated": precision == "bfloat16" and not able}


def cpu_flags() -> set[str]:
    """The words in /proc/cpuinfo, among them the flags of this processor; empty on systems without that file."""
    try:
        return set(CPU_INFO.read_text(encoding="utf-8").split())
    except OSError:
        return set()
