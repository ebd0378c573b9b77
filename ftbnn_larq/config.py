"""What can be chosen in a model: plain data, readable without TensorFlow."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from ftbnn_larq.errors import ConfigError, UnknownNameError

# name -> class in ftbnn_larq.nonlinearities
NONLINEARITIES = {
    "identity": "Identity",
    "relu": "ReLU",
    "fprelu": "FPReLU",
}

# LCE packs 32 channels into one word; twice the width, in groups of 32, is the narrowest grouped network.
WIDTH_STEP = 16


@dataclass(frozen=True)
class ResNetConfig:
    """A residual network with one shortcut around every binary convolution (Bi-Real Net's skeleton).

    Attributes:
        units: binary convolutions in each stage; a stage but the first halves the resolution and doubles the channels.
        width: channels of the first stage; a multiple of 16.
        nonlinearity: a name of `NONLINEARITIES`; stands after each batch norm, before the shortcut is added.
        slopes: start values of learned slopes, for positive and for negative inputs.
    """

    units: tuple[int, ...]
    width: int = 64
    nonlinearity: str = "fprelu"
    slopes: tuple[float, float] = (1.0, 0.0)

    def __post_init__(self):
        if self.nonlinearity not in NONLINEARITIES:
            raise UnknownNameError("non-linearity", self.nonlinearity, NONLINEARITIES)
        if self.width < 1 or self.width % WIDTH_STEP:
            raise ConfigError(
                f"width {self.width} is not a multiple of {WIDTH_STEP}: LCE packs 32 channels into a word; "
                f"take {max(WIDTH_STEP, round(self.width / WIDTH_STEP) * WIDTH_STEP)}"
            )

    def replace(self, **changes) -> ResNetConfig:
        """This configuration with `changes`.

        Raises:
            UnknownNameError: an option that does not exist.
            ConfigError: a value that cannot be used.
        """
        known = [field.name for field in dataclasses.fields(self)]
        for name in changes:
            if name not in known:
                raise UnknownNameError("model option", name, known)
        return dataclasses.replace(self, **changes)
