"""Builds the library into the package, and names the platform that it is for; everything else stands in setup.cfg.

FTBNN_RUNTIME_TARGET=aarch64 makes the wheel of another machine: x86_64 or aarch64.
"""

import os
import sys
from pathlib import Path

from setuptools import setup

sys.path.insert(0, str(Path(__file__).resolve().parent))
import build_library

target = os.environ.get("FTBNN_RUNTIME_TARGET") or build_library.machine()
setup(
    cmdclass={"build_py": build_library.build_py([target], is_needed=True)},
    options={"bdist_wheel": {"plat_name": build_library.platform_tag(target)}},
)
