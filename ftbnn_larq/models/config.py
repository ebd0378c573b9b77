"""What can be chosen in a model: plain data, readable without TensorFlow."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from ftbnn_larq.errors import ConfigError, UnknownNameError


@dataclass(frozen=True)
class NonLinearity:
    """A row of `NONLINEARITIES`.

    Attributes:
        layer: class in ftbnn_larq.models.nonlinearities.
        slopes: start values for positive and for negative inputs; None where there are none to choose.
        positive: whether the slope for positive inputs can be chosen too, else it is 1.
    """

    layer: str
    slopes: tuple[float, float] | None = None
    positive: bool = False


NONLINEARITIES = {
    "identity": NonLinearity("Identity"),
    "relu": NonLinearity("ReLU"),
    "leaky_relu": NonLinearity("LeakyReLU", (1.0, 0.1)),
    "prelu": NonLinearity("PReLU", (1.0, 0.25)),
    "fprelu": NonLinearity("FPReLU", (1.0, 0.0), positive=True),
    "rprelu": NonLinearity("RPReLU", (1.0, 0.25)),
}

# Least slope for positive inputs, where it is learned; see nonlinearities.AtLeast.
LEAST_SLOPE = 0.01

# LCE packs 32 channels into one word; twice the width, in groups of 32, is the narrowest grouped network.
WIDTH_STEP = 16
GROUP_STEP = 32
FULL_WIDTH = 64

# Fields of ResNetConfig that take one of a few words.
CHOICES = {
    "nonlinearity": tuple(NONLINEARITIES),
    "sharing": ("channel", "layer"),
    "placement": ("after_bn", "after_add"),
    "stem": ("conv", "light"),
    "shortcut": ("float", "binary", "pool", "depthwise"),
    "transition": ("around", "before"),
    "shuffle": ("none", "rotate", "butterfly", "interleave"),
    "sign_gradient": ("approx_sign", "ste_sign", "swish_sign"),
}

# Fields that take numbers.
_NUMBERS = {"units": int, "width": int, "slopes": float, "widening": float, "group_channels": int}
_ONE, _SEVERAL, _MAY_BE_NONE = ("width",), ("units", "slopes"), ("slopes", "group_channels")


@dataclass(frozen=True)
class ResNetConfig:
    """A residual network with one shortcut around every binary convolution (Bi-Real Net's skeleton).

    Attributes:
        units: binary convolutions in each stage; a stage but the first halves the resolution and doubles the channels.
        width: channels of the first stage before widening; a multiple of 16.
        nonlinearity: a name of `NONLINEARITIES`.
        slopes: its start values for positive and negative inputs; those of `NONLINEARITIES` unless given. The first is
            0.01 or more, and stays so where it is learned.
        sharing: learned parameters of the non-linearity per "channel", or one for the "layer".
        placement: "after_bn", before the shortcut is added, or "after_add", where it has to let some of what is below
            zero stay there: its start slopes have the same sign.
        stem: "conv", one float convolution, 7x7 for photographs and 3x3 for small pictures; or "light", a 3x3 of a
            quarter of the width, a depthwise 3x3 and a 1x1 for photographs, and for small pictures a 3x3 of half the
            width, each channel of which is repeated under a batch norm of its own.
        shortcut: what brings the real-valued path to half the resolution and more channels after a 2x2 average:
            a "float" or a "binary" 1x1 convolution, or its channels repeated (weightless, "pool"); "depthwise" learns
            the weights of the average, for each repetition its own. A batch norm follows each of them.
        transition: where a stage begins, the shortcut leads "around" its first unit, which reads the stage before at
            twice the resolution (Bi-Real Net), or stands "before" it, and all units of a stage are alike. The first
            unit then reads each channel under several biases, where the shortcut repeats them; if the network has no
            groups, it has one for each repetition (if these are of 32 channels), and so costs what it did.
        widening: factor on the channels of each stage, or one for all.
        group_channels: channels per group of the binary convolutions in each stage, or one number for all, at width
            64; scales with the width, in multiples of 32 and never below 32. None: no groups. A stage that is no wider
            than one group, or has no room for two of 32, is not grouped.
        shuffle: how groups exchange channels before each sign: "none", "rotate" (each group reads the channels that
            its neighbour wrote), "butterfly" (those of the group 1, 2, 4, ... places on in one unit after the other,
            so that after log2(groups) units each has heard of all) or "interleave" (each group reads some of every
            group; ShuffleNet, arXiv 1707.01083).
        sign_gradient: what stands in for the gradient of the activations' sign, by Larq's names: "approx_sign",
            max(0, 2 - 2 |x|) (Bi-Real Net, arXiv 1808.00278); "ste_sign", 1 where |x| <= 1; "swish_sign" (BNN+,
            arXiv 1812.11800).

    Raises:
        ConfigError: a value that cannot be used; UnknownNameError: a word that no field knows.
    """

    units: tuple[int, ...]
    width: int = FULL_WIDTH
    nonlinearity: str = "fprelu"
    slopes: tuple[float, float] | None = None
    sharing: str = "channel"
    placement: str = "after_bn"
    stem: str = "conv"
    shortcut: str = "float"
    transition: str = "around"
    widening: float | tuple[float, ...] = 1.0
    group_channels: int | tuple[int, ...] | None = None
    shuffle: str = "none"
    sign_gradient: str = "approx_sign"

    def __post_init__(self):
        for field, choices in CHOICES.items():
            if getattr(self, field) not in choices:
                raise UnknownNameError(
                    "non-linearity" if field == "nonlinearity" else field, getattr(self, field), choices
                )
        for field, kind in _NUMBERS.items():
            object.__setattr__(self, field, _checked(field, getattr(self, field), kind))
        if min(self.units) < 1:
            raise ConfigError(f"units {self.units}: a stage has at least 1")
        if self.width < 1 or self.width % WIDTH_STEP:
            raise ConfigError(
                f"width {self.width} is not a multiple of {WIDTH_STEP}: LCE packs {GROUP_STEP} channels into a word; "
                f"take {_nearest(self.width, WIDTH_STEP)}"
            )
        for field in ("widening", "group_channels"):
            value = getattr(self, field)
            if isinstance(value, tuple) and len(value) != len(self.units):
                raise ConfigError(f"{field} {value} has {len(value)} numbers, the network {len(self.units)} stages")
        self._check_slopes()
        self._check_placement()
        self._check_channels()

    def _check_slopes(self) -> None:
        if self.slopes is None:
            return
        row = NONLINEARITIES[self.nonlinearity]
        if row.slopes is None:
            raise ConfigError(f"slopes {self.slopes}: {self.nonlinearity} has none to start")
        if len(self.slopes) != 2:
            raise ConfigError(f"slopes {self.slopes}: give two, for positive and for negative inputs")
        if self.slopes[0] != 1 and not row.positive:
            raise ConfigError(
                f"slopes {self.slopes}: the first is always 1 for {self.nonlinearity}; fprelu learns both"
            )
        if self.slopes[0] < LEAST_SLOPE:
            p, n = self.slopes
            swapped = f"; ({-n:g}, {-p:g}) is the same of -x, and batch norm can learn to turn x" if n < 0 else ""
            raise ConfigError(
                f"slopes {self.slopes}: the first is {LEAST_SLOPE} or more, so that LCE needs a PRELU only{swapped}"
            )

    def _check_placement(self) -> None:
        """Behind the add, what is never below zero makes every sign +1, and the gradients overflow at once."""
        start = (1.0, 0.0) if self.nonlinearity == "relu" else self.start_slopes
        if self.placement == "after_add" and start and start[1] <= 0:
            remedy = "take prelu" if self.nonlinearity == "relu" else "give slopes such as 1,0.25"
            raise ConfigError(
                f"placement after_add: {self.nonlinearity} of start slopes {start} is never below zero, so that every "
                f"sign behind it is +1 and nothing is learned; {remedy}, or placement after_bn"
            )

    def _check_channels(self) -> None:
        for stage in range(len(self.units)):
            channels = self._exact_channels(stage)
            if channels < 1 or channels != int(channels) or channels % (WIDTH_STEP // 2):
                raise ConfigError(
                    f"widening {self.widening} makes {channels:g} channels of stage {stage + 1} at width {self.width}: "
                    f"take one that makes a multiple of {WIDTH_STEP // 2}"
                )
            if stage and channels < self.channels(stage - 1):
                raise ConfigError(
                    f"widening {self.widening} makes stage {stage + 1} narrower than stage {stage} "
                    f"({channels:g} channels after {self.channels(stage - 1)})"
                )
            size = _at(self.group_channels, stage)
            if size is None:
                continue
            if size < GROUP_STEP or size % GROUP_STEP:
                raise ConfigError(
                    f"{size} channels per group in stage {stage + 1}: LCE packs {GROUP_STEP} channels into a word and "
                    f"needs a multiple of {GROUP_STEP}; take {_nearest(size, GROUP_STEP)}"
                )
            size = self._group_size(stage)
            if channels > size and channels >= 2 * GROUP_STEP and channels % size:
                raise ConfigError(
                    f"groups of {size} channels don't divide the {channels:g} channels of stage {stage + 1} at width "
                    f"{self.width}; change widening or group_channels"
                )

    def _exact_channels(self, stage: int) -> float:
        return self.width * 2**stage * _at(self.widening, stage)

    def channels(self, stage: int) -> int:
        """Channels of a stage, counted from 0."""
        return int(self._exact_channels(stage))

    def _group_size(self, stage: int) -> int:
        scaled = _at(self.group_channels, stage) * self.width / FULL_WIDTH
        return max(GROUP_STEP, int(scaled // GROUP_STEP) * GROUP_STEP)

    def groups(self, stage: int, unit: int) -> int:
        """Groups of the binary convolution of a unit; stages and units are counted from 0.

        The first of a stage may read channels that its groups don't divide; it has as many groups as divide both.
        """
        begins, channels = stage > 0 and unit == 0, self.channels(stage)
        earlier = self.channels(stage - 1) if begins else channels
        if self.group_channels is None:
            repeated = begins and self.transition == "before" and self.shortcut in ("pool", "depthwise")
            return channels // earlier if repeated and earlier % GROUP_STEP == channels % earlier == 0 else 1
        inputs = channels if self.transition == "before" else earlier
        if inputs % GROUP_STEP or channels % self._group_size(stage):
            return 1
        return math.gcd(inputs // GROUP_STEP, channels // self._group_size(stage))

    def turn(self, stage: int, unit: int) -> int:
        """How many groups on stand the channels that each group of a unit reads, where shuffle turns them."""
        rounds = max(1, math.ceil(math.log2(self.groups(stage, unit))))
        return 2 ** (unit % rounds) if self.shuffle == "butterfly" else 1

    @property
    def start_slopes(self) -> tuple[float, float] | None:
        return self.slopes or NONLINEARITIES[self.nonlinearity].slopes

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


def _at(value, stage: int):
    return value[stage] if isinstance(value, tuple) else value


def _nearest(number: float, step: int) -> int:
    return max(step, round(number / step) * step)


def _checked(field: str, value, kind: type):
    """A number, or several as a tuple; None where a field may be left open."""
    if value is None and field in _MAY_BE_NONE:
        return None
    several = isinstance(value, list | tuple)
    numbers = tuple(value) if several else (value,)
    allowed = (int,) if kind is int else (int, float)
    if not numbers or any(isinstance(number, bool) or not isinstance(number, allowed) for number in numbers):
        raise ConfigError(f"{field} {value!r}: not made of {'whole ' if kind is int else ''}numbers")
    if (several and field in _ONE) or (not several and field in _SEVERAL):
        raise ConfigError(f"{field} {value!r}: give {'one number' if several else 'several numbers'}")
    if not all(math.isfinite(number) for number in numbers):
        raise ConfigError(f"{field} {value!r}: not finite")
    return tuple(map(kind, numbers)) if several else kind(value)


def option_from_text(text: str) -> tuple[str, object]:
    """A field of ResNetConfig and its value from "field=value"; numbers are separated by commas.

    Raises:
        UnknownNameError: no such field.
        ConfigError: no "=", or no number where one is needed.
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"{text!r} is not FIELD=VALUE, such as slopes=1,-0.5")
    if name not in {**CHOICES, **_NUMBERS}:
        raise UnknownNameError("model option", name, {**CHOICES, **_NUMBERS})
    if name in CHOICES:
        return name, value
    if value == "none" and name in _MAY_BE_NONE:
        return name, None
    try:
        numbers = tuple(map(_NUMBERS[name], value.split(",")))
    except ValueError as error:
        raise ConfigError(f"{text!r}: {value!r} is not made of numbers, such as {name}=1,2") from error
    return name, numbers if len(numbers) > 1 else numbers[0]
