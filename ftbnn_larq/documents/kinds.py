"""The classes of a run's documents, of its weights and of its flatbuffer. What a file may not say is a ValueError."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from ftbnn_larq.documents.data import DataConfig, check_shape
from ftbnn_larq.documents.reading import MOST_CLASSES, quoted, within

MOST_EPOCHS = 10**6
MOST_SEED = 2**32 - 2


@dataclass(frozen=True)
class Network:
    """A network that can be built again.

    Attributes:
        name: of the zoo, `larq_zoo:NAME` or `keras:NAME`.
        options: changes to its configuration, or all of it: words, numbers and lists of numbers.
        input_shape: (height, width, channels).
        classes: number of its outputs.
    """

    name: str
    options: dict[str, Any]
    input_shape: tuple[int, int, int]
    classes: int

    def __post_init__(self):
        check_shape(self.input_shape)
        within("classes", self.classes, 1, MOST_CLASSES)
        for key, value in self.options.items():
            values = value if isinstance(value, list | tuple) else [value]
            if any(isinstance(each, list | tuple | dict) for each in values):
                raise ValueError(f"options.{key} is {quoted(value)}, expected a word, a number or a list of numbers")


@dataclass(frozen=True)
class LengthChange:
    """After `after` epochs, the planned number of epochs was changed from `of`."""

    after: int
    of: int

    def __post_init__(self):
        within("after", self.after, 0, MOST_EPOCHS)
        within("of", self.of, 0, MOST_EPOCHS)


@dataclass(frozen=True)
class Training:
    """What a run trains.

    Attributes:
        model: the network.
        data: the data set with its preprocessing.
        seed: of all that is random.
        versions: of the packages that trained it.
        length_changed: what resumes changed of the number of epochs.
    """

    model: Network
    data: DataConfig
    seed: int = 0
    versions: dict[str, str] = dataclasses.field(default_factory=dict)
    length_changed: tuple[LengthChange, ...] = ()

    def __post_init__(self):
        self.data.check()
        within("seed", self.seed, 0, MOST_SEED)
        if len(self.data.labels) != self.model.classes:
            raise ValueError(
                f"data.labels has {len(self.data.labels)} names, expected {self.model.classes}, as model.classes says"
            )
        if self.data.input_shape != self.model.input_shape:
            raise ValueError(
                f"data.input_shape is {self.data.input_shape}, expected {self.model.input_shape}, as "
                "model.input_shape says"
            )


@dataclass(frozen=True)
class Weights(Training):
    """Whose weights an .npz file holds; of published ones also `recipe`, `date` and top-1 in `keras` and `lce`."""

    recipe: dict[str, str | int | float] = dataclasses.field(default_factory=dict)
    date: str = ""
    keras: dict[str, int | float] = dataclasses.field(default_factory=dict)
    lce: dict[str, int | float] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class Checkpoint:
    """The record of a checkpoint.

    Attributes:
        epoch: number of finished epochs.
        sha256: checksum of the weights.
        history: metrics of each of them.
    """

    epoch: int
    sha256: str
    history: tuple[dict[str, int | float], ...]

    def __post_init__(self):
        within("epoch", self.epoch, 1, MOST_EPOCHS)
        if len(self.history) != self.epoch:
            raise ValueError(f"history has {len(self.history)} rows, expected {self.epoch}, as epoch says")
        for index, row in enumerate(self.history):
            for key in ("epoch", "val_top1", "seconds"):
                if key not in row:
                    raise ValueError(f"history[{index}].{key} is missing")
            for key, value in row.items():
                # They become the columns of a text.
                if not key.isprintable():
                    raise ValueError(f"history[{index}] has the key {quoted(key)}, expected the name of a metric")
                # Where a loss was no number, that is its history.
                within(f"history[{index}].{key}", 0 if value != value else value, -1e30, 1e30)


@dataclass(frozen=True)
class Scores:
    """Shares of the test split that are right: `top1`, and `top5` among the best five."""

    top1: float
    top5: float

    def __post_init__(self):
        within("top1", self.top1, 0, 1)
        within("top5", self.top5, 0, 1)


@dataclass(frozen=True)
class Result:
    """How good a run became, on `examples` pictures of the test split.

    Attributes:
        run: path of the run folder.
        model, dataset: their names.
        epochs: finished ones.
        top1, top5: with the weights of the epoch that was best on the validation split.
        last: with those of the last epoch.
        seconds: of training.
    """

    run: str
    model: str
    dataset: str
    epochs: int
    examples: int
    top1: float
    top5: float
    last: Scores
    seconds: float

    def __post_init__(self):
        Scores(self.top1, self.top5)
        within("epochs", self.epochs, 0, MOST_EPOCHS)
        within("examples", self.examples, 0, 10**12)
        within("seconds", self.seconds, 0, 1e12)


@dataclass(frozen=True)
class Sidecar:
    """What is read of the JSON file beside a flatbuffer; what else `convert` writes there is for people.

    Attributes:
        output: "logits" or "probabilities"; None in files that do not say.
        data: labels and preprocessing; None of a network whose data set is not known.
        bytes, sha256: of the flatbuffer; None in files that do not say.
    """

    output: str | None = None
    data: DataConfig | None = None
    bytes: int | None = None
    sha256: str | None = None

    def __post_init__(self):
        if self.output not in (None, "logits", "probabilities"):
            raise ValueError(f"output is {quoted(self.output)}, expected logits or probabilities")
        if self.data is not None:
            self.data.check()
        within("bytes", self.bytes, 0, 2**40)
