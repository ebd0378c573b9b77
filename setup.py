"""Refuses a Python that TensorFlow and Larq Compute Engine have no wheels for, and builds the runtime's libraries.

Everything else stands in setup.cfg.
"""

import configparser
import re
import sys
from pathlib import Path

from setuptools import setup

config = configparser.ConfigParser()
config.read(Path(__file__).with_name("setup.cfg"), encoding="utf-8")
wanted = config["options"]["python_requires"]
least, below = (tuple(map(int, version.split("."))) for version in re.findall(r"[\d.]+", wanted))
if not least <= sys.version_info[:2] < below:
    sys.exit(
        "ftbnn-larq needs Python {}, and this is {}.{}. For an environment with one that fits type: ".format(
            wanted, *sys.version_info
        )
        + "python3 -m venv .uv && .uv/bin/pip install uv && "
        + f'.uv/bin/uv venv --seed --allow-existing -p "{wanted}" && . .venv/bin/activate && .uv/bin/uv pip install .'
    )

sys.path[:0] = [str(Path(__file__).resolve().with_name(folder)) for folder in ("runtime", "native")]
import build_kernels  # noqa: E402
import build_library  # noqa: E402

# The runtime for this kind of machine and for boards, so that bringing it to one needs no compiler.
runtime = build_library.build_py(["x86_64", "aarch64"], is_needed=False)
setup(cmdclass={"build_py": build_kernels.build_py(runtime)})
