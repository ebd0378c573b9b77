"""Whether this machine multiplies bfloat16 itself."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

# x86-64's AVX-512 and AMX, 64-bit ARM's, as Linux names them.
_CPU_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
# NVIDIA's Ampere.
_GPU_SINCE = (8, 0)


def resolve(precision: str) -> str:
    """ "float32" or "bfloat16" for what a recipe says; "auto" takes bfloat16 where it is faster."""
    if precision != "auto":
        return precision
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
        fast = all(detail.get("compute_capability", (0, 0)) >= _GPU_SINCE for detail in details)
    else:
        try:
            fast = bool(_CPU_FLAGS & set(Path("/proc/cpuinfo").read_text().split()))
        except OSError:
            fast = False
    return "bfloat16" if fast else "float32"
