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

sys.path.insert(0, str(Path(__file__).resolve().with_name("runtime")))
import build_library  # noqa: E402

# For this kind of machine and for boards, so that bringing the runtime to one needs no compiler.
setup(cmdclass={"build_py": build_library.build_py(list(build_library.ZIG), is_needed=False)})
