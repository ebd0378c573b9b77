"""The end of a training: its scores on the test split, and what is told of them in the run folder."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from ftbnn_larq import documents, runs
from ftbnn_larq.analysis.accuracy import accuracy
from ftbnn_larq.analysis.answers import Tally
from ftbnn_larq.data import Data, pipeline
from ftbnn_larq.documents import Result, Scores
from ftbnn_larq.models import ends
from ftbnn_larq.models.layers import train_with
from ftbnn_larq.models.weights import load_weights

# Thumbnails of a run for the report, at most some 10 KB each.
MISTAKES = 12


def write(
    network: tf.keras.Model, data: Data, batch_size: int, target: runs.Run, source: runs.Run, history: list[dict]
) -> dict:
    """Evaluate on the test split and write result.json and answers.json.

    Arguments:
        network: with the weights of the last epoch; it is left with those of the best one.
        data, batch_size: the pictures.
        target: the run that is written.
        source: the run that is named, whose weights are taken where `target` has none.
        history: a row for each epoch.

    Returns:
        The fields of result.json.
    """
    train_with(network)
    are_probabilities = ends.gives_probabilities(network)

    def top(tally: Tally | None = None) -> dict:
        batches = pipeline.batches(data.test, data.config, batch_size)
        predict = lambda pictures: np.asarray(network.predict_on_batch(pictures))  # noqa: E731
        return accuracy(predict, batches, are_probabilities=are_probabilities, tally=tally)

    last = top()
    load_weights(network, target.weights if target.weights.is_file() else source.weights)
    tally = Tally(data.config, data.test.names, mistakes=MISTAKES)
    best = top(tally)
    documents.write(target.path / runs.ANSWERS, tally.told())
    result = Result(
        run=str(source.path),
        model=source.model_name,
        dataset=data.config.name,
        epochs=len(history),
        **best,
        last=Scores(last["top1"], last["top5"]),
        seconds=round(sum(row["seconds"] for row in history), 1),
    )
    documents.write(target.path / runs.RESULT, result)
    return dataclasses.asdict(result)
