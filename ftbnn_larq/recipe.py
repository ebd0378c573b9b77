"""Recipes: how a model is trained. A recipe is one TOML file. TensorFlow is not needed."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

from ftbnn_larq import documents
from ftbnn_larq.errors import ConfigError, FtbnnError, UnknownNameError
from ftbnn_larq.files import write_text

# No number of a recipe is larger: a count, such as epochs or pictures of a step; a float32.
MOST = {int: 10**6, float: 1e38}
# Of the name of anything.
MOST_LETTERS = 1_000


def _above(value):
    return value > 0 or "must be above 0"


def _not_negative(value):
    return value >= 0 or "must not be negative"


def _share(value):
    return 0 <= value < 1 or "must be from 0 to below 1"


def _up_to_one(value):
    return 0 <= value <= 1 or "must be from 0 to 1"


def _key(default, text: str, check=lambda value: True, choices: tuple[str, ...] = ()):
    """A key of a recipe: its default, what it means, and which values it accepts."""
    return dataclasses.field(default=default, metadata={"help": text, "check": check, "choices": choices})


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a model is trained.

    Every key is also an option of `ftbnn-larq train`, whose `--help` says what each one means.

    Raises:
        ConfigError: a value has the wrong type or is out of range.
        UnknownNameError: a word is not among the choices of its key.
    """

    optimizer: str = _key("adam", "sgd has Nesterov momentum 0.9", choices=("adam", "sgd"))
    learning_rate: float = _key(2e-3, "highest learning rate", _above)
    schedule: str = _key(
        "cosine", "decay of the learning rate to zero after the warm-up", choices=("cosine", "linear", "constant")
    )
    warmup_epochs: float = _key(1.0, "epochs of warm-up, in which the learning rate rises from zero", _not_negative)
    epochs: int = _key(60, "passes over the training split", _above)
    batch_size: int = _key(128, "pictures per step, over all workers", _above)
    label_smoothing: float = _key(0.1, "share of the target that is spread over all classes", _share)
    weight_decay: float = _key(
        0.0, "decoupled weight decay of full-precision kernels; latent weights have none", _not_negative
    )
    class_weights: str = _key("none", "balanced: rare classes count more in the loss", choices=("none", "balanced"))
    mixup: float = _key(0.0, "blend pictures in pairs, in shares from Beta(mixup, mixup); 0 is off", _not_negative)
    cutmix: float = _key(0.0, "paste boxes between pictures, areas from Beta(cutmix, cutmix); 0 is off", _not_negative)
    random_augment: float = _key(0.0, "strength of RandAugment, two changes per picture; 0 is off", _up_to_one)
    ema: float = _key(
        0.0,
        "decay per step of the weights' average, less in the first steps; the average is validated and kept; 0 is off",
        _share,
    )
    patience: int = _key(
        0, "stop after this many epochs with binary weights without a better validation top-1; 0 is off", _not_negative
    )
    precision: str = _key(
        "auto",
        "of binary convolutions in training; auto: bfloat16 if the hardware has it; elsewhere bfloat16 is emulated",
        choices=("auto", "float32", "bfloat16"),
    )
    float_weights_epochs: int = _key(
        0, "number of first epochs with binary activations but float weights (two-step schedule)", _not_negative
    )
    head_epochs: int = _key(
        0,
        "number of first epochs in which only the head learns, and batch norms get to know the pictures",
        _not_negative,
    )
    init_from: str = _key(
        "", "start from the weights of a run, NAME:DATASET or Keras file; with other classes the head starts at random"
    )
    freeze: str = _key("", "layers that are not trained: shell patterns, separated by commas, e.g. stem*,stage1*")
    teacher: str = _key("", "distill from this teacher: a run, NAME:DATASET, a Keras file or keras:NAME")
    distillation: str = _key(
        "hinton",
        "hinton: softened outputs of the teacher; distributional: ReActNet's, cross-entropy to its outputs",
        choices=("hinton", "distributional"),
    )
    distillation_weight: float = _key(0.9, "share of the teacher in the loss; the labels have the rest", _up_to_one)
    temperature: float = _key(4.0, "temperature of hinton's distillation; higher is softer", _above)

    def __post_init__(self):
        for field in fields():
            value, expected = getattr(self, field.name), type(field.default)
            whole_for_float = expected is float and isinstance(value, int) and not isinstance(value, bool)
            if not (type(value) is expected or whole_for_float):
                raise ConfigError(f"{field.name} = {value!r} is not of type {expected.__name__}")
            choices = field.metadata["choices"]
            if choices and value not in choices:
                raise UnknownNameError(field.name.replace("_", " "), value, choices)
            if expected is not str:
                most = MOST[expected]
                # An integer of many digits is finite, but no float.
                if isinstance(value, float) and not math.isfinite(value):
                    verdict = "is not finite"
                else:
                    verdict = field.metadata["check"](value) if value <= most else f"must be at most {most:,}"
                if verdict is not True:
                    raise ConfigError(f"{field.name} = {documents.quoted(value)} {verdict}")
            elif "\0" in value:
                raise ConfigError(f"{field.name} = {value!r} has a character 0")
            elif value.encode(errors="replace").decode() != value:
                raise ConfigError(f"{field.name} = {value!r} is not UTF-8, as a recipe is: rename what it names")
            elif len(value) > MOST_LETTERS:
                raise ConfigError(f"{field.name} has {len(value):,} letters, expected at most {MOST_LETTERS:,}")
        stages = {"head_epochs": self.head_epochs, "float_weights_epochs": self.float_weights_epochs}
        if sum(stages.values()) >= self.epochs:
            told = " and ".join(f"{key} = {value}" for key, value in stages.items() if value)
            raise ConfigError(
                f"{told} leaves none of the {self.epochs} epochs for all layers with binary weights: take a smaller "
                "number"
            )

    def replace(self, **changes) -> Recipe:
        """A copy of this recipe with `changes`; a change to None is ignored.

        Raises:
            ConfigError: a value cannot be used.
            UnknownNameError: a word is not among the choices of its key.
        """
        return dataclasses.replace(self, **{key: value for key, value in changes.items() if value is not None})

    def save(self, path: Path) -> None:
        """Write the recipe as a TOML file with every key."""
        # JSON and TOML write strings and numbers alike, except for characters that JSON escapes as two halves.
        rows = [f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in dataclasses.asdict(self).items()]
        write_text(path, "".join(rows))


def fields() -> tuple[dataclasses.Field, ...]:
    """The keys of a recipe. Each has `name`, `default` and, in `metadata`, `help` and `choices`."""
    return dataclasses.fields(Recipe)


def read(path: str | Path) -> Recipe:
    """Read a recipe from a TOML file. Keys that are missing have their defaults.

    Raises:
        UnknownNameError: a recipe has no such key. The message gives the nearest ones.
        ConfigError: the file does not exist, is not TOML in UTF-8, or a value cannot be used.
    """
    try:
        return from_table(documents.read_toml(path, ConfigError), path)
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such recipe file") from error
    except IsADirectoryError as error:
        raise ConfigError(f"{path} is a folder: name a recipe's file, or a run") from error


def from_table(table: dict[str, Any], source: str | Path, base: Recipe | None = None) -> Recipe:
    """The recipe `base` with the keys in `table`.

    Arguments:
        table: keys and values.
        source: where they come from, for the error message.
        base: the recipe to change; None for the defaults.

    Raises:
        UnknownNameError: a recipe has no such key.
        ConfigError: a value cannot be used.
    """
    known = [field.name for field in fields()]
    for key in table:
        if key not in known:
            raise UnknownNameError(f"key in {source}:", key, known)
    try:
        return dataclasses.replace(base or Recipe(), **table)
    except FtbnnError as error:
        error.args = (f"{source}: {error}",)
        raise
