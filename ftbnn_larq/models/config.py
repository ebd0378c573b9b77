"""The options of a model, as plain data. TensorFlow is not needed."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from ftbnn_larq.documents import MOST_CLASSES, MOST_SIDE, quoted
from ftbnn_larq.errors import ConfigError, UnknownNameError


@dataclass(frozen=True)
class NonLinearity:
    """A row of `NONLINEARITIES`.

    Attributes:
        layer: name of its class in ftbnn_larq.models.nonlinearities.
        slopes: default start slopes for positive and for negative inputs; None if it has no slopes to choose.
        positive: True if the slope for positive inputs can be chosen too; otherwise it is always 1.
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

# Smallest learned slope for positive inputs; see nonlinearities.AtLeast.
LEAST_SLOPE = 0.01

# LCE packs 32 channels into one word: a group has a multiple of 32 channels. A width of 16, widened twofold, fills one.
WIDTH_STEP = 16
GROUP_STEP = 32
FULL_WIDTH = 64

# Of a network that is still built within a minute. Its weights are float32 in training: a gigabyte.
MOST_UNITS, MOST_STAGES, MOST_CHANNELS, MOST_NUMBER = 150, 16, 32_768, 10**6
MOST_WEIGHTS = 250_000_000

# Fields of ResNetConfig whose value is one of these words.
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

# Fields whose value is a number or several numbers.
_NUMBERS = {"units": int, "width": int, "slopes": float, "widening": float, "group_channels": int}
_ONE, _SEVERAL, _MAY_BE_NONE = ("width",), ("units", "slopes"), ("slopes", "group_channels")


@dataclass(frozen=True)
class ResNetConfig:
    """Configuration of a residual network with a shortcut around every binary convolution, as in Bi-Real Net.

    Attributes:
        units: number of binary convolutions in each stage. Every stage after the first halves the resolution and
            doubles the channels.
        width: channels of the first stage before widening; a multiple of 16.
        nonlinearity: a name of `NONLINEARITIES`.
        slopes: start slopes for positive and for negative inputs; None takes those of `NONLINEARITIES`. The first is
            0.01 or more. If it is learned, it stays at 0.01 or more.
        sharing: parameters of the non-linearity: one per "channel", or one for the whole "layer".
        placement: position of the non-linearity: "after_bn" (before the add) or "after_add". With "after_add" both
            start slopes must be positive, so that some outputs are negative.
        stem: the first layers, in full precision. Pictures of 128 pixels a side or more are photographs. "conv": one
            convolution, 7x7 for photographs, 3x3 for small pictures. "light": for photographs a 3x3 with a quarter of
            the width, a depthwise 3x3 and a 1x1; for small pictures a 3x3 with half the width, whose channels are
            repeated with different batch norm biases.
        shortcut: how the shortcut gets more channels where a stage begins, after a 2x2 average pool that halves the
            resolution. "float" or "binary": a 1x1 convolution. "pool": channels are repeated, without weights.
            "depthwise": channels are repeated, and each copy learns the weights of its own average in place of the
            pool. A batch norm follows in every case.
        transition: position of that shortcut. "around": around the first unit of a stage, as in Bi-Real Net; the unit
            reads the previous stage at twice the resolution. "before": in front of the first unit; all units of a
            stage are then alike. With "before" and repeated channels ("pool", "depthwise") the first unit sees each
            channel with several biases. If the network has no groups, this unit gets one group per repetition
            (if the previous stage has a multiple of 32 channels), so it costs as much as without the repetition.
        widening: factor on the channels of each stage, or one factor for all stages.
        group_channels: channels per group of the binary convolutions at width 64, for each stage or one number for
            all; None for no groups. It scales with the width, in multiples of 32, and is never below 32. A stage is
            not grouped if it is no wider than one group, or too narrow for two groups of 32.
        shuffle: how groups exchange channels before each sign. "none". "rotate": each group reads the channels of its
            neighbour. "butterfly": each group reads those of the group 1, 2, 4, ... places further, one distance per
            unit; after log2(groups) units every group has information from all. "interleave": each group reads some
            channels of every group (ShuffleNet, arXiv 1707.01083).
        sign_gradient: gradient used for the sign of the activations, by Larq's names. "approx_sign":
            max(0, 2 - 2 |x|) (Bi-Real Net, arXiv 1808.00278). "ste_sign": 1 where |x| <= 1, the straight-through
            estimator. "swish_sign": that of BNN+ (arXiv 1812.11800).

    Raises:
        ConfigError: a value cannot be used.
        UnknownNameError: a word is not among the choices of its field.
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
        if min(self.units) < 1 or sum(self.units) > MOST_UNITS:
            raise ConfigError(f"units {self.units}: each stage needs at least 1, and all have at most {MOST_UNITS}")
        if self.width < 1 or self.width % WIDTH_STEP:
            raise ConfigError(
                f"width {self.width} is not a multiple of {WIDTH_STEP} (LCE packs {GROUP_STEP} channels into a word): "
                f"take {_nearest(self.width, WIDTH_STEP)}"
            )
        for field in ("widening", "group_channels"):
            value = getattr(self, field)
            if isinstance(value, tuple) and len(value) != len(self.units):
                raise ConfigError(f"{field} {value} has {len(value)} numbers, the network has {len(self.units)} stages")
        self._check_slopes()
        self._check_placement()
        self._check_channels()
        self._check_weights()

    def _check_slopes(self) -> None:
        if self.slopes is None:
            return
        row = NONLINEARITIES[self.nonlinearity]
        if row.slopes is None:
            raise ConfigError(f"slopes {self.slopes}: {self.nonlinearity} has no slopes to choose; leave them out")
        if len(self.slopes) != 2:
            raise ConfigError(f"slopes {self.slopes}: give two numbers, for positive and for negative inputs")
        if self.slopes[0] != 1 and not row.positive:
            raise ConfigError(
                f"slopes {self.slopes}: the first is always 1 for {self.nonlinearity}; take fprelu to choose both"
            )
        if self.slopes[0] < LEAST_SLOPE:
            p, n = self.slopes
            swapped = (
                f"; take ({-n:g}, {-p:g}), the same function of -x (the batch norm can learn the change of sign)"
                if n < 0
                else ""
            )
            raise ConfigError(
                f"slopes {self.slopes}: the first must be {LEAST_SLOPE} or more, so that one PRELU is enough in LCE"
                f"{swapped}"
            )

    def _check_placement(self) -> None:
        """Refuse "after_add" with outputs that are never negative: every sign is +1 then, and gradients overflow."""
        start = (1.0, 0.0) if self.nonlinearity == "relu" else self.start_slopes
        if self.placement == "after_add" and start and start[1] <= 0:
            remedy = "take prelu" if self.nonlinearity == "relu" else "give slopes such as 1,0.25"
            raise ConfigError(
                f"placement after_add: {self.nonlinearity} with start slopes {start} is never negative, so every sign "
                f"after it is +1 and nothing is learned; {remedy}, or placement after_bn"
            )

    def _check_channels(self) -> None:
        for stage in range(len(self.units)):
            channels = self._exact_channels(stage)
            if channels > MOST_CHANNELS:
                raise ConfigError(
                    f"stage {stage + 1} has {channels:g} channels, of width {self.width} and widening {self.widening}: "
                    f"take at most {MOST_CHANNELS}"
                )
            if channels < 1 or channels != int(channels) or channels % (WIDTH_STEP // 2):
                raise ConfigError(
                    f"widening {self.widening} gives stage {stage + 1} {channels:g} channels at width {self.width}: "
                    f"take a factor that gives a multiple of {WIDTH_STEP // 2}"
                )
            if stage and channels < self.channels(stage - 1):
                raise ConfigError(
                    f"widening {self.widening} makes stage {stage + 1} narrower than stage {stage} "
                    f"({channels:g} channels after {self.channels(stage - 1)}): take a larger factor for it"
                )
            if stage == 0 and self.stem == "light" and channels < self.width // 2:
                raise ConfigError(
                    f"widening {self.widening} gives stage 1 {channels:g} channels at width {self.width}, fewer than "
                    f"the {self.width // 2} filters of the light stem, some of which nothing would read: take a factor "
                    "of 0.5 or more for it, or stem conv"
                )
            size = _at(self.group_channels, stage)
            if size is None:
                continue
            if size < GROUP_STEP or size % GROUP_STEP:
                raise ConfigError(
                    f"{size} channels per group in stage {stage + 1}: LCE packs {GROUP_STEP} channels into a word, so "
                    f"it must be a multiple of {GROUP_STEP}; take {_nearest(size, GROUP_STEP)}"
                )
            size = self._group_size(stage)
            if channels > size and channels >= 2 * GROUP_STEP and channels % size:
                raise ConfigError(
                    f"groups of {size} channels don't divide the {channels:g} channels of stage {stage + 1} at width "
                    f"{self.width}; change widening or group_channels"
                )

    def _check_weights(self) -> None:
        weights = sum(
            9 * units * self.channels(stage) ** 2 // self.groups(stage, 1) for stage, units in enumerate(self.units)
        )
        if weights > MOST_WEIGHTS:
            raise ConfigError(
                f"width {self.width}, units {self.units} and widening {self.widening} make {weights / 1e6:,.0f} "
                f"million weights: take at most {MOST_WEIGHTS / 1e6:.0f}"
            )

    def _exact_channels(self, stage: int) -> float:
        # Rounded: 800 * 0.55 is a little more than 440.
        return round(self.width * 2**stage * _at(self.widening, stage), 6)

    def channels(self, stage: int) -> int:
        """Number of channels of a stage; stages are counted from 0."""
        return int(self._exact_channels(stage))

    def _group_size(self, stage: int) -> int:
        scaled = _at(self.group_channels, stage) * self.width / FULL_WIDTH
        return max(GROUP_STEP, int(scaled // GROUP_STEP) * GROUP_STEP)

    def groups(self, stage: int, unit: int) -> int:
        """Number of groups of a unit's binary convolution; stages and units are counted from 0.

        The first unit of a stage may read a number of channels that its groups don't divide. It then has the largest
        number of groups that divides both inputs and outputs.
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
        """Distance, in groups, between a group of a unit and the group it reads; used by rotate and butterfly."""
        rounds = max(1, math.ceil(math.log2(self.groups(stage, unit))))
        return 2 ** (unit % rounds) if self.shuffle == "butterfly" else 1

    @property
    def start_slopes(self) -> tuple[float, float] | None:
        return self.slopes or NONLINEARITIES[self.nonlinearity].slopes

    def replace(self, **changes) -> ResNetConfig:
        """A copy of this configuration with `changes`.

        Raises:
            UnknownNameError: an option does not exist.
            ConfigError: a value cannot be used.
        """
        known = [field.name for field in dataclasses.fields(self)]
        for name in changes:
            if name not in known:
                raise UnknownNameError("model option", name, known)
        return dataclasses.replace(self, **changes)


def _at(value, stage: int):
    return value[stage] if isinstance(value, tuple) else value


def check_size(input_shape: tuple[int | None, int | None, int] | None, classes: int) -> None:
    """Raise ConfigError for pictures or a number of classes for which no network is built.

    Arguments:
        input_shape: (height, width, channels); None where it is the network's own.
    """
    # Heights and widths may be left open, channels not.
    if input_shape is not None and not (
        isinstance(input_shape, tuple | list) and len(input_shape) == 3 and input_shape[2] is not None
    ):
        raise ConfigError(f"input_shape is {input_shape!r}: give (height, width, channels), such as (32, 32, 3)")
    if any(side is not None and not 1 <= side <= MOST_SIDE for side in input_shape or ()):
        raise ConfigError(f"pictures of {'x'.join(map(quoted, input_shape))}: take 1 to {MOST_SIDE} pixels a side")
    if classes > MOST_CLASSES:
        raise ConfigError(f"{quoted(classes)} classes: take at most {MOST_CLASSES:,}")


def _nearest(number: float, step: int) -> int:
    return max(step, round(number / step) * step)


def _checked(field: str, value, kind: type):
    """The value of a field as a number or a tuple of numbers; None where the field allows it."""
    if value is None and field in _MAY_BE_NONE:
        return None
    several = isinstance(value, list | tuple)
    numbers = tuple(value) if several else (value,)
    allowed = (int,) if kind is int else (int, float)
    if not numbers or any(isinstance(number, bool) or not isinstance(number, allowed) for number in numbers):
        raise ConfigError(f"{field} {value!r}: give {'whole ' if kind is int else ''}numbers only")
    if (several and field in _ONE) or (not several and field in _SEVERAL):
        raise ConfigError(f"{field} {value!r}: give {'one number' if several else 'several numbers'}")
    if any(number != number or abs(number) == math.inf for number in numbers):
        raise ConfigError(f"{field} {value!r}: not finite; give finite numbers")
    if len(numbers) > MOST_STAGES or any(abs(number) > MOST_NUMBER for number in numbers):
        raise ConfigError(
            f"{field} {quoted(value)}: give at most {MOST_STAGES} numbers, none of them beyond {MOST_NUMBER:,}"
        )
    return tuple(map(kind, numbers)) if several else kind(value)


def option_from_text(text: str) -> tuple[str, object]:
    """Split "field=value" into a field of ResNetConfig and its value; commas separate numbers.

    Raises:
        UnknownNameError: there is no such field.
        ConfigError: "=" is missing, or the value is not a number where one is needed.
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
        raise ConfigError(f"{text!r}: {value!r} is not made of numbers; write it like {name}=1,2") from error
    # A network of one stage has units too.
    return name, numbers if len(numbers) > 1 or name == "units" else numbers[0]
