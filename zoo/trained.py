"""Trained networks by reference: a run folder, a Keras file, or NAME:DATASET of the zoo or of larq-zoo."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from ftbnn_larq import runs, zoo
from ftbnn_larq.documents import DataConfig
from ftbnn_larq.errors import ConfigError, ModelFileError, RunError, UnknownNameError
from ftbnn_larq.models import keras_files
from ftbnn_larq.models.weights import check_finite, load_weights, read_description
from ftbnn_larq.zoo import applications, imagenet, networks, peers


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained network that is not loaded yet.

    Attributes:
        reference: as it was given.
        run: the run folder; None for a published network and for a Keras file.
        published: (name, data set) of a published network, of the zoo or of larq-zoo, else None.
    """

    reference: str
    run: runs.Run | None = None
    published: tuple[str, str] | None = None

    @property
    def data(self) -> DataConfig | None:
        """What it was trained on; None for a Keras file, which does not say."""
        if not self.published:
            return self.run.config.data if self.run else None
        name = self.published[0]
        return peers.trained_on(name) if name in peers.NAMES else read_description(zoo.published(*self.published)).data

    def load(self):
        """The network with its weights.

        Raises:
            ModelFileError: a file is damaged, Keras cannot build it, a weight is NaN or infinite, or larq-zoo's weights
                cannot be downloaded.
        """
        model = self._loaded()
        check_finite(model, ModelFileError, f"{self.reference}: ")
        return model

    def _loaded(self):
        if self.run:
            return load_run(self.run)
        if self.published:
            name = self.published[0]
            return peers.pretrained(name) if name in peers.NAMES else zoo.pretrained(*self.published)[0]
        return keras_files.load(self.reference)


def find(reference: str | os.PathLike) -> Trained:
    """The trained network that a reference stands for. Needs no TensorFlow.

    Raises:
        RunError: a run without weights, or no such run, file or NAME:DATASET.
        ModelFileError: a Keras file that will not be loaded; see `keras_files.check`.
        UnknownNameError, ConfigError: nothing is published by that name.
    """
    text, path = str(reference), Path(reference)
    if keras_files.is_model_file(path):
        keras_files.check(path)
        return Trained(text)
    if zoo.is_reference(text):
        parts = text.split(":")
        # Names of others hold a colon themselves.
        others = next((each for each in networks.OTHERS if text.startswith(each.PREFIX)), None)
        count = 2 if others else len(parts) - 1
        name, dataset = ":".join(parts[:count]), ":".join(parts[count:])
        if others and name not in others.NAMES:
            raise UnknownNameError("model", name, others.NAMES)
        if others is applications:
            raise ConfigError(f"{name} is there for comparison and as a teacher (--teacher {name}), not for this")
        if text in peers.NAMES:
            raise ConfigError(f"{text} is a network without weights: say {text}:{imagenet.WEIGHTS}")
        if others:
            imagenet.check_weights(name, dataset)
        else:
            zoo.published(name, dataset)
        return Trained(text, published=(name, dataset))
    if not path.is_dir():
        what = "not a trained network" if path.exists() else "no such run folder"
        raise RunError(f"{text}: {what}; give a run folder, a .keras, .h5 or .hdf5 file, or NAME:DATASET of the zoo")
    run = runs.open_run(path)
    run.check_weights()
    return Trained(text, run=run)


def find_teacher(reference: str) -> Trained | None:
    """As `find`, but networks of tf.keras.applications can be teachers too: None for them."""
    return None if reference in applications.NAMES else find(reference)


def in_keras(reference: str | os.PathLike) -> bool:
    """Whether Keras has to run a network: a run, a Keras file, or one of larq-zoo, which has no flatbuffer."""
    return Path(reference).is_dir() or keras_files.is_model_file(Path(reference)) or peers.is_reference(str(reference))


def check(run: runs.Run) -> None:
    """Raise RunError if the configuration of a run's network cannot be used. Needs no TensorFlow."""
    try:
        networks.check(run.model_name, run.config.model.options)
    except (ConfigError, UnknownNameError) as error:
        raise RunError(f"{run.path / runs.CONFIG}: damaged: {error}") from error


def build(run: runs.Run):
    """A run's network with random weights. Raises RunError as `check` does."""
    check(run)
    return networks.rebuild(run.config.model)


def load_run(run: runs.Run):
    """A run's network with its trained weights.

    Raises:
        RunError: no weights yet.
        ModelFileError: the weights file is damaged.
    """
    run.check_weights()
    model = build(run)
    load_weights(model, run.weights)
    return model
