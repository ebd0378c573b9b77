"""How pixels become a network's input, by name: each is a mean and a deviation. TensorFlow is not needed."""

from __future__ import annotations

import dataclasses

from ftbnn_larq.data.formats import DataConfig
from ftbnn_larq.errors import ConfigError, UnknownNameError

STANDARD = "standard"


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """The network's input is (pixel / 255 - mean) / std, for pixels from 0 to 255.

    Attributes:
        name: a key of `KNOWN`.
        mean, std: one number for all channels, or one per channel; empty for those of the data set.
    """

    name: str
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def fits(self, channels: int) -> bool:
        """Whether it has numbers for pictures of so many channels."""
        return all(len(each) in (0, 1, channels) for each in (self.mean, self.std))

    def of(self, config: DataConfig) -> DataConfig:
        """`config` with this mean and deviation, one per channel.

        Raises:
            ConfigError: it has numbers for another number of channels.
        """
        channels = config.input_shape[2]
        if not self.fits(channels):
            raise ConfigError(
                f"preprocessing {self.name}: {len(self.mean)} means and {len(self.std)} deviations, but the network "
                f"takes pictures with {channels} channel{'' if channels == 1 else 's'}: give one number for all "
                "channels, or one per channel"
            )

        def each(values: tuple[float, ...]) -> tuple[float, ...]:
            return values * channels if len(values) == 1 else values

        return dataclasses.replace(config, mean=each(self.mean) or config.mean, std=each(self.std) or config.std)


KNOWN = {
    row.name: row
    for row in (
        # Pixels as they are, 0 to 255.
        Preprocessing("raw", (0.0,), (1 / 255,)),
        # 0 to 1.
        Preprocessing("unit", (0.0,), (1.0,)),
        # -1 to 1.
        Preprocessing("symmetric", (0.5,), (0.5,)),
        Preprocessing(STANDARD),
        # Of ImageNet, as in larq_zoo.preprocess_input. Its crop is not taken: pictures are cropped as everywhere here.
        Preprocessing("larq_zoo", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    )
}

HELP = (
    f"How pixels become the input: raw (0 to 255), unit (0 to 1), symmetric (-1 to 1), {STANDARD} (mean and deviation "
    f"of the data set, or {STANDARD}:MEAN/STD of pixels from 0 to 1, such as {STANDARD}:0.49,0.48,0.45/0.2,0.2,0.26), "
    "larq_zoo (its own for ImageNet)."
)


def parse(text: str) -> Preprocessing:
    """The preprocessing that a name stands for; "standard:MEAN/STD" gives numbers, one or one per channel.

    Raises:
        UnknownNameError: no such name. The message gives the nearest ones.
        ConfigError: MEAN or STD that are no numbers, or not of pixels from 0 to 1.
    """
    name, colon, numbers = text.partition(":")
    if name not in KNOWN:
        raise UnknownNameError("preprocessing", name, KNOWN)
    if not colon:
        return KNOWN[name]
    if name != STANDARD:
        raise ConfigError(f"preprocessing {text!r}: only {STANDARD} takes numbers, as {STANDARD}:MEAN/STD")
    try:
        mean, std = (tuple(float(each) for each in part.split(",")) for part in numbers.split("/"))
    except ValueError as error:
        raise ConfigError(
            f"preprocessing {text!r}: write {STANDARD}:MEAN/STD, such as {STANDARD}:0.5/0.25 or "
            f"{STANDARD}:0.49,0.48,0.45/0.2,0.2,0.26"
        ) from error
    if not all(0 <= each <= 1 for each in mean) or not all(0 < each <= 1 for each in std):
        raise ConfigError(
            f"preprocessing {text!r}: means and deviations are those of pixels from 0 to 1, deviations above 0: divide "
            "numbers of pixels from 0 to 255 by 255"
        )
    return Preprocessing(name, mean, std)
