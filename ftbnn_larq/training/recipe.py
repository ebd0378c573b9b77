"""How a model is trained: one TOML file, checked key by key. Readable without TensorFlow."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from ftbnn_larq.errors import ConfigError, UnknownNameError
from ftbnn_larq.files import write_text

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

OPTIMIZERS = ("adam", "sgd")
SCHEDULES = ("cosine", "linear", "constant")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What a training is made of.

    Attributes:
        optimizer: "adam", or "sgd" with Nesterov momentum 0.9.
        learning_rate: its highest value.
        schedule: how it falls to zero after the warm-up, step by step: "cosine", "linear", or "constant" (it doesn't).
        warmup_epochs: epochs in which it rises from zero; a fraction is allowed.
        epochs: passes over the training split.
        batch_size: pictures in a step.
        label_smoothing: share of the target that is spread over all classes, 0 to 1 (1 not included).
        weight_decay: decoupled, on full-precision kernels only: latent weights have no scale that it could act on.
    """

    optimizer: str = "adam"
    learning_rate: float = 2e-3
    schedule: str = "cosine"
    warmup_epochs: float = 1.0
    epochs: int = 60
    batch_size: int = 128
    label_smoothing: float = 0.1
    weight_decay: float = 0.0

    def __post_init__(self):
        for name, value in dataclasses.asdict(self).items():
            expected = type(getattr(type(self), name))
            whole_for_float = expected is float and isinstance(value, int) and not isinstance(value, bool)
            if not (type(value) is expected or whole_for_float):
                raise ConfigError(f"recipe: {name} = {value!r} is not of type {expected.__name__}")
        if self.optimizer not in OPTIMIZERS:
            raise UnknownNameError("optimizer", self.optimizer, OPTIMIZERS)
        if self.schedule not in SCHEDULES:
            raise UnknownNameError("schedule", self.schedule, SCHEDULES)
        for name in ("learning_rate", "epochs", "batch_size"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"recipe: {name} = {getattr(self, name)} must be above 0")
        for name in ("warmup_epochs", "weight_decay"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"recipe: {name} = {getattr(self, name)} must not be negative")
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(f"recipe: label_smoothing = {self.label_smoothing} must be from 0 to below 1")

    def replace(self, **changes) -> Recipe:
        """This recipe with those `changes` that are not None."""
        return dataclasses.replace(self, **{key: value for key, value in changes.items() if value is not None})

    def save(self, path: Path) -> None:
        # JSON writes strings and numbers as TOML does.
        rows = [f"{key} = {json.dumps(value)}\n" for key, value in dataclasses.asdict(self).items()]
        write_text(path, "".join(rows))


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
    known = [field.name for field in dataclasses.fields(Recipe)]
    for key in document:
        if key not in known:
            raise UnknownNameError(f"key in {path}:", key, known)
    return Recipe(**document)


def for_dataset(name: str) -> Recipe:
    """The zoo's recipe for a data set: its own, or the default one."""
    from ftbnn_larq import zoo

    own = zoo.HERE / "recipes" / f"{name}.toml"
    return read(own if own.is_file() else zoo.HERE / "recipes" / "default.toml")
