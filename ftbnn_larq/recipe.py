"""How a model is trained: one TOML file, checked key by key. Readable without TensorFlow."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from pathlib import Path
from typing import Any

from ftbnn_larq.errors import ConfigError, UnknownNameError
from ftbnn_larq.files import write_text

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def _above(value):
    return value > 0 or "must be above 0"


def _not_negative(value):
    return value >= 0 or "must not be negative"


def _share(value):
    return 0 <= value < 1 or "must be from 0 to below 1"


def _up_to_one(value):
    return 0 <= value <= 1 or "must be from 0 to 1"


def _key(default, text: str, check=lambda value: True, choices: tuple[str, ...] = ()):
    """A key of a recipe: what it is when it isn't given, what it means, and what it may be."""
    return dataclasses.field(default=default, metadata={"help": text, "check": check, "choices": choices})


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What a training is made of; `fields()` has the meaning of each key.

    Raises:
        ConfigError: a value of another type, or out of range; UnknownNameError: a word that a key does not know.
    """

    optimizer: str = _key("adam", "sgd has Nesterov momentum 0.9", choices=("adam", "sgd"))
    learning_rate: float = _key(2e-3, "its highest value", _above)
    schedule: str = _key(
        "cosine", "how the learning rate falls to zero after the warm-up", choices=("cosine", "linear", "constant")
    )
    warmup_epochs: float = _key(1.0, "epochs in which the learning rate rises from zero", _not_negative)
    epochs: int = _key(60, "passes over the training split", _above)
    batch_size: int = _key(128, "pictures in a step, of all workers together", _above)
    label_smoothing: float = _key(0.1, "share of the target that is spread over all classes", _share)
    weight_decay: float = _key(
        0.0, "decoupled, on full-precision kernels only, as latent weights have no scale to act on", _not_negative
    )
    class_weights: str = _key("none", "balanced: rare classes count more in the loss", choices=("none", "balanced"))
    mixup: float = _key(0.0, "pictures are blended in pairs, by shares from Beta(a, a); 0 is off", _not_negative)
    cutmix: float = _key(0.0, "boxes are pasted between pictures, of shares from Beta(a, a); 0 is off", _not_negative)
    random_augment: float = _key(0.0, "strength of two random changes to each training picture; 0 is off", _up_to_one)
    ema: float = _key(0.0, "decay per step of the average of the weights that is kept; 0 is off", _share)
    patience: int = _key(
        0, "stop after so many epochs, with binary weights, without a better validation top-1; 0 is off", _not_negative
    )
    precision: str = _key(
        "auto",
        "of our binary convolutions in training; auto is bfloat16 if the hardware has it; elsewhere that is emulated",
        choices=("auto", "float32", "bfloat16"),
    )
    float_weights_epochs: int = _key(
        0, "of the epochs, how many come first with binary activations only: the two-step schedule", _not_negative
    )
    init_from: str = _key("", "start from the weights of a run or of NAME:DATASET; a head of other classes starts anew")
    freeze: str = _key("", "layers that are not trained: shell patterns, separated by commas, e.g. stem*,stage1*")
    teacher: str = _key("", "a run, NAME:DATASET or .keras file whose answers are learned from")
    distillation: str = _key(
        "hinton",
        "hinton: softened answers; distributional: cross-entropy to them, ReActNet's",
        choices=("hinton", "distributional"),
    )
    distillation_weight: float = _key(0.9, "share of the teacher in the loss, the labels have the rest", _up_to_one)
    temperature: float = _key(4.0, "how much hinton's distillation softens answers", _above)

    def __post_init__(self):
        for field in fields():
            value, expected = getattr(self, field.name), type(field.default)
            whole_for_float = expected is float and isinstance(value, int) and not isinstance(value, bool)
            if not (type(value) is expected or whole_for_float):
                raise ConfigError(f"recipe: {field.name} = {value!r} is not of type {expected.__name__}")
            choices = field.metadata["choices"]
            if choices and value not in choices:
                raise UnknownNameError(field.name.replace("_", " "), value, choices)
            if expected is not str:
                verdict = field.metadata["check"](value) if math.isfinite(value) else "is not finite"
                if verdict is not True:
                    raise ConfigError(f"recipe: {field.name} = {value} {verdict}")
        if self.float_weights_epochs >= self.epochs:
            raise ConfigError(
                f"recipe: float_weights_epochs = {self.float_weights_epochs} leaves none of {self.epochs} epochs for "
                "binary weights"
            )

    def replace(self, **changes) -> Recipe:
        """This recipe with those `changes` that are not None."""
        return dataclasses.replace(self, **{key: value for key, value in changes.items() if value is not None})

    def save(self, path: Path) -> None:
        # JSON writes strings and numbers as TOML does, but for characters that it escapes in two halves.
        rows = [f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in dataclasses.asdict(self).items()]
        write_text(path, "".join(rows))


def fields() -> tuple[dataclasses.Field, ...]:
    """The keys of a recipe: each has `name`, `default` and, in `metadata`, `help` and `choices`."""
    return dataclasses.fields(Recipe)


def read(path: str | Path) -> Recipe:
    """The recipe in a TOML file.

    Raises:
        UnknownNameError: a key that no recipe has; the message has the nearest one.
        ConfigError: no such file, no TOML, or a value that cannot be used.
    """
    try:
        document: dict[str, Any] = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such recipe file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    return from_table(document, path)


def from_table(table: dict[str, Any], source: str | Path, base: Recipe | None = None) -> Recipe:
    """The recipe that a table of keys makes of `base`. Errors as for `read`, naming `source`."""
    known = [field.name for field in fields()]
    for key in table:
        if key not in known:
            raise UnknownNameError(f"key in {source}:", key, known)
    return dataclasses.replace(base or Recipe(), **table)
