"""Trained networks by reference: a run folder, a Keras file, or a published NAME:DATASET."""

from __future__ import annotations

from pathlib import Path

from ftbnn_larq import runs, zoo
from ftbnn_larq.data import DataConfig
from ftbnn_larq.errors import ConfigError
from ftbnn_larq.models import keras_files
from ftbnn_larq.models.weights import load_weights
from ftbnn_larq.zoo import networks


def build(run: runs.Run):
    """A run's network with random weights."""
    return networks.rebuild(run.config["model"])


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


def check(reference: str) -> None:
    """Refuse what cannot be a network, without building it. Raises RunError, ConfigError or UnknownNameError."""
    if Path(reference).is_dir():
        runs.open_run(reference).check_weights()
    elif not Path(reference).is_file():
        name, colon, dataset = reference.partition(":")
        if not colon:
            raise ConfigError(f"{reference!r} is no run folder, no .keras file and no NAME:DATASET of the zoo")
        zoo.published(name, dataset)


def load(reference: str):
    """A trained network, and what it was trained on where that is known.

    Arguments:
        reference: a run folder, NAME:DATASET of the zoo, or a Keras model file, whose code is not run.

    Raises:
        RunError, ConfigError, UnknownNameError: there is no such thing; ModelFileError: it cannot be loaded.
    """
    check(reference)
    path = Path(reference)
    if path.is_dir():
        run = runs.open_run(path)
        return load_run(run), DataConfig.from_json(run.config["data"])
    if path.is_file():
        return keras_files.load(path), None
    network, described = zoo.pretrained(*reference.split(":", 1))
    return network, DataConfig.from_json(described)
